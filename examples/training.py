"""One small classifier, trained jointly with a front-end on one fold, so that a kill costs one epoch at most."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from checkpoints import read_checkpoint, rebuilding
from frontends import build_frontend
from natural_steps import NaturalSteps
from overlap import neighbor_overlap
from schedules import SCHEDULES, features_of
from sound_folders import SoundSet
from torch import Tensor, nn

from learnable_frontends import Frontend, MultiHeadRelevance
from learnable_frontends.transforms import Mixup, RandomCrop, SpecAugment

AUGMENTATIONS = ("none", "aligned", "non-aligned")
NORMALIZATIONS = ("filter", "all")


class SmallCNN(nn.Module):
    """Four convolutions over the features of any front-end, normalised first.

    Args:
        n_filters: Filters of the front-end.
        n_classes: Classes.
        normalize: One of ``NORMALIZATIONS``: mean and variance of each filter, or one of all of them.

    Shape:
        - Input: ``(batch, n_filters, frames)``.
        - Output: ``(batch, n_classes)``.
    """

    def __init__(self, n_filters: int, n_classes: int, normalize: str = "filter") -> None:
        super().__init__()
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
        of_each = normalize == "filter"
        self.normalize = (
            nn.BatchNorm1d(n_filters)
            if of_each
            else nn.Sequential(nn.Unflatten(1, (1, n_filters)), nn.BatchNorm2d(1), nn.Flatten(1, 2))
        )
        self.convolutions = nn.Sequential(
            *_block(1, 16, size=5, stride=2),
            nn.MaxPool2d(2, ceil_mode=True),
            *_block(16, 32),
            nn.MaxPool2d(2, ceil_mode=True),
            *_block(32, 64),
            nn.MaxPool2d(2, ceil_mode=True),
            *_block(64, 128),
        )
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # 40 % faster on a CPU
        self.classify = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, n_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Classify features."""
        maps = self.convolutions(self.normalize(features)[:, None])
        logits: Tensor = self.classify(maps.mean(2).amax(-1) + maps.mean((2, 3)))
        return logits


def _block(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


@dataclass(frozen=True)
class Settings:
    """How every cell is trained.

    Attributes:
        epochs: Passes over the training clips.
        batch_size: Clips a step.
        lr: Highest learning rate of the classifier and of relevance heads (one cycle, AdamW).
        frontend_lr: Highest learning rate of the filters.
        mixup: Parameter of the Beta distribution that mixes pairs of features; 0 for none.
    """

    epochs: int
    batch_size: int
    lr: float
    frontend_lr: float
    mixup: float


@dataclass(frozen=True)
class Recipe:
    """What is special about the training of one variant.

    Attributes:
        augment: Masks and crops of features, one of ``AUGMENTATIONS``: none, or at places that are or are not aligned
            between the parts of relevance heads.
        normalize: Of features, one of ``NORMALIZATIONS``.
        frontend_lr: Highest learning rate of the filters; ``None`` means that of the settings, 0 fixes them.
        schedule: When filters and heads learn, one of `schedules.SCHEDULES`.
        natural: Whether steps of the filters are scaled by `NaturalSteps`.
        repulsion: Factor of the penalty on neighbors that are more alike than at the start.
    """

    augment: str = "none"
    normalize: str = "filter"
    frontend_lr: float | None = None
    schedule: str = "jointly"
    natural: bool = False
    repulsion: float = 0.0


@dataclass(frozen=True)
class Cell:
    """One training run: a front-end on one fold from one seed.

    Attributes:
        frontend: A name of `frontends.build_frontend`.
        config: Its configuration.
        fold: The fold held out.
        seed: Of all random numbers.
        variant: What the table and the files call it.
        recipe: What is special about its training.
    """

    frontend: str
    config: dict[str, Any]
    fold: int
    seed: int
    variant: str
    recipe: Recipe = Recipe()

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.variant}-fold{self.fold}-seed{self.seed}"


def build_augmentation(frontend: Frontend, how: str, frames: int) -> nn.Module:
    """Give the paper's random masks and crop of features, as shares of the clip and of each part.

    Args:
        frontend: Its relevance heads say the parts; without heads there is one.
        how: One of ``AUGMENTATIONS``.
        frames: Frames of a whole clip.

    Returns:
        A module from features to features: masks of up to 12 in 40 filters of each part and 39 in 431 frames, then a
        crop to 400 in 431 frames. A part of fewer than four filters loses none.
    """
    if how not in AUGMENTATIONS:
        raise ValueError(f"how must be one of {AUGMENTATIONS}, got {how!r}")
    if how == "none":
        return nn.Identity()
    parts = [list(range(frontend.n_filters))]
    if isinstance(frontend, MultiHeadRelevance):
        parts = frontend.relevance.parts
    aligned = how == "aligned"
    return nn.Sequential(
        SpecAugment(12 * min(map(len, parts)) // 40, 39 * frames // 431, parts=parts, aligned=aligned),
        RandomCrop(400 * frames // 431, parts=parts, aligned=aligned),
    )


def train(
    cell: Cell, sounds: SoundSet, settings: Settings, folder: Path, on_epoch: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Train and test one cell, or take up where a killed run left it.

    After every epoch the whole state is saved; an unfinished cell goes on from there with the same random numbers, a
    finished one is read, not run. The accuracy is that of the last epoch: the held-out fold chooses nothing.

    Args:
        cell: What to train.
        sounds: The clips; those of ``cell.fold`` are held out.
        settings: How.
        folder: Where the cell's files go.
        on_epoch: Called after each epoch.

    Returns:
        What is saved as ``<folder>/<cell>.pt``: front-end (name, settings, state, initial centers), classifier state,
        class names, held-out targets and predictions, seconds per epoch, parameter counts.

    Raises:
        FloatingPointError: If the loss is not finite.
    """
    done, partial = folder / f"{cell.name}.pt", folder / f"{cell.name}.partial.pt"
    if done.exists():
        result: dict[str, Any] = torch.load(done, weights_only=True)
        for _ in range(settings.epochs):
            on_epoch()
        return result
    torch.manual_seed(cell.seed)
    frontend = build_frontend(cell.frontend, cell.config)
    initial = frontend.center_frequencies.detach().clone()
    classifier = SmallCNN(frontend.n_filters, len(sounds.classes), cell.recipe.normalize)
    training = _Training(nn.Sequential(frontend, classifier), cell, sounds, settings)
    if partial.exists():
        training.load_state_dict(torch.load(partial, weights_only=True))
    for _ in range(training.epoch):
        on_epoch()
    while training.epoch < settings.epochs:
        training.run_epoch()
        _save(training.state_dict(), partial)
        on_epoch()
    held_out = sounds.folds == cell.fold
    model = training.model
    predictions = predict(model, sounds.waveforms[held_out], settings.batch_size)
    result = {
        "variant": cell.variant,
        "frontend": cell.frontend,
        "frontend_config": cell.config,
        "frontend_state": frontend.state_dict(),
        "initial_centers": initial,
        "classifier_state": classifier.state_dict(),
        "normalize": cell.recipe.normalize,
        "classes": sounds.classes,
        "fold": cell.fold,
        "seed": cell.seed,
        "targets": sounds.labels[held_out],
        "predictions": predictions,
        "seconds_per_epoch": training.elapsed / settings.epochs,
        "frontend_parameters": _count(frontend),
        "parameters": _count(model),
    }
    _save(result, done)
    partial.unlink(missing_ok=True)
    return result


def restore_classifier(saved: dict[str, Any]) -> nn.Module:
    """Rebuild the trained classifier from what `train` returned or saved."""
    n_filters = saved["frontend_config"]["n_filters"]
    classifier = SmallCNN(n_filters, len(saved["classes"]), saved.get("normalize", "filter"))
    classifier.load_state_dict(saved["classifier_state"])
    return classifier.eval()


def read_model(path: Path, keys: Sequence[str] = ()) -> tuple[dict[str, Any], Frontend, nn.Module]:
    """Read a checkpoint as `checkpoints.read_saved`, and rebuild its trained front-end and classifier.

    Raises:
        FileError: As `checkpoints.read_checkpoint`, or if the classifier cannot be rebuilt.
    """
    saved, frontend = read_checkpoint(path, ("classes", "classifier_state", *keys))
    with rebuilding(path, "classifier"):
        return saved, frontend, restore_classifier(saved)


def predict(model: nn.Module, waveforms: Tensor, batch_size: int) -> Tensor:
    """Class of each waveform, ``(clips, time)`` to ``(clips,)``."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch).argmax(-1) for batch in waveforms.split(batch_size)])


class _Training:
    """One cell under way: its model, its optimiser, and what a continuation needs."""

    def __init__(self, model: nn.Sequential, cell: Cell, sounds: SoundSet, settings: Settings) -> None:
        self.model, self.cell, self.settings = model, cell, settings
        self.frontend: Frontend = model[0]  # type: ignore[assignment]
        frames = int(self.frontend.output_lengths(torch.tensor(sounds.waveforms.shape[-1])))
        self.augment = build_augmentation(self.frontend, cell.recipe.augment, frames)
        learned = sounds.folds != cell.fold
        self.x, self.y = sounds.waveforms[learned], torch.eye(len(sounds.classes))[sounds.labels[learned]]
        self.steps = max(1, len(self.x) // settings.batch_size)
        frontend_lr = settings.frontend_lr if cell.recipe.frontend_lr is None else cell.recipe.frontend_lr
        groups = [
            *self.frontend.param_groups(settings.lr, frontend_lr),
            {"params": list(model[1].parameters()), "lr": settings.lr, "name": "classifier"},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
        self.cycle = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, [group["lr"] for group in groups], total_steps=settings.epochs * self.steps
        )
        if cell.recipe.natural:
            NaturalSteps(self.optimizer, self.frontend, every=self.steps)  # anew each epoch, so that a kill is not seen
        self.mixup = Mixup(settings.mixup) if settings.mixup else None
        self.epoch, self.elapsed = 0, 0.0
        self.overlap = None
        if cell.recipe.repulsion:
            self.overlap = neighbor_overlap(self.frontend.as_initialized()).detach()

    def run_epoch(self) -> None:
        """Train for an epoch, the same whatever was run before in this process."""
        started = time.perf_counter()
        torch.manual_seed(self.cell.seed + 1000 * self.cell.fold + 100_000 * (self.epoch + 1))
        self.model.train()
        losses = [
            self._step(chosen, (self.epoch + step / self.steps) / self.settings.epochs)
            for step, chosen in enumerate(torch.randperm(len(self.x)).split(self.settings.batch_size)[: self.steps])
        ]
        self.epoch += 1
        if not torch.stack(losses).mean().isfinite():
            raise FloatingPointError(f"loss of {self.cell.name} is not finite in epoch {self.epoch} (lower --lr)")
        self.elapsed += time.perf_counter() - started

    def _step(self, chosen: Tensor, done: float) -> Tensor:
        """Train on some clips, at a point of the training between 0 and 1."""
        recipe = self.cell.recipe
        features = self.augment(features_of(self.frontend, _shift(self.x[chosen]), recipe.schedule, done))
        targets = self.y[chosen]
        if self.mixup is not None:
            features, targets = self.mixup(features, targets)
        loss = F.cross_entropy(self.model[1](features), targets)
        if self.overlap is not None:
            loss = loss + recipe.repulsion * (neighbor_overlap(self.frontend) - self.overlap).relu().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group, rate in zip(self.optimizer.param_groups, self.cycle.get_last_lr(), strict=True):
            group["lr"] = rate * SCHEDULES[recipe.schedule](group["name"], done)
        self.optimizer.step()
        self.cycle.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Give all that the next epoch depends on."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.cycle.state_dict(),
            "epoch": self.epoch,
            "elapsed": self.elapsed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.cycle.load_state_dict(state["scheduler"])
        self.epoch, self.elapsed = state["epoch"], state["elapsed"]


def _shift(waveforms: Tensor) -> Tensor:
    """Rotate each clip in time by a random amount: its class does not depend on where it starts."""
    starts = torch.randint(waveforms.shape[-1], (len(waveforms),)).tolist()
    return torch.stack([clip.roll(start) for clip, start in zip(waveforms, starts, strict=True)])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _save(state: dict[str, Any], path: Path) -> None:
    """Write so that a kill leaves the old file or the new one, never half of one."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)
