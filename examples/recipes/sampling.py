"""Which clips a training process sees, in which order: the same in every run, and for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

Item = tuple[int, int]


class EpochSampler(Sampler[Item]):
    """Pairs of epoch and clip for one of several processes.

    The order of an epoch is drawn from the seed and the epoch alone. Of it, process ``rank`` takes every ``world``-th
    clip, so that the batches of all processes together hold the clips of one process's larger batch. Workers learn the
    epoch from the pairs and need no state.

    Args:
        clips: Indices of clips.
        seed: Seed of the order; ``None`` keeps the order of ``clips``.
        batch_size: Clips of a step over all processes; an incomplete last step is left out. 0 keeps all clips.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        ValueError: If there are fewer clips than ``batch_size``, or it is not a multiple of ``world``.
    """

    def __init__(
        self, clips: Sequence[int], *, seed: int | None = None, batch_size: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size % world:
            raise ValueError(f"batch_size must be a multiple of the {world} processes, got {batch_size}")
        if not len(clips) >= max(1, batch_size):
            raise ValueError(f"batch_size must be at most the {len(clips)} clips, got {batch_size}")
        kept = len(clips) - len(clips) % batch_size if batch_size else len(clips)
        self.clips, self.seed, self.kept, self.rank, self.world = list(clips), seed, kept, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives; the trainer calls this."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Item]:
        order = list(range(len(self.clips)))
        if self.seed is not None:
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
            order = torch.randperm(len(order), generator=generator).tolist()
        return iter([(self.epoch, self.clips[i]) for i in order[: self.kept][self.rank :: self.world]])

    def __len__(self) -> int:
        return len(range(self.rank, self.kept, self.world))
