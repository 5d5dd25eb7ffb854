"""A front-end and a classifier, trained together from the waveform."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torchmetrics import ConfusionMatrix, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from learnable_frontends import Frontend, MultiHeadRelevance
from learnable_frontends.transforms import Deltas, MinMaxScale, Mixup, RandomCrop, SpecAugment
from recipes.optimization import Decay

Batch = dict[str, Tensor]


class Pieces(NamedTuple):
    """What the network classifies: whole clips or segments of them, and the clip that each is of."""

    features: Tensor
    owner: Tensor


class Classifier(LightningModule):
    """Waveform, front-end, features scaled and augmented, network.

    With ``segment_frames`` the network sees segments. Those that begin after a clip's end are left out; a clip's
    decision is the mean of its segments' log-probabilities; the loss is the mean over segments.

    With ``filters_epochs`` training is staged: in the first epochs relevance heads are bypassed, and filters and
    network learn; from then on the filterbank stays as it is, and heads and network, which goes on from where it is,
    learn. Without, all learn from the start.

    Args:
        frontend: Any front-end.
        network: From ``(batch, n_filters, frames)``, or ``(batch, 3, n_filters, frames)`` with ``deltas``, to logits.
        optimizer: Makes the optimizer; its learning rate is the highest of heads and network.
        frontend_lr: Highest learning rate of the filters; ``None`` for that of the optimizer.
        decay: The learning rate over time; ``None`` keeps it.
        filters_epochs: Epochs of the first stage; 0 trains jointly.
        segment_frames: Frames of a segment; ``None`` classifies clips as a whole.
        scale: Scale each part of a clip to [0, 1]. Parts are those of the relevance heads; without heads there is one.
        deltas: Add deltas and delta-deltas.
        mask_filters: Largest number of filters masked in each part in training.
        mask_frames: Largest number of frames masked in training.
        crop: Frames kept in training; ``None`` keeps all.
        aligned: Whether parts share the places of masks and crops.
        mixup: Parameter of the Beta distribution that mixes pairs of clips in training; 0 for none.
        seed: Of all random numbers of training, drawn anew each epoch; the run's own by default.

    Raises:
        ValueError: If arguments do not go together, or the network has not the classes of the data.
    """

    heads_bypassed: Tensor

    def __init__(
        self,
        frontend: Frontend,
        network: nn.Module,
        *,
        optimizer: OptimizerCallable,
        frontend_lr: float | None = None,
        decay: Decay | None = None,
        filters_epochs: int = 0,
        segment_frames: int | None = None,
        scale: bool = False,
        deltas: bool = False,
        mask_filters: int = 0,
        mask_frames: int = 0,
        crop: int | None = None,
        aligned: bool = True,
        mixup: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if segment_frames is not None and (mixup or deltas or crop is not None):
            raise ValueError(
                f"segment_frames must be null with mixup, deltas or crop, got {segment_frames} (these take clips)"
            )
        with warnings.catch_warnings():  # what the command line saves of modules is their configuration
            warnings.filterwarnings("ignore", "Attribute '.*' is an instance of `nn.Module`")
            self.save_hyperparameters()
        self.frontend, self.network = frontend, network
        self.optimizer, self.frontend_lr, self.decay = optimizer, frontend_lr, decay
        self.filters_epochs, self.segment_frames, self.seed = filters_epochs, segment_frames, seed
        # In the checkpoint, so that a test of it knows the stage.
        self.register_buffer("heads_bypassed", torch.tensor(filters_epochs > 0))
        parts = frontend.relevance.parts if isinstance(frontend, MultiHeadRelevance) else None
        stages: list[nn.Module] = [MinMaxScale(parts=parts)] if scale else []
        stages += [Deltas()] if deltas else []
        if mask_filters or mask_frames:
            stages.append(SpecAugment(mask_filters, mask_frames, parts=parts, aligned=aligned, maps=deltas))
        if crop is not None:
            stages.append(RandomCrop(crop, parts=parts, aligned=aligned, maps=deltas))
        self.transform = nn.Sequential(*stages)
        self.mixup = Mixup(mixup) if mixup else None
        self.classes: tuple[str, ...] = ()

    def setup(self, stage: str) -> None:
        """Take the classes from the data."""
        del stage
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        if data.sample_rate != self.frontend.sample_rate:
            raise ValueError(
                f"data.sample_rate must be the front-end's {self.frontend.sample_rate}, got {data.sample_rate} "
                "(model.frontend.init_args.sample_rate)"
            )
        self.classes = data.catalog.classes
        n = len(self.classes)
        self.train_accuracy: Metric = MulticlassAccuracy(n, average="micro")
        metrics: dict[str, Metric | MetricCollection] = {
            "accuracy": MulticlassAccuracy(n, average="micro"),
            "per_class": MulticlassAccuracy(n, average="none"),
            "confusion": ConfusionMatrix(task="multiclass", num_classes=n),
        }
        self.metrics = MetricCollection(metrics, compute_groups=False)

    def features(self, waveform: Tensor) -> Tensor:
        """Features of the current stage: ``(..., time)`` to ``(..., n_filters, frames)``."""
        features: Tensor
        if not self.filters_epochs:
            features = self.frontend(waveform)
            return features
        filterbank: nn.Module = self.frontend
        heads: nn.Module = nn.Identity()
        if isinstance(self.frontend, MultiHeadRelevance):
            filterbank, heads = self.frontend.frontend, self.frontend.relevance
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.heads_bypassed)):
            features = filterbank(waveform)
        return features if self.heads_bypassed else heads(features)

    def pieces(self, waveform: Tensor, lengths: Tensor) -> Pieces:
        """Give what the network classifies, of waveforms ``(batch, time)``."""
        if self.segment_frames is None:
            return Pieces(self.transform(self.features(waveform)), torch.arange(len(waveform), device=waveform.device))
        size = self.segment_frames
        frames = int(self.frontend.output_lengths(torch.tensor(waveform.shape[-1])))
        # Silence, so that the last segment is whole.
        hop_length: Any = self.frontend.hop_length
        features = self.features(F.pad(waveform, (0, -frames % size * hop_length)))
        segments = features.unflatten(-1, (-1, size)).movedim(-2, 1)
        first_frames = torch.arange(0, frames, size, device=lengths.device)
        kept = first_frames < self.frontend.output_lengths(lengths)[:, None]
        kept[:, 0] = True
        return Pieces(self.transform(segments[kept]), kept.nonzero()[:, 0])

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities of clips: ``(batch, time)`` and samples of each to ``(batch, n_classes)``."""
        pieces = self.pieces(waveform, lengths)
        return _mean_by_clip(self._classify(pieces.features), pieces.owner, len(waveform))

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, so that one begun again after a kill is the same, and set the stage."""
        torch.manual_seed(1_000_003 * self.seed + 1009 * self.current_epoch + self.global_rank)
        self.heads_bypassed.fill_(self.current_epoch < self.filters_epochs)

    def training_step(self, batch: Batch) -> Tensor:
        """Loss of a batch."""
        clips = len(batch["label"])
        features, owner = self.pieces(batch["waveform"], batch["lengths"])
        labels = batch["label"][owner]
        targets = F.one_hot(labels, len(self.classes)).to(features.dtype)
        if self.mixup is not None:
            features, targets = self.mixup(features, targets)
        log_probabilities = self._classify(features)
        # Of as many segments as all processes have on average: the mean of their gradients is that of one process.
        segments = self.trainer.strategy.reduce(torch.tensor(float(len(owner)), device=self.device), reduce_op="mean")
        loss = -(targets * log_probabilities).sum() / segments
        decision = _mean_by_clip(log_probabilities.detach(), owner, clips)
        leading = batch["label"] if self.mixup is None else targets.argmax(-1)
        self.train_accuracy(decision, leading)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=clips)
        self.log("train_accuracy", self.train_accuracy, on_step=False, on_epoch=True, prog_bar=True)
        self.log("lr", self.trainer.optimizers[0].param_groups[-1]["lr"], prog_bar=True, logger=False)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the last epoch."""
        self.metrics.reset()

    def validation_step(self, batch: Batch) -> None:
        """Count a batch."""
        decision = self(batch["waveform"], batch["lengths"])
        self.metrics.update(decision, batch["label"])
        loss = F.nll_loss(decision, batch["label"])
        self.log("val_loss", loss, sync_dist=True, batch_size=len(decision))

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy over all clips and processes."""
        self.log("val_accuracy", self.metrics.compute()["accuracy"], prog_bar=True)

    def on_test_epoch_start(self) -> None:
        """Forget earlier counts."""
        self.metrics.reset()

    def test_step(self, batch: Batch) -> Tensor:
        """Count a batch and give its log-probabilities."""
        decision: Tensor = self(batch["waveform"], batch["lengths"])
        self.metrics.update(decision, batch["label"])
        return decision

    def on_test_epoch_end(self) -> None:
        """Log the accuracy over all clips and processes."""
        self.log("test_accuracy", self.metrics.compute()["accuracy"])

    def predict_step(self, batch: Batch) -> Tensor:
        """Log-probabilities of a batch."""
        decision: Tensor = self(batch["waveform"], batch["lengths"])
        return decision

    def configure_optimizers(self) -> Any:
        """Filters at their own rate, without weight decay; all rates change at each step."""
        groups = self.frontend.param_groups(0.0, 0.0 if self.frontend_lr is None else self.frontend_lr)
        for group in groups:
            if group["name"] != "filters" or self.frontend_lr is None:
                del group["lr"]
        optimizer = self.optimizer([*groups, {"params": list(self.network.parameters()), "name": "network"}])
        if self.decay is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches / (self.trainer.max_epochs or math.inf)
        if not 0 < steps < math.inf:
            raise ValueError(f"max_epochs must be positive with a decay, got {self.trainer.max_epochs}")
        decay = self.decay
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: decay(step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.network(features)
        if self.classes and logits.shape[-1] != len(self.classes):
            raise ValueError(
                f"network must give {len(self.classes)} classes, got {logits.shape[-1]} "
                f"(model.network.init_args.n_classes; the data has {', '.join(self.classes)})"
            )
        return logits.float().log_softmax(-1)


def _mean_by_clip(pieces: Tensor, owner: Tensor, clips: int) -> Tensor:
    """Mean over the pieces of each clip, ``(pieces, n_classes)`` to ``(clips, n_classes)``."""
    total = pieces.new_zeros(clips, pieces.shape[1]).index_add(0, owner, pieces)
    return total / owner.bincount(minlength=clips)[:, None]
