"""Schedules of learning rates, and when filters, relevance heads and network learn."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

RISE = 0.3  # share of a training in which a warm-up rises


class Decay(ABC):
    """The share of the highest learning rate at any time of a training."""

    @abstractmethod
    def __call__(self, epoch: float, epochs: int) -> float:
        """Return the share after ``epoch`` of ``epochs`` epochs, in fractions of one too."""


class OneCycle(Decay):
    """Half a cosine up in the first part of the training, and one down to almost nothing in the rest.

    Args:
        rise: Share of the training in which the rate rises.
        start: Share of the highest rate at the start.
        end: Share of it at the end.

    Example:
        >>> [round(OneCycle()(epoch, 10), 4) for epoch in (0, 1.5, 3, 6.5, 10)]
        [0.04, 0.52, 1.0, 0.5, 0.0]

    Source: Smith and Topin, "Super-convergence", 2019; constants of `torch.optim.lr_scheduler.OneCycleLR`.
    """

    def __init__(self, rise: float = 0.3, start: float = 1 / 25, end: float = 1 / 250_000) -> None:
        self.rise, self.start, self.end = rise, start, end

    def __call__(self, epoch: float, epochs: int) -> float:
        """Return the share after ``epoch`` epochs."""
        done = epoch / epochs
        if done < self.rise:
            return self.start + (1 - self.start) * _half_cosine(done / self.rise)
        return 1 + (self.end - 1) * _half_cosine((done - self.rise) / (1 - self.rise))


class StepDecay(Decay):
    """Multiply the rate every few epochs.

    Args:
        every: Epochs between the steps.
        factor: What the rate is multiplied with.

    Example:
        >>> [StepDecay()(epoch, 30) for epoch in (0, 9.9, 10)]
        [1.0, 1.0, 0.1]

    Source: the published code of Dutta et al. 2021 for UrbanSound8K.
    """

    def __init__(self, every: int = 10, factor: float = 0.1) -> None:
        self.every, self.factor = every, factor

    def __call__(self, epoch: float, epochs: int) -> float:
        """Return the share after ``epoch`` epochs."""
        del epochs
        return float(self.factor ** (epoch // self.every))


class CosineRestarts(Decay):
    """Half a cosine from the highest rate down, started again after periods that grow.

    Args:
        first: Epochs of the first period.
        multiple: How much longer each period is than the one before.
        least: Share that the rate falls to.

    Example:
        >>> decay = CosineRestarts()
        >>> [round(decay(epoch, 7), 4) for epoch in (0, 0.5, 0.999999, 1, 2, 2.999999, 3)]
        [1.0, 0.5001, 0.0001, 1.0, 0.5001, 0.0001, 1.0]

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, with the published code's periods of 1, 2, 4, ... epochs and
    floor of 1e-4 of the highest rate: 0.1 to 1e-5 in Dutta et al. 2021.
    """

    def __init__(self, first: int = 1, multiple: int = 2, least: float = 1e-4) -> None:
        self.first, self.multiple, self.least = first, multiple, least

    def __call__(self, epoch: float, epochs: int) -> float:
        """Return the share after ``epoch`` epochs."""
        del epochs
        period: float = self.first
        while epoch >= period:
            epoch, period = epoch - period, period * self.multiple
        return 1 + (self.least - 1) * _half_cosine(epoch / period)


def _half_cosine(done: float) -> float:
    """Rise from 0 to 1 along half a cosine."""
    return (1 - math.cos(math.pi * min(1.0, done))) / 2


# From the name of a parameter group, the share of the training that is over, and the share that the first stage takes,
# to a factor of the group's rate. The groups are those of `Frontend.param_groups`: "filters", and "frontend" for heads.
SCHEDULES: dict[str, Callable[[str, float, float], float]] = {
    "jointly": lambda group, done, stage: 1.0,  # noqa: ARG005
    "warm-up": lambda group, done, stage: min(1.0, done / RISE) if group == "filters" else 1.0,  # noqa: ARG005
    # With heads as published: they are not there in the first stage.
    "filters-first": lambda group, done, stage: float(
        {"filters": done < stage, "frontend": done >= stage}.get(group, True)
    ),
    "filters-last": lambda group, done, stage: float(group != "filters" or done >= stage),
}
