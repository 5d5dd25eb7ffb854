"""Export of a trained model to a file for other programs: frozen, exported, run and compared in one call."""

from learnable_frontends.deployment.deploying import Deployed, deploy

__all__ = ["Deployed", "deploy"]
