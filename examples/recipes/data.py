"""The data sets of the recipes as batches of waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from recipes.catalog import BLIND, COPY_OF, BadDataError, Catalog, add_copies, another, by_label, read_catalog
from recipes.sampling import EpochSampler, Item
from recipes.spectrum_correction import REFERENCE, correction
from recipes.store import Store
from recipes.waveforms import WaveformAugmentation

Example = tuple[np.ndarray, int, int]


class Clips(Dataset[Example]):
    """Clips of a store as waveform, label (-1 if unknown) and index, asked for by pairs of epoch and index.

    Args:
        store: Decoded clips.
        length: Samples that clips are cut or padded to; ``None`` leaves them.
        augmentation: Changes waveforms, each epoch anew; ``None`` for none.
        partners: Clips that may be mixed in; same-class mixing takes those of a clip's own class.
        seed: Chooses among partners.
    """

    def __init__(
        self,
        store: Store,
        *,
        length: int | None = None,
        augmentation: WaveformAugmentation | None = None,
        partners: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        self.store, self.length, self.augmentation, self.seed = store, length, augmentation, seed
        self.partners = by_label(store.catalog, partners)

    def __getitem__(self, item: Item) -> Example:
        epoch, i = item
        label = self.store.catalog.clips[i].label
        waveform = self.store[i]
        if self.augmentation is not None:
            partner = another(self.partners[label], i, self.seed, epoch, i, 1)  # the same whenever this epoch is run
            waveform = self.augmentation(
                waveform,
                epoch=epoch,
                index=i,
                same_class=None if partner is None else partial(self.store.__getitem__, partner),
                correct=self.store.catalog.clips[i].device != REFERENCE,
            )
        if self.length is not None:
            waveform = waveform[: self.length]
            waveform = np.pad(waveform, (0, self.length - len(waveform)))
        # The published code divides by the peak plus 1e-4.
        waveform = waveform / (np.abs(waveform).max() + np.float32(1e-4))
        return waveform.astype(np.float32, copy=False), -1 if label is None else label, i


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


class RecipeData(LightningDataModule):
    """Training, validation, test and blind clips of a data set, by its own folds.

    Args:
        root: Folder of the data set.
        dataset: Its layout: UrbanSound8K, TAU Urban Acoustic Scenes 2020 Mobile, or a folder for each class.
        test_fold: Fold that is tested on; all others are trained on.
        val_fold: Fold left out of training and looked at after each epoch. ``None`` for none; the same as
            ``test_fold`` watches the test, which must then choose nothing.
        blind: Folder of the held-out set without labels, for ``predict``; of ``dcase2020_task1a`` only.
        sample_rate: Samples per second that clips are resampled to.
        cache: Folder for decoded clips; ``None`` keeps them in memory.
        seconds: Length that clips are cut or padded to; ``None`` keeps each clip's own.
        batch_size: Clips of a step, over all processes.
        workers: Processes that load; 0 loads in the training process.
        augmentation: Changes of training waveforms; ``None`` for none.
        correct_spectra: Let ``augmentation`` correct spectra too, as `recipes.spectrum_correction` estimates from
            training clips that device a and another recorded at once.
        copies: Folder that ``recipes/offline.py`` wrote, to be trained on too; ``None`` for none.
        skip_bad: Leave clips out that cannot be used, rather than stop; the run's record counts them.
        seed: Of the order of clips and the choice of partners; the run's own by default.

    Raises:
        BadDataError: If clips cannot be used, the message lists all of them; or a fold is not one of the data set's.
        ValueError: If arguments do not go together, or nothing is left to train on.
    """

    store: Store

    def __init__(
        self,
        root: Path,
        dataset: Literal["urbansound8k", "dcase2020_task1a", "folders"],
        *,
        test_fold: str,
        val_fold: str | None = None,
        blind: Path | None = None,
        sample_rate: int = 44100,
        cache: Path | None = None,
        seconds: float | None = None,
        batch_size: int = 32,
        workers: int = 0,
        augmentation: WaveformAugmentation | None = None,
        correct_spectra: bool = False,
        copies: Path | None = None,
        skip_bad: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if blind is not None and dataset != "dcase2020_task1a":
            raise ValueError(f"blind must be left out with dataset={dataset!r}, got {blind} (it has no blind set)")
        if correct_spectra and augmentation is None:
            raise ValueError("augmentation must be given with correct_spectra, got None (it is one of its changes)")
        self.root, self.dataset, self.test_fold, self.val_fold, self.blind = root, dataset, test_fold, val_fold, blind
        self.sample_rate, self.cache, self.batch_size, self.workers = sample_rate, cache, batch_size, workers
        self.length = None if seconds is None else round(seconds * sample_rate)
        self.augmentation, self.correct_spectra, self.copies = augmentation, correct_spectra, copies
        self.skip_bad, self.seed = skip_bad, seed
        self.first_epoch = 0

    @property
    def catalog(self) -> Catalog:
        """The clips that are used."""
        return self.store.catalog

    def prepare_data(self) -> None:
        """Decode into the cache, in one process of each machine, before all others read from there."""
        if self.cache is not None:
            self._open()

    def setup(self, stage: str) -> None:
        """Open the clips and check the folds, in every process."""
        self._open()
        found = {clip.fold for clip in self.catalog.clips if not clip.fold.startswith(COPY_OF)}
        folds = sorted(found - {BLIND}, key=lambda fold: (len(fold), fold))
        for name in ("test_fold", "val_fold"):
            if (fold := getattr(self, name)) is not None and fold not in folds:
                raise BadDataError(f"{name} must be one of {folds}, got {fold!r}")
        if stage == "fit" and self.augmentation is not None and self.correct_spectra:
            self.augmentation.correction = correction(self.catalog, self.store.__getitem__)
            if self.augmentation.correction is None:
                raise BadDataError(f"{self.root} has no training clips of device {REFERENCE} and another at once")
        if stage == "predict" and not self._clips({BLIND}):
            raise ValueError("blind must be the folder of a set without labels to predict, got none")

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of training clips."""
        held_out = {self.test_fold, self.val_fold, BLIND}
        held_out |= {f"{COPY_OF}{fold}" for fold in held_out}
        clips = self._clips({clip.fold for clip in self.catalog.clips if clip.fold not in held_out})
        data = Clips(self.store, length=self.length, augmentation=self.augmentation, partners=clips, seed=self.seed)
        return self._loader(data, clips, training=True)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Batches of validation clips; none without ``val_fold``."""
        return [] if self.val_fold is None else self._evaluation({self.val_fold})

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of test clips."""
        return self._evaluation({self.test_fold})

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the blind set."""
        return self._evaluation({BLIND})

    def state_dict(self) -> dict[str, Any]:
        """Give the epoch that a run goes on with; checkpoints are saved at the end of one."""
        return {"first_epoch": self.trainer.current_epoch + 1 if self.trainer else 0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back: the trainer draws a run's first batches before it tells the sampler the epoch."""
        self.first_epoch = state_dict["first_epoch"]

    def _open(self) -> None:
        if not hasattr(self, "store"):
            blind = {} if self.blind is None else {"blind": self.blind}
            catalog = read_catalog(self.dataset, self.root, skip_bad=self.skip_bad, **blind)
            if self.copies is not None:
                catalog = add_copies(catalog, self.root, self.copies)
            self.store = Store(catalog, self.sample_rate, self.cache, skip_bad=self.skip_bad)

    def _clips(self, folds: set[str]) -> list[int]:
        return [i for i, clip in enumerate(self.catalog.clips) if clip.fold in folds]

    def _evaluation(self, folds: set[str]) -> DataLoader[Any]:
        return self._loader(Clips(self.store, length=self.length), self._clips(folds), training=False)

    def _loader(self, data: Clips, clips: Sequence[int], *, training: bool) -> DataLoader[Any]:
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        batch_size = self.batch_size if training else 0
        seed = self.seed if training else None
        sampler = EpochSampler(clips, seed=seed, batch_size=batch_size, rank=rank, world=world)
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
