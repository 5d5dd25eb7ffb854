"""Which clips a training process uses, in which order: the same in every run, and for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from experiments.files import BadDataError

Item = tuple[int, int]


class EpochSampler(Sampler[Item]):
    """Pairs of epoch and index for one of several processes.

    The order of an epoch is drawn from the seed and the epoch alone. Of it, process ``rank`` takes every ``world``-th
    index, so that the batches of all processes together hold those of one process's larger batch. Workers learn the
    epoch from the pairs and need no state.

    Args:
        count: Number of examples.
        seed: Seed of the order; ``None`` keeps it.
        batch_size: Examples of a step over all processes; an incomplete last step is left out. 0 keeps all.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        BadDataError: If there are fewer examples than ``batch_size``, or it is not a multiple of ``world``.
    """

    def __init__(
        self, count: int, *, seed: int | None = None, batch_size: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size % world:
            raise BadDataError(f"batch_size must be a multiple of the {world} processes, got {batch_size}")
        if not count >= max(1, batch_size):
            raise BadDataError(f"batch_size must be at most the {count} training examples, got {batch_size}")
        kept = count - count % batch_size if batch_size else count
        self.count, self.seed, self.kept, self.rank, self.world = count, seed, kept, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; the trainer calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Item]:
        order = list(range(self.count))
        if self.seed is not None:
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
            order = torch.randperm(self.count, generator=generator).tolist()
        return iter([(self.epoch, i) for i in order[: self.kept][self.rank :: self.world]])

    def __len__(self) -> int:
        return len(range(self.rank, self.kept, self.world))
