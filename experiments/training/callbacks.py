"""The files that a run writes in training, so that an interruption costs one epoch at most, and after its test."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from experiments.figures import draw_confusion
from experiments.files import write_rows, write_table, write_whole
from experiments.runs import CHECKPOINT, EPOCHS, FRONTEND, NETWORK, PREDICTIONS, RESULT, describe_machine
from learnable_frontends import MultiHeadRelevance
from learnable_frontends.analysis import movement
from learnable_frontends.lightning import FrontendMonitor
from learnable_frontends.plotting import plot_relevance
from learnable_frontends.pretrained import save_pretrained


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        del storage_options
        save_whole(Path(path), checkpoint)


class RunKeeper(Checkpoint):
    """Keep a run's folder: its starts, its clips, the numbers and the state of each epoch.

    Args:
        folder: The run's.
        clips: Table of clips to claim; see `experiments.data.store.Store.claim`.
        owner: The process that a run of a grid works for: without it nobody would see what is trained.
        notice: Whether to print sizes at the start, and where a resumed run begins.
    """

    def __init__(self, folder: Path, clips: Path, owner: int | None = None, *, notice: bool = True) -> None:
        self.folder, self.clips, self.owner, self.notice = folder, clips, owner, notice
        self.epochs: list[dict[str, float]] = []
        self.started = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Record the start."""
        self._leave()
        if not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        data.store.claim(self.clips)
        path = self.folder / "run.json"
        starts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        write_whole(path, json.dumps([*starts, describe_start(trainer, pl_module.seed)], indent=1) + "\n")
        if self.notice:
            print("\n".join(complexity(pl_module.frontend, pl_module.network)), file=sys.stderr)

    def _leave(self) -> None:
        """End where the process that wanted the run has ended: it was killed, and left its workers."""
        if self.owner is not None and os.getppid() != self.owner:
            os._exit(1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Take the time."""
        del trainer, pl_module
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the epoch's numbers and state."""
        del pl_module
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        values = {name: float(value) for name in names if (value := trainer.callback_metrics.get(name)) is not None}
        seconds = time.perf_counter() - self.started
        self.epochs.append({"epoch": trainer.current_epoch + 1, **values, "seconds": seconds})
        trainer.save_checkpoint(self.folder / CHECKPOINT)
        if trainer.is_global_zero:
            write_rows(self.folder / EPOCHS, self.epochs)
        self._leave()

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs so far."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self.epochs = state_dict["epochs"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Print where a resumed training begins, and what the stop has cost."""
        del pl_module
        if self.notice and trainer.state.fn == "fit":
            done = checkpoint["epoch"] + 1
            rank_zero_only(print)(
                f"{done} of {trainer.max_epochs} epochs are done in {self.folder}: resuming there. "
                f"What was trained of epoch {done + 1} before the stop is lost, and is trained again alike.",
                file=sys.stderr,
            )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write what the run leaves: predictions, front-end, network, and last its result."""
        found = pl_module.gather()  # of all processes, so in all of them
        others = {way: pl_module.gather(way) for way in pl_module.ways if way != pl_module.tested}
        if not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        catalog, lines = data.catalog, []
        per_class: dict[str, list[bool]] = {}
        per_device: dict[str, list[bool]] = {}
        for i, decision in found.items():
            clip, probabilities = catalog.clips[i], decision.exp().tolist()
            label, prediction = catalog.classes[clip.label], catalog.classes[int(decision.argmax())]
            for shares, key in ((per_class, label), (per_device, clip.device)):
                shares.setdefault(key, []).append(label == prediction)
            lines.append(
                [catalog.name(i), label, prediction, clip.device, clip.fold, *(f"{p:.6g}" for p in probabilities)]
            )
        right = [line[1] == line[2] for line in lines]
        moved, seconds = movement(pl_module.frontend), [row["seconds"] for row in self.epochs]
        result = {
            "seed": pl_module.seed,
            "fold": data.test_fold,
            "classes": catalog.classes,
            "accuracy": sum(right) / len(right),
            "other_accuracies": {way: _accuracy(catalog, decisions) for way, decisions in others.items()},
            "clips": len(lines),
            "test_clips": data.store.digest(data.test_fold),
            "skipped": list(catalog.skipped),
            "epochs": trainer.current_epoch,
            "seconds_per_epoch": sum(seconds) / len(seconds) if seconds else None,
            "per_class": {name: sum(h) / len(h) for name, h in sorted(per_class.items())},
            "per_device": {name: sum(h) / len(h) for name, h in sorted(per_device.items()) if name},
            "frontend_parameters": count(pl_module.frontend),
            "parameters": count(pl_module.frontend) + count(pl_module.network),
            "initial_centers": moved.initial.tolist(),
            "centers": moved.current.tolist(),
            "moved_bandwidths": moved.bandwidths.tolist(),
        }
        write_table(
            self.folder / PREDICTIONS, [["file", "label", "prediction", "device", "fold", *catalog.classes], *lines]
        )
        save_pretrained(pl_module.frontend, self.folder / FRONTEND)
        save_whole(self.folder / NETWORK, pl_module.network.state_dict())
        write_whole(self.folder / RESULT, json.dumps(result, indent=1) + "\n")

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write a submission: file name, scene, probability of each scene."""
        found, catalog = pl_module.gather(), trainer.datamodule.catalog  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            lines = [["filename", "scene_label", *catalog.classes]]
            for i, decision in found.items():
                best = catalog.classes[int(decision.argmax())]
                lines.append([catalog.clips[i].path.name, best, *(f"{p:.6g}" for p in decision.exp().tolist())])
            write_table(self.folder / "submission.csv", lines, "\t")


class Pictures(FrontendMonitor):
    """Draw the masks of one clip and the confusion matrix too, beside the pictures of the front-end.

    The clip is the first of the test fold, in every epoch.
    """

    def figures(self, trainer: Trainer, pl_module: Any) -> Iterator[tuple[str, Any]]:
        """Draw an epoch."""
        yield from super().figures(trainer, pl_module)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(pl_module.frontend, MultiHeadRelevance):
            waveform, _, _ = data.test_dataloader().dataset[0, 0]
            yield "masks", plot_relevance(pl_module.frontend, torch.from_numpy(waveform).to(pl_module.device))[0]
        if trainer.val_dataloaders:
            clips = [(data.catalog.clips[i].label, int(d.argmax())) for i, d in pl_module.gather().items()]
            yield "confusion", draw_confusion(clips, pl_module.classes, "validation clips")


def _accuracy(catalog: Any, decisions: Mapping[int, torch.Tensor]) -> float:
    right: list[bool] = [int(decision.argmax()) == catalog.clips[i].label for i, decision in decisions.items()]
    return sum(right) / len(right)


def save_whole(path: Path, content: dict[str, Any]) -> None:
    """Write what `torch.load` reads, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def complexity(frontend: nn.Module, network: nn.Module) -> list[str]:
    """Lines of the table of parameters, and what front-end and heads add to the classifier."""
    heads = count(frontend.relevance) if isinstance(frontend, MultiHeadRelevance) else 0
    sizes = {"front-end": count(frontend) - heads, "heads": heads, "classifier": (base := count(network))}
    lines = [f"{name:<11}{size:>12,}" for name, size in sizes.items()]
    lines[0] += f"  {100 * sizes['front-end'] / base:.3f} % of the classifier"
    lines[1] += f"  {100 * heads / base:.3f} %"
    return [*lines, f"{'total':<11}{sum(sizes.values()):>12,}"]


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def describe_start(trainer: Trainer, seed: int) -> dict[str, Any]:
    """Return what a training was started with: command, seed, versions, commit, machine, clips."""
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:
        commit = None
    catalog = trainer.datamodule.catalog  # type: ignore[attr-defined]
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": seed,
        **describe_machine(),
        "commit": commit,
        "accelerator": trainer.accelerator.name(),
        "processes": trainer.world_size,
        "clips": len(catalog.clips),
        "notes": list(catalog.notes),
        "skipped": list(catalog.skipped),
    }
