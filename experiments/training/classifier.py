"""A front-end and a classifier, trained together from the waveform."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from experiments.files import BadDataError
from experiments.training.natural_steps import NaturalSteps
from experiments.training.overlap import neighbor_overlap
from experiments.training.rates import SCHEDULES, Decay
from learnable_frontends import Frontend, MultiHeadRelevance
from learnable_frontends.transforms import Deltas, MinMaxScale, Mixup, RandomCrop, SpecAugment

Batch = dict[str, Tensor]


class Pieces(NamedTuple):
    """What the network classifies: whole clips or segments of them, and the clip of the batch that each is of."""

    features: Tensor
    owner: Tensor


class Classifier(LightningModule):
    """Waveform, front-end, features scaled and augmented, network.

    With ``segment_frames`` the network sees segments. Those that begin after a clip's end are left out; a clip's
    decision is the mean of its segments' log-probabilities; the loss is the mean over segments.

    Args:
        frontend: Any front-end.
        network: From ``(batch, n_filters, frames)``, or ``(batch, 3, n_filters, frames)`` with ``deltas``, to logits.
        optimizer: Makes the optimizer; its learning rate is the highest of heads and network.
        frontend_lr: Highest learning rate of the filters; ``None`` for that of the optimizer, 0 fixes them.
        decay: The learning rate over time; ``None`` keeps it.
        schedule: When filters and heads learn: one of `experiments.training.rates.SCHEDULES`. In the first stage of
            ``"filters-first"`` heads are bypassed, and filters and network learn; then heads and network do.
        first_stage: Epochs of the first stage; ``None`` for half of them.
        natural: Whether steps of the filters are scaled by `NaturalSteps`.
        repulsion: Factor of the penalty on neighbors that are more alike than at the start.
        segment_frames: Frames of a segment; ``None`` classifies clips as a whole.
        scale: Scale each band of a head, in each clip, to [0, 1]. Without heads there is one band.
        deltas: Add deltas and delta-deltas.
        mask_filters: Largest number of filters masked in each head's band in training.
        mask_frames: Largest number of frames masked in training.
        crop: Frames kept in training; ``None`` keeps all.
        aligned: Whether heads share the places of masks and crops.
        mixup: Parameter of the Beta distribution that mixes pairs of clips in training; 0 for none.
        average: Share of the training over which the weights that are tested, and saved, are averaged exponentially; 0
            for those of the last step. Both are tested.
        rotations: Places from which a test clip is heard, evenly spread over it, its end followed by its start; its
            decision is the mean of their probabilities. It is for clips that are rotated in training.
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
        schedule: str = "jointly",
        first_stage: int | None = None,
        natural: bool = False,
        repulsion: float = 0.0,
        segment_frames: int | None = None,
        scale: bool = False,
        deltas: bool = False,
        mask_filters: int = 0,
        mask_frames: int = 0,
        crop: int | None = None,
        aligned: bool = True,
        mixup: float = 0.0,
        average: float = 0.0,
        rotations: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if segment_frames is not None and (mixup or deltas or crop is not None):
            raise ValueError(
                f"segment_frames must be null with mixup, deltas or crop, got {segment_frames} (these take clips)"
            )
        if segment_frames is not None and rotations != 1:
            raise ValueError(f"segment_frames must be null with rotations, got {segment_frames} and {rotations}")
        for name, value, fits, rule in (
            ("average", average, 0 <= average < 1, "from 0 to less than 1"),
            ("rotations", rotations, rotations >= 1, "at least 1"),
        ):
            if not fits:
                raise ValueError(f"{name} must be {rule}, got {value}")
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
        with warnings.catch_warnings():  # what the command line saves of modules is their configuration
            warnings.filterwarnings("ignore", "Attribute '.*' is an instance of `nn.Module`")
            self.save_hyperparameters()
        self.frontend, self.network = frontend, network
        self.optimizer, self.frontend_lr, self.decay = optimizer, frontend_lr, decay
        self.schedule, self.first_stage, self.natural, self.repulsion = schedule, first_stage, natural, repulsion
        self.segment_frames, self.seed = segment_frames, seed
        # In the checkpoint, so that a test of it knows the stage.
        self.register_buffer("heads_bypassed", torch.tensor(False))
        bands, self._context = None, 0
        if isinstance(frontend, MultiHeadRelevance):
            bands, self._context = frontend.relevance.parts, frontend.relevance.context
        stages: list[nn.Module] = [MinMaxScale(parts=bands)] if scale else []
        stages += [Deltas()] if deltas else []
        if mask_filters or mask_frames:
            stages.append(SpecAugment(mask_filters, mask_frames, parts=bands, aligned=aligned, maps=deltas))
        if crop is not None:
            stages.append(RandomCrop(crop, parts=bands, aligned=aligned, maps=deltas))
        self.transform = nn.Sequential(*stages)
        self.mixup = Mixup(mixup) if mixup else None
        self.classes: tuple[str, ...] = ()
        self.average, self.rotations, self._averaged_now = average, rotations, False
        self.averaged: AveragedModel | None = None
        if average:  # in the checkpoint too; no optimizer and no other process sees it
            trained = nn.ModuleDict({"frontend": frontend, "network": network})
            self.averaged = AveragedModel(trained, use_buffers=True).requires_grad_(False)
        self.outcomes: dict[str, dict[int, list[Tensor]]] = {}
        self._steps = 1.0

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

    def features(self, waveform: Tensor) -> Tensor:
        """Features of the current stage: ``(..., time)`` to ``(..., n_filters, frames)``."""
        frontend = self.frontend
        if isinstance(frontend, MultiHeadRelevance) and self.heads_bypassed:
            frontend = frontend.frontend
        features: Tensor = frontend(waveform)
        return features

    def pieces(self, waveform: Tensor, lengths: Tensor) -> Pieces:
        """Return what the network classifies, of waveforms ``(batch, time)``."""
        if self.segment_frames is None:
            return Pieces(self.transform(self.features(waveform)), torch.arange(len(waveform), device=waveform.device))
        size = self.segment_frames
        frames = int(self.frontend.output_lengths(torch.tensor(waveform.shape[-1])))
        # Silence, so that the last segment is whole and heads read the same after it, whatever clips are in the batch.
        hop_length: Any = self.frontend.hop_length
        whole = frames + -frames % size
        features = self.features(F.pad(waveform, (0, (whole - frames + self._context) * hop_length)))[..., :whole]
        segments = features.unflatten(-1, (-1, size)).movedim(-2, 1)
        first_frames = torch.arange(0, frames, size, device=lengths.device)
        kept = first_frames < self.frontend.output_lengths(lengths)[:, None]
        kept[:, 0] = True
        return Pieces(self.transform(segments[kept]), kept.nonzero()[:, 0])

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities of clips: ``(batch, time)`` and samples of each to ``(batch, n_classes)``."""
        pieces = self.pieces(waveform, lengths)
        return _mean_by_clip(self._classify(pieces.features), pieces.owner, len(waveform))

    def on_fit_start(self) -> None:
        """Begin to scale steps, and remember how alike filters are before training."""
        if self.natural:  # anew each epoch, so that a kill is not seen
            NaturalSteps(self.trainer.optimizers[0], self.frontend, every=self.trainer.num_training_batches)  # type: ignore[arg-type]
        if self.repulsion:
            self._overlap = neighbor_overlap(self.frontend.as_initialized()).detach()

    def on_train_epoch_start(self) -> None:
        """Seed the epoch, so that one begun again after a kill is the same."""
        torch.manual_seed(1_000_003 * self.seed + 1009 * self.current_epoch + self.global_rank)
        self._loss, self._right, self._clips = torch.zeros(2, device=self.device), 0, 0

    def training_step(self, batch: Batch) -> Tensor:
        """Loss of a batch."""
        if self.schedule == "filters-first":
            self.heads_bypassed.fill_(self.trainer.global_step / self._steps < self._first_share())
        clips = len(batch["label"])
        features, owner = self.pieces(batch["waveform"], batch["lengths"])
        labels = batch["label"][owner]
        targets = F.one_hot(labels, len(self.classes)).to(features.dtype)
        if self.mixup is not None:
            features, targets = self.mixup(features, targets)
        log_probabilities = self._classify(features)
        segments: Any = len(owner)
        if self.trainer.world_size > 1:
            # Of as many as all processes have on average: the mean of their gradients is that of one process.
            segments = self.trainer.strategy.reduce(torch.tensor(float(segments), device=self.device), reduce_op="mean")
        loss: Tensor = -(targets * log_probabilities).sum() / segments
        with torch.no_grad():
            decision = _mean_by_clip(log_probabilities, owner, clips)
            leading = batch["label"] if self.mixup is None else targets.argmax(-1)
            self._loss += torch.stack([loss.detach(), (decision.argmax(-1) == leading).sum()])
            self._clips += clips
        if self.repulsion:
            loss += self.repulsion * (neighbor_overlap(self.frontend) - self._overlap).relu().mean()
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the weights of this step, and the statistics of its batch, into the average."""
        if self.averaged is not None:
            steps = max(1.0, self.average * float(self.trainer.estimated_stepping_batches))
            self.averaged.multi_avg_fn = get_ema_multi_avg_fn(1 - 1 / steps)
            self.averaged.update_parameters(nn.ModuleDict({"frontend": self.frontend, "network": self.network}))

    def on_train_epoch_end(self) -> None:
        """Log the epoch, and stop where it cannot be learned from.

        Raises:
            BadDataError: If the loss is not finite.
        """
        loss, right = (
            self._loss / torch.tensor([self.trainer.num_training_batches, self._clips]).to(self._loss)
        ).tolist()
        if not abs(loss) < float("inf"):
            raise BadDataError(f"the loss is not finite in epoch {self.current_epoch + 1} (lower the learning rate)")
        self.log("train_loss", loss, sync_dist=True)
        self.log("train_accuracy", right, prog_bar=True, sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Forget the clips of before."""
        self.outcomes = {}

    def validation_step(self, batch: Batch) -> None:
        """Classify a batch."""
        self._note(batch, self.tested, self(batch["waveform"], batch["lengths"]))

    def on_test_epoch_start(self) -> None:
        """Forget the clips of before, and take the averaged weights."""
        self.outcomes = {}
        if self.averaged is not None and not self._averaged_now:
            self._exchange()

    on_predict_epoch_start = on_test_epoch_start

    def test_step(self, batch: Batch) -> None:
        """Classify a batch in each of the ways that the tested one is made of."""
        self._hear(batch, self.tested.partition(",")[0])
        if self.averaged is not None:
            self._exchange()
            self._hear(batch, "last")
            self._exchange()

    predict_step = test_step

    @property
    def ways(self) -> list[str]:
        """How test clips are classified, keys of ``outcomes``: with which weights, and how often heard."""
        weights = ["last"] if self.averaged is None else ["last", "averaged"]
        return [name + heard for name in weights for heard in ("", ", rotated")[: min(2, self.rotations)]]

    @property
    def tested(self) -> str:
        """The one of `ways` that counts. In a validation the weights are those of the last step in any case."""
        return self.ways[-1]

    def _hear(self, batch: Batch, weights: str) -> None:
        waveform, lengths, n = batch["waveform"], batch["lengths"], self.rotations
        heard = torch.stack([self(waveform.roll(k * waveform.shape[-1] // n, -1), lengths) for k in range(n)])
        self._note(batch, weights, heard[0])
        if n > 1:
            self._note(batch, f"{weights}, rotated", heard.logsumexp(0).log_softmax(-1))

    def _note(self, batch: Batch, way: str, decisions: Tensor) -> None:
        for i, decision in zip(batch["index"].tolist(), decisions.double().cpu(), strict=True):
            self.outcomes.setdefault(way, {}).setdefault(i, []).append(decision)

    def _exchange(self) -> None:
        """Exchange the weights of the last step and the averaged ones."""
        kept: Any = self.averaged
        kept.module["frontend"], self.frontend = self.frontend, kept.module["frontend"]
        kept.module["network"], self.network = self.network, kept.module["network"]
        self._averaged_now = not self._averaged_now

    def on_validation_epoch_end(self) -> None:
        """Log accuracy and loss over all clips and processes."""
        found = self.gather()
        labels = torch.tensor([self.trainer.datamodule.catalog.clips[i].label for i in found])  # type: ignore[attr-defined]
        decisions = torch.stack(list(found.values()))
        # The same in all processes.
        self.log("val_loss", F.nll_loss(decisions, labels).float(), rank_zero_only=False)
        self.log("val_accuracy", (decisions.argmax(-1) == labels).float().mean(), prog_bar=True)

    def gather(self, way: str | None = None) -> dict[int, Tensor]:
        """Mean log-probabilities of each clip, in order, from all processes: of one way to classify, or `tested`."""
        own = self.outcomes.get(way or self.tested, {})
        everyones: list[Any] = [own]
        if self.trainer.world_size > 1:
            everyones = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(everyones, own)
        together: dict[int, list[Tensor]] = {}
        for own in everyones:
            for i, values in own.items():
                together.setdefault(i, []).extend(values)
        return {i: torch.stack(together[i]).mean(0) for i in sorted(together)}

    def configure_optimizers(self) -> Any:
        """Filters at their own rate, without weight decay; rates change at each step."""
        groups = self.frontend.param_groups(0.0, 0.0 if self.frontend_lr is None else self.frontend_lr)
        for group in groups:
            if group["name"] != "filters" or self.frontend_lr is None:
                del group["lr"]
        optimizer = self.optimizer([*groups, {"params": list(self.network.parameters()), "name": "network"}])
        if self.first_stage is not None and self.first_stage >= (self.trainer.max_epochs or 0):
            raise ValueError(
                f"first_stage must be less than the {self.trainer.max_epochs} epochs, got {self.first_stage}"
            )
        if self.decay is None and self.schedule == "jointly":
            return optimizer
        epochs = self.trainer.max_epochs or 0
        self._steps = float(self.trainer.estimated_stepping_batches)
        if not 0 < epochs < float("inf") or not 0 < self._steps < float("inf"):
            raise ValueError(f"max_epochs must be positive with a decay or a schedule, got {self.trainer.max_epochs}")
        decay, factor, stage = self.decay, SCHEDULES[self.schedule], self._first_share()

        def rate(group: str) -> Callable[[int], float]:
            def at(step: int) -> float:
                done = step / self._steps
                return factor(group, done, stage) * (1.0 if decay is None else decay(done * epochs, epochs))

            return at

        rates = [rate(group["name"]) for group in optimizer.param_groups]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _first_share(self) -> float:
        return 0.5 if self.first_stage is None else self.first_stage / (self.trainer.max_epochs or 1)

    def _classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.network(features)
        if self.classes and logits.shape[-1] != len(self.classes):
            raise ValueError(
                f"network must have {len(self.classes)} classes, got {logits.shape[-1]} "
                f"(model.network.init_args.n_classes; the data has {', '.join(self.classes)})"
            )
        return logits.float().log_softmax(-1)


def _mean_by_clip(pieces: Tensor, owner: Tensor, clips: int) -> Tensor:
    """Mean over the pieces of each clip, ``(pieces, n_classes)`` to ``(clips, n_classes)``."""
    if len(pieces) == clips:
        return pieces
    total = pieces.new_zeros(clips, pieces.shape[1]).index_add(0, owner, pieces)
    return total / owner.bincount(minlength=clips)[:, None]
