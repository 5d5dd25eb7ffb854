"""What was learned: how far filters moved, how large optimizer steps are, where masks vary."""

from learnable_frontends.analysis.masks import MaskStatistics, mask_statistics
from learnable_frontends.analysis.movement import Movement, movement
from learnable_frontends.analysis.optimizer_steps import GroupSteps, OptimizerMonitor

__all__ = ["GroupSteps", "MaskStatistics", "Movement", "OptimizerMonitor", "mask_statistics", "movement"]
