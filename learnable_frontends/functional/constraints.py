"""Smooth maps between free parameters and the values that they stand for."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "bounded",
    "bounded_log_factor",
    "even_ramp",
    "ordered",
    "unbounded",
    "unordered",
]


def bounded(raw: Tensor, low: float, high: float) -> Tensor:
    """Map a free parameter smoothly and monotonically into ``[low, high]``.

    Args:
        raw: Any values.
        low: Value for minus infinity.
        high: Value for plus infinity.

    Returns:
        ``low + (high - low) * sigmoid(raw)``, shaped like ``raw``.

    Example:
        >>> bounded(torch.tensor([0.0]), 2.0, 4.0)
        tensor([3.])
    """
    return low + (high - low) * torch.sigmoid(raw)


def unbounded(value: Tensor, low: float, high: float) -> Tensor:
    """Return the free parameter that `bounded` maps to ``value``.

    Args:
        value: Numbers strictly between ``low`` and ``high``.
        low: As in `bounded`.
        high: As in `bounded`.

    Returns:
        The logit of the position of ``value`` between the bounds.

    Example:
        >>> unbounded(torch.tensor([3.0]), 2.0, 4.0)
        tensor([0.])
    """
    return torch.logit((value - low) / (high - low))


LARGEST_LOG_FACTOR = 2.3  # almost ln 10


def bounded_log_factor(raw: Tensor) -> Tensor:
    """Map a free parameter smoothly to the logarithm of a factor between a tenth and ten; zero to zero, with slope one.

    Args:
        raw: Any values.

    Returns:
        ``2.3 * tanh(raw / 2.3)``, shaped like ``raw``.

    Example:
        >>> bounded_log_factor(torch.tensor([-100.0, 0.0, 100.0])).exp()
        tensor([0.1003, 1.0000, 9.9742])
    """
    return LARGEST_LOG_FACTOR * torch.tanh(raw * (1 / LARGEST_LOG_FACTOR))


# Share of the band that an even ramp takes, so that filters stay strictly apart whatever the optimizer does: at least
# 0.27 Hz between 80 centers below 22.05 kHz, over a hundred times the spacing of float32 there.
RAMP_SHARE = 1e-3


def ordered(positions: Tensor, ramp: Tensor) -> Tensor:
    """Spread ascending positions so that they are strictly apart and strictly inside (0, 1), smoothly.

    Args:
        positions: Numbers in [0, 1], not descending, shape ``(n,)``.
        ramp: What `even_ramp` returns for ``n``.

    Returns:
        ``0.999 * positions + ramp``.

    Example:
        >>> ordered(torch.tensor([0.0, 1.0, 1.0]), even_ramp(3).float())
        tensor([2.5000e-04, 9.9950e-01, 9.9975e-01])
    """
    return torch.add(ramp, positions, alpha=1.0 - RAMP_SHARE)


def unordered(positions: Tensor, ramp: Tensor) -> Tensor:
    """Undo `ordered`.

    Args:
        positions: What `ordered` returned, shape ``(n,)``.
        ramp: As given to `ordered`.

    Returns:
        The positions before spreading.

    Example:
        >>> ramp = even_ramp(2).float()
        >>> unordered(ordered(torch.tensor([0.25, 0.5]), ramp), ramp)
        tensor([0.2500, 0.5000])
    """
    return (positions - ramp) / (1.0 - RAMP_SHARE)


def even_ramp(n: int, offset: float = 0.0) -> Tensor:
    """Return ``n`` evenly spaced numbers strictly inside (0, 0.001), for `ordered`.

    Args:
        n: How many.
        offset: Moves them by this part of a step, between -1 and 1 (to keep the two edges of one filter apart).

    Returns:
        ``0.001 * (i + offset) / (n + 1)`` for ``i = 1 ... n``, float64, on the CPU.

    Example:
        >>> even_ramp(3)
        tensor([0.0003, 0.0005, 0.0008], dtype=torch.float64)
    """
    return RAMP_SHARE * (torch.arange(1, n + 1, dtype=torch.float64, device="cpu") + offset) / (n + 1)
