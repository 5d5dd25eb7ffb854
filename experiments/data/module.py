"""The clips of a data set as batches of waveforms for training, validation and test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal, cast

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from experiments.data.augmentation import WaveformAugmentation
from experiments.data.catalog import BLIND, COPY_OF, Catalog, another, by_label
from experiments.data.reading import divide_by_peak
from experiments.data.sampling import EpochSampler, Item
from experiments.data.spectrum_correction import REFERENCE, correction
from experiments.data.store import Store, open_store
from experiments.files import BadDataError

Example = tuple[np.ndarray, int, int]


class Clips(Dataset[Example]):
    """Clips of a store as waveform, label (-1 if unknown) and index of the clip, asked for by `EpochSampler`.

    Args:
        store: Decoded clips.
        clips: Which of them.
        length: Samples that clips are cut or padded to; ``None`` leaves them.
        windows: Whether a clip longer than ``length`` is several examples, as many as cover it: in training each from
            a place drawn anew in each epoch; else one after the other, the last one up to its end.
        training: Whether to augment, to rotate and to draw windows.
        rotate: Rotate each clip in time by an amount drawn anew: its class does not depend on where it starts.
        augmentation: Changes waveforms, each epoch anew; ``None`` for none.
        seed: Chooses windows, and clips that are mixed in.
    """

    def __init__(
        self,
        store: Store,
        clips: Sequence[int],
        *,
        length: int | None = None,
        windows: bool = False,
        training: bool = False,
        rotate: bool = False,
        augmentation: WaveformAugmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.store, self.length, self.augmentation, self.seed = store, length, augmentation, seed
        self.drawn, self.rotated = windows and training, rotate and training
        self.of_class = by_label(store.catalog, clips)
        self.items = [(i, start) for i in clips for start in self._starts(i, windows)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: Item) -> Example:
        epoch, k = item
        i, start = self.items[k]
        label = self.store.catalog.clips[i].label
        waveform = self._waveform(i, start, epoch, k, 0)
        if self.augmentation is not None:
            partner = another(self.of_class[label], i, self.seed, epoch, k, 1)  # the same whenever this epoch is run
            waveform = self.augmentation(
                waveform,
                epoch=epoch,
                index=k,
                same_class=None if partner is None else lambda: self._waveform(partner, 0, epoch, k, 2),
                correct=self.store.catalog.clips[i].device != REFERENCE,
            )
        if self.length is not None:
            waveform = np.pad(waveform[: self.length], (0, max(0, self.length - len(waveform))))
        if self.rotated:  # by Python's generator: a new one of NumPy takes longer than the rotation
            waveform = np.roll(waveform, Random(f"{self.seed} {epoch} {k}").randrange(len(waveform)))
        return divide_by_peak(waveform), -1 if label is None else label, i

    def _starts(self, i: int, windows: bool) -> list[int]:
        """Where the examples of a clip start; those of training are drawn later."""
        length, total = self.length, self.store.length(i)
        if not windows or length is None or total <= length:
            return [0]
        count = -(-total // length)
        return [min(n * length, total - length) for n in range(count)]

    def _waveform(self, i: int, start: int, *seed: int) -> np.ndarray:
        length, total = self.length, self.store.length(i)
        if self.drawn and length is not None and total > length:
            start = int(np.random.default_rng((self.seed, *seed)).integers(total - length + 1))
        return self.store.read(i, start, length)


def open_clips(store: Store, folds: set[str], seconds: float | None, window: float | None, **options: Any) -> Clips:
    """Open the clips of some folds, as `ClipData` has their lengths; ``options`` are those of `Clips` in training."""
    length = seconds if window is None else window
    samples = None if length is None else round(length * store.sample_rate)
    clips = [i for i, clip in enumerate(store.catalog.clips) if clip.fold in folds]
    return Clips(store, clips, length=samples, windows=window is not None, **options)


def collate(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Make a batch, shorter waveforms followed by zeros."""
    lengths = [len(waveform) for waveform, _, _ in examples]
    waveforms = torch.zeros(len(examples), max(lengths))
    for row, (waveform, _, _) in zip(waveforms, examples, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    labels, indices = ([example[k] for example in examples] for k in (1, 2))
    return {
        "waveform": waveforms,
        "lengths": torch.tensor(lengths),
        "label": torch.tensor(labels),
        "index": torch.tensor(indices),
    }


class ClipData(LightningDataModule):
    """Training, validation, test and blind clips of a data set.

    Args:
        root: Folder of the data set.
        dataset: Its layout: a folder for each class, UrbanSound8K, or TAU Urban Acoustic Scenes 2020 Mobile.
        test_fold: Fold that is tested on; all others are trained on.
        val_fold: Fold left out of training and looked at after each epoch. ``None`` for none; the same as
            ``test_fold`` watches the test, which must then choose nothing.
        options: Arguments of the layout's reader, as ``table`` or ``group`` of `experiments.data.folders.read`.
        sample_rate: Samples per second that clips are resampled to.
        cache: Folder for decoded clips.
        seconds: Length that clips are cut or padded to; ``None`` keeps each clip's own.
        window: Seconds of the windows that long recordings are trained and tested on, in place of ``seconds``: drawn
            anew in each epoch for training; for a test one after the other, and the recording's class is that of the
            mean log-probability.
        rotate: Whether training clips are rotated in time by a random amount.
        batch_size: Clips of a step, over all processes.
        workers: Processes that load; 0 loads in the training process.
        augmentation: Changes of training waveforms; ``None`` for none.
        correct_spectra: Let ``augmentation`` correct spectra too, as `experiments.data.spectrum_correction` estimates
            from training clips that device a and another recorded at once.
        copies: Folder that `experiments.data.offline` wrote, to be trained on too; ``None`` for none.
        skip_bad: Leave clips out that cannot be used, rather than stop; the run's record counts them.
        seed: Of the order of clips and of windows; the run's own by default.

    Raises:
        BadDataError: If arguments are out of bounds or do not go together; if clips cannot be used, the message lists
            all of them; if a fold is not one of the data set's, or nothing is left to train on.
    """

    store: Store

    def __init__(
        self,
        root: Path,
        dataset: Literal["folders", "urbansound8k", "dcase2020_task1a"] = "folders",
        *,
        test_fold: str,
        val_fold: str | None = None,
        options: dict[str, Any] | None = None,
        sample_rate: int = 44100,
        cache: Path = Path("runs/cache"),
        seconds: float | None = None,
        window: float | None = None,
        rotate: bool = False,
        batch_size: int = 32,
        workers: int = 0,
        augmentation: WaveformAugmentation | None = None,
        correct_spectra: bool = False,
        copies: Path | None = None,
        skip_bad: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        numbers = {"sample_rate": sample_rate, "batch_size": batch_size, "seconds": seconds, "window": window}
        for name, value in numbers.items():
            if value is not None and not 0 < value < math.inf:
                raise BadDataError(f"{name} must be positive and finite, got {value}")
        if correct_spectra and augmentation is None:
            raise BadDataError("augmentation must be given with correct_spectra, got None (it is one of its changes)")
        if seconds is not None and window is not None:
            raise BadDataError(f"seconds must be left out with a window, got {seconds} and {window}")
        self.root, self.dataset, self.test_fold, self.val_fold = root, dataset, test_fold, val_fold
        self.options, self.sample_rate, self.cache = options or {}, sample_rate, cache
        self.seconds, self.window, self.rotate = seconds, window, rotate
        self.batch_size, self.workers = batch_size, workers
        self.augmentation, self.correct_spectra, self.copies = augmentation, correct_spectra, copies
        self.skip_bad, self.seed, self.first_epoch = skip_bad, seed, 0

    @property
    def catalog(self) -> Catalog:
        """The clips that are used."""
        return self.store.catalog

    def prepare_data(self) -> None:
        """Decode into the cache, in one process of each machine, before all others read from there."""
        self._open()

    def setup(self, stage: str) -> None:
        """Open the clips and check the folds, in every process."""
        self._open()
        for name in ("test_fold", "val_fold"):
            if (fold := getattr(self, name)) is not None and fold not in self.catalog.folds:
                raise BadDataError(f"{name} must be one of {self.catalog.folds}, got {fold!r}")
        if stage == "fit" and self.augmentation is not None and self.correct_spectra:
            self.augmentation.correction = correction(self.catalog, self.store.read)
            if self.augmentation.correction is None:
                raise BadDataError(f"{self.root} has no training clips of device {REFERENCE} and another at once")
        if stage == "predict" and all(clip.fold != BLIND for clip in self.catalog.clips):
            raise BadDataError("options.blind must be the folder of a set without labels to predict, got none")

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training clips."""
        held_out = {self.test_fold, self.val_fold, BLIND}
        held_out |= {f"{COPY_OF}{fold}" for fold in held_out}
        return self._loader({clip.fold for clip in self.catalog.clips} - held_out, training=True)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of validation clips; none without ``val_fold``."""
        return [] if self.val_fold is None else self._loader({self.val_fold})

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of test clips."""
        return self._loader({self.test_fold})

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the blind set."""
        return self._loader({BLIND})

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch that a run resumes with; checkpoints are saved at the end of one."""
        return {"first_epoch": self.trainer.current_epoch + 1 if self.trainer else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back: the trainer draws a run's first batches before it tells the sampler the epoch."""
        self.first_epoch = state_dict["first_epoch"]

    def _open(self) -> None:
        if not hasattr(self, "store"):
            names = ("root", "dataset", "options", "sample_rate", "cache", "seconds", "copies", "skip_bad", "test_fold")
            self.store = open_store({name: getattr(self, name) for name in names})

    def _loader(self, folds: set[str], *, training: bool = False) -> DataLoader[Any]:
        how: dict[str, Any] = {}
        if training:
            how = {"training": True, "rotate": self.rotate, "augmentation": self.augmentation, "seed": self.seed}
        data = open_clips(self.store, folds, self.seconds, self.window, **how)
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        drawn = {"seed": self.seed, "batch_size": self.batch_size} if training else {}
        sampler = EpochSampler(len(data), rank=rank, world=world, **drawn)
        if training:
            sampler.set_epoch(self.first_epoch)
        return DataLoader(
            cast("Dataset[Any]", data),
            batch_size=max(1, self.batch_size // world),
            sampler=sampler,
            collate_fn=collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # the loader draws a seed: not from the numbers of the training
        )
