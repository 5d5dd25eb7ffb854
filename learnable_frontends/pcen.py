"""Per-channel energy normalization: a compression that adapts to the level of each band."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends.functional import at_least_float32, whole_number

__all__ = ["PCEN", "smooth"]

BLOCK = 64  # frames that are smoothed by one matrix product


class PCEN(nn.Module):
    r"""Per-channel energy normalization: ``(energy / (eps + mean)**gain + bias)**power - bias**power``.

    The mean follows each filter's energy, :math:`M_t = (1 - s) M_{t-1} + s E_t`, and starts at that of the first frame.
    A steady background is divided away, whatever its level; what begins stands out. Each filter has its own four
    numbers, and they are learned unless ``learn`` is false.

    Args:
        n_filters: Filters of the front-end.
        gain: Exponent of the mean, between 0 and 1: how much of the level is taken away.
        bias: Added before the root, positive.
        power: Exponent of the result, between 0 and 1.
        smoothing: Share of a new frame in the mean, between 0 and 1: 0.04 takes some 25 frames.
        eps: Smallest mean told apart, an energy, positive.
        learn: Whether gain, bias, power and smoothing are learned.

    Shape:
        - Input and output: ``(..., n_filters, frames)``, energies not negative.

    Raises:
        TypeError: If ``n_filters`` is not a whole number.
        ValueError: If a number is out of its range, or energies have another number of filters.

    Example:
        >>> energies = torch.tensor([[1.0, 1.0, 1.0, 9.0]])  # a steady level, and an event
        >>> [PCEN(1)(level * energies)[0, 2:].tolist() for level in (1.0, 1000.0)]  # doctest: +ELLIPSIS
        [[0.31..., 1.56...], [0.36..., 1.72...]]

    Source: Wang et al., "Trainable frontend for robust and far-field keyword spotting", ICASSP 2017; a smoothing for
    each filter: Zeghidour et al., "LEAF: a learnable frontend for audio classification", ICLR 2021. The defaults are
    theirs. Here all four stay in their range by a smooth map, not by clamps.
    """

    def __init__(
        self,
        n_filters: int,
        *,
        gain: float = 0.98,
        bias: float = 2.0,
        power: float = 0.5,
        smoothing: float = 0.04,
        eps: float = 1e-6,
        learn: bool = True,
    ) -> None:
        super().__init__()
        self.n_filters = whole_number("n_filters", n_filters)
        for name, value in (("gain", gain), ("power", power), ("smoothing", smoothing)):
            if not 0 < value < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")
        for name, value in (("bias", bias), ("eps", eps)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.eps = float(eps)
        logits = torch.logit(torch.tensor([gain, power, smoothing], dtype=torch.float64))
        free = torch.cat([logits, torch.tensor([bias], dtype=torch.float64).log()])
        values = free.to(torch.get_default_dtype())[:, None].repeat(1, self.n_filters)
        self.free = nn.Parameter(values, requires_grad=learn)

    @property
    def gain(self) -> Tensor:
        """Exponent of each filter's mean, shape ``(n_filters,)``."""
        return torch.sigmoid(self.free[0])

    @property
    def power(self) -> Tensor:
        """Exponent of each filter's result, shape ``(n_filters,)``."""
        return torch.sigmoid(self.free[1])

    @property
    def smoothing(self) -> Tensor:
        """Share of a new frame in each filter's mean, shape ``(n_filters,)``."""
        return torch.sigmoid(self.free[2])

    @property
    def bias(self) -> Tensor:
        """What is added before each filter's root, shape ``(n_filters,)``."""
        return torch.exp(self.free[3])

    def forward(self, energies: Tensor) -> Tensor:
        """Compress energies, shape ``(..., n_filters, frames)``."""
        return self.resume(energies, None)[0]

    def resume(self, energies: Tensor, mean: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compress energies that go on where earlier ones ended.

        Args:
            energies: Shape ``(..., n_filters, frames)``, a frame or more.
            mean: The mean at the end of the earlier ones, ``(..., n_filters)``; ``None`` if there are none.

        Returns:
            Features, shaped like ``energies``, and the mean at their end, ``(..., n_filters)``, in float32 or better.

        Example:
            >>> energies, pcen = torch.rand(40, 100), PCEN(40)
            >>> first, mean = pcen.resume(energies[:, :70], None)
            >>> rest, _ = pcen.resume(energies[:, 70:], mean)
            >>> torch.allclose(torch.cat([first, rest], -1), pcen(energies), atol=1e-5)
            True
        """
        if energies.dim() < 2 or energies.shape[-2] != self.n_filters:
            raise ValueError(f"energies must be (..., {self.n_filters}, frames), got shape {tuple(energies.shape)}")
        exact = at_least_float32(energies)
        means = smooth(exact, self.smoothing.to(exact.dtype), mean)
        gain, bias, power = (value.to(exact.dtype)[:, None] for value in (self.gain, self.bias, self.power))
        normalized = exact * torch.exp(-gain * torch.log(self.eps + means))
        return ((normalized + bias) ** power - bias**power).to(energies.dtype), means[..., -1]

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        return f"{self.n_filters}, eps={self.eps:g}, learn={self.free.requires_grad}"


def smooth(values: Tensor, share: Tensor, start: Tensor | None = None) -> Tensor:
    """Smooth each row exponentially.

    Frames are taken in blocks: within a block, and from block to block, the recursion is a product with a triangular
    matrix. That is exact, and there is no loop over frames.

    Args:
        values: Shape ``(..., rows, frames)``.
        share: Share of a new value in the mean of each row, in (0, 1), shape ``(rows,)``.
        start: Mean before the first value, shape ``(..., rows)``; ``None`` means that value itself.

    Returns:
        ``mean[t] = (1 - share) * mean[t - 1] + share * values[t]``, shaped like ``values``.
    """
    frames = values.shape[-1]
    # A stream that goes on may do so by a few frames; whole blocks would be hundreds of times the work.
    size = BLOCK if start is None else min(BLOCK, frames)
    # Two blocks or more, so that an exported program takes any number of frames.
    blocks = F.pad(values, (0, 2 * size - frames % size)).unflatten(-1, (-1, size))
    kept = 1 - share
    within = blocks @ (share[:, None, None] * _powers(kept, size)).mT
    # What each block adds to the mean at its end, and how much of a mean outlives a block.
    ends = within[..., -1]
    outlived = kept**size
    starts = torch.cat([values[..., :1] if start is None else start[..., None], ends], -1)[..., :-1]
    before = (starts[..., None, :] @ _powers(outlived, ends.shape[-1]).mT).squeeze(-2)
    since = torch.arange(1, size + 1, device=values.device)
    means: Tensor = within + before[..., None] * (kept[:, None, None] ** since)
    return means.flatten(-2)[..., :frames]


def _powers(base: Tensor, size: int) -> Tensor:
    """Lower triangular matrices of ``base ** (row - column)``: ``(rows,)`` to ``(rows, size, size)``."""
    steps = torch.arange(size, device=base.device)
    distance = steps[:, None] - steps
    return torch.where(distance >= 0, base[:, None, None] ** distance.clamp_min(0), 0.0)
