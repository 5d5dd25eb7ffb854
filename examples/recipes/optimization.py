"""Learning rates as shares of their highest value, over the epochs of a training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod


class Decay(ABC):
    """The share of the highest learning rate at any time of a training."""

    @abstractmethod
    def __call__(self, epoch: float) -> float:
        """Give the share after ``epoch`` epochs, in fractions of one too."""


class StepDecay(Decay):
    """Multiply the rate every few epochs.

    Args:
        every: Epochs between the steps.
        factor: What the rate is multiplied with.

    Example:
        >>> [StepDecay()(epoch) for epoch in (0, 9.9, 10)]
        [1.0, 1.0, 0.1]

    Source: the published code of Dutta et al. 2021 for UrbanSound8K.
    """

    def __init__(self, every: int = 10, factor: float = 0.1) -> None:
        self.every, self.factor = every, factor

    def __call__(self, epoch: float) -> float:
        """Give the share after ``epoch`` epochs."""
        return float(self.factor ** (epoch // self.every))


class CosineRestarts(Decay):
    """Half a cosine from the highest rate down, started again after periods that grow.

    Args:
        first: Epochs of the first period.
        multiple: How much longer each period is than the one before.
        least: Share that the rate falls to.

    Example:
        >>> decay = CosineRestarts()
        >>> [round(decay(epoch), 4) for epoch in (0, 0.5, 0.999999, 1, 2, 2.999999, 3)]
        [1.0, 0.5001, 0.0001, 1.0, 0.5001, 0.0001, 1.0]

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, with the published code's periods of 1, 2, 4, ... epochs and
    floor of 1e-4 of the highest rate: 0.1 to 1e-5 in Dutta et al. 2021.
    """

    def __init__(self, first: int = 1, multiple: int = 2, least: float = 1e-4) -> None:
        self.first, self.multiple, self.least = first, multiple, least

    def __call__(self, epoch: float) -> float:
        """Give the share after ``epoch`` epochs."""
        period: float = self.first
        while epoch >= period:
            epoch, period = epoch - period, period * self.multiple
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * epoch / period)) / 2
