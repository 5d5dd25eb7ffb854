"""Smooth maps between free parameters and the values that they represent."""

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
    """Return the value in ``[low, high]`` to which a free parameter is mapped, smoothly and monotonically.

    Args:
        raw: Free parameter, any values.
        low: Value at minus infinity.
        high: Value at plus infinity.

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


LARGEST_LOG_FACTOR = 2.3  # nearly ln 10


def bounded_log_factor(raw: Tensor) -> Tensor:
    """Return the logarithm of a factor between a tenth and ten to which a free parameter is mapped smoothly.

    Zero is mapped to zero, with a slope of one.

    Args:
        raw: Free parameter, any values.

    Returns:
        ``2.3 * tanh(raw / 2.3)``, shaped like ``raw``.

    Example:
        >>> bounded_log_factor(torch.tensor([-100.0, 0.0, 100.0])).exp()
        tensor([0.1003, 1.0000, 9.9742])
    """
    return LARGEST_LOG_FACTOR * torch.tanh(raw * (1 / LARGEST_LOG_FACTOR))


# Share of the band that an even ramp takes. It keeps filters strictly apart whatever the optimizer does: 80 centers
# below 22.05 kHz are at least 0.27 Hz apart, over a hundred times the spacing of float32 there.
RAMP_SHARE = 1e-3


def ordered(positions: Tensor, ramp: Tensor) -> Tensor:
    """Return ascending positions after a smooth spreading, strictly apart and strictly inside (0, 1).

    Args:
        positions: Numbers in [0, 1] that do not descend, shape ``(n,)``.
        ramp: The result of `even_ramp` for ``n``.

    Returns:
        ``0.999 * positions + ramp``.

    Example:
        >>> ordered(torch.tensor([0.0, 1.0, 1.0]), even_ramp(3).float())
        tensor([2.5000e-04, 9.9950e-01, 9.9975e-01])
    """
    return torch.add(ramp, positions, alpha=1.0 - RAMP_SHARE)


def unordered(positions: Tensor, ramp: Tensor) -> Tensor:
    """Return the positions that `ordered` maps to given ones.

    Args:
        positions: The result of `ordered`, shape ``(n,)``.
        ramp: The ramp that was passed to `ordered`.

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
        n: Number of values.
        offset: Share of a step by which all values are shifted, between -1 and 1; it keeps the two edges of a filter
            apart.

    Returns:
        ``0.001 * (i + offset) / (n + 1)`` for ``i = 1 ... n``, float64, on the CPU.

    Example:
        >>> even_ramp(3)
        tensor([0.0003, 0.0005, 0.0008], dtype=torch.float64)
    """
    return RAMP_SHARE * (torch.arange(1, n + 1, dtype=torch.float64, device="cpu") + offset) / (n + 1)
