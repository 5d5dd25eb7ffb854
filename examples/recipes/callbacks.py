"""What a run shows and records while it trains: pictures, sizes, and what it was made with."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from confusion import draw_confusion
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from torch import nn

import learnable_frontends
from learnable_frontends import MultiHeadRelevance
from learnable_frontends.lightning import FrontendMonitor
from learnable_frontends.plotting import plot_relevance
from recipes.files import write_whole


class Pictures(FrontendMonitor):
    """Draw the masks of one clip and the confusion matrix too, beside the pictures of the front-end.

    The clip is the first of the test fold, in every epoch.
    """

    def figures(self, trainer: Trainer, pl_module: Any) -> Iterator[tuple[str, Figure]]:
        """Draw an epoch."""
        yield from super().figures(trainer, pl_module)
        if isinstance(pl_module.frontend, MultiHeadRelevance):
            clips = trainer.datamodule.test_dataloader()  # type: ignore[attr-defined]
            waveform, _, _ = clips.dataset[next(iter(clips.sampler))]
            yield "masks", plot_relevance(pl_module.frontend, torch.from_numpy(waveform).to(pl_module.device))[0]
        if trainer.val_dataloaders:
            counts = pl_module.metrics["confusion"].compute().cpu().numpy()
            yield "confusion", draw_confusion(counts, pl_module.classes, "validation clips")


class Complexity(Callback):
    """Print the parameters of front-end, heads and classifier, and what the first two add to the last."""

    def on_fit_start(self, trainer: Trainer, module: Any) -> None:
        """Print the table."""
        if trainer.is_global_zero:
            print("\n".join(complexity(module.frontend, module.network)), file=sys.stderr)


def complexity(frontend: nn.Module, network: nn.Module) -> list[str]:
    """Give the lines of the table of parameters."""
    heads = count(frontend.relevance) if isinstance(frontend, MultiHeadRelevance) else 0
    sizes = {"front-end": count(frontend) - heads, "heads": heads, "classifier": (base := count(network))}
    lines = [f"{name:<11}{size:>12,}" for name, size in sizes.items()]
    lines[0] += f"  {100 * sizes['front-end'] / base:.3f} % of the classifier"
    lines[1] += f"  {100 * heads / base:.3f} %"
    return [*lines, f"{'total':<11}{sum(sizes.values()):>12,}"]


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


class RunRecord(SaveConfigCallback):
    """Write ``config.yaml``, which trains the same again, and ``run.json``: what each start was made with."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Record the start of a training."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write both files, in one process."""
        del pl_module, stage
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, folder / "config.yaml", skip_none=False, overwrite=True)
        path = folder / "run.json"
        starts = json.loads(path.read_text()) if path.exists() else []
        text = json.dumps([*starts, describe_start(trainer, self.config["seed_everything"])], indent=1)
        write_whole(path, text + "\n")


def describe_start(trainer: Trainer, seed: int) -> dict[str, Any]:
    """Give what a training was started with: command, seed, versions, commit, machine, clips."""
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:
        commit = None
    catalog = trainer.datamodule.catalog  # type: ignore[attr-defined]
    packages = ("torch", "lightning", "numpy", "torchmetrics")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": seed,
        "versions": {
            "python": platform.python_version(),
            "learnable_frontends": learnable_frontends.__version__,
            **{name: version(name) for name in packages},
        },
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {trainer.accelerator.name()}",
        "processes": trainer.world_size,
        "clips": len(catalog.clips),
        "skipped": list(catalog.skipped),
    }


class ResumeNotice(Callback):
    """Say where a run that goes on begins, and what the stop has cost."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Print the notice when training goes on."""
        del pl_module
        if trainer.training or trainer.state.fn == "fit":
            done = checkpoint["epoch"] + 1
            rank_zero_only(print)(
                f"{done} of {trainer.max_epochs} epochs are done in {trainer.default_root_dir}: going on from there. "
                f"What was trained of epoch {done + 1} before the stop is lost, and trained again alike.",
                file=sys.stderr,
            )
