"""Per-channel energy normalization: a compression that adapts to the level of each band."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends._kept import Kept
from learnable_frontends._parameters import DeclaredParameters
from learnable_frontends._precision import at_least_float32, without_autocast

__all__ = ["PCEN", "smooth"]

BLOCK = 16  # number of frames, or of blocks, that are smoothed by one matrix product
# Levels of blocks in a compiled or exported program, for any number of frames. The top level is smoothed by one
# product, the only quadratic step: smaller than the energies for up to BLOCK**6 frames, 46 hours at 10 ms each.
LEVELS = 3


class PCEN(DeclaredParameters):
    r"""Per-channel energy normalization: ``(energy / (eps + mean)**gain + bias)**power - bias**power``.

    The mean is a running mean of each filter's energy, :math:`M_t = (1 - s) M_{t-1} + s E_t`, and starts at the energy
    of the first frame. Division by it removes a steady background, whatever its level, so that onsets stand out. Each
    filter has its own gain, bias, power and smoothing, which are learned unless ``learn`` is false. Try it with few
    filters on recordings with different backgrounds: 16 mel filters gained by it on one of four sets
    (:doc:`/start/which`).

    An energy that is not finite, for which one bad sample is enough, becomes NaN and gets no gradient. The filter's
    mean skips it, :math:`M_t = M_{t-1}`, and starts at the first finite energy.

    Args:
        n_filters: Number of filters of the front-end.
        gain: Exponent of the mean, between 0 and 1: how much of the level is removed.
        bias: Number that is added before the root, positive.
        power: Exponent of the result, between 0 and 1.
        smoothing: Share of a new frame in the mean, between 0 and 1; with 0.04 the mean covers about 25 frames.
        eps: Number that is added to the mean, an energy, positive.
        learn: Whether gain, bias, power and smoothing are learned.

    Shape:
        - Input and output: ``(..., n_filters, frames)``; energies are not negative.

    Raises:
        TypeError: If ``n_filters`` is not a whole number, another argument is not a number, or the energies are not a
            floating-point tensor.
        ValueError: If a number is out of its range, or the energies have another number of filters.

    Example:
        >>> energies = torch.tensor([[1.0, 1.0, 1.0, 9.0]])  # a steady level, and an event
        >>> [PCEN(1)(level * energies)[0, 2:].tolist() for level in (1.0, 1000.0)]
        [[0.31..., 1.56...], [0.36..., 1.72...]]

    Source: Wang et al., "Trainable frontend for robust and far-field keyword spotting", ICASSP 2017; for one smoothing
    per filter, Zeghidour et al., "LEAF: a learnable frontend for audio classification", ICLR 2021. The defaults come
    from these papers. Here a smooth map, rather than clamps, keeps all four numbers in their range.
    """

    free: nn.Parameter

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
        start = []
        for name, value in (("gain", gain), ("power", power), ("smoothing", smoothing)):
            if not 0 < number(name, value) < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")
            start.append(math.log(value / (1 - value)))
        start.append(math.log(number("bias", bias, above=0)))
        self.eps = number("eps", eps, above=0)
        self.declare("free", np.repeat(np.array(start)[:, None], self.n_filters, axis=1), "free")
        self.free.requires_grad_(learn)
        self._kept = Kept()

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
        """Number that is added before each filter's root, shape ``(n_filters,)``."""
        return torch.exp(self.free[3])

    def forward(self, energies: Tensor) -> Tensor:
        """Compress energies, shape ``(..., n_filters, frames)``."""
        return self.resume(energies, None)[0]

    def resume(self, energies: Tensor, mean: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compress energies that continue earlier ones.

        Args:
            energies: Shape ``(..., n_filters, frames)``; the number of frames may be zero.
            mean: The mean at the end of the earlier energies, ``(..., n_filters)``, NaN for filters without a finite
                energy so far; ``None`` if there are no earlier energies.

        Returns:
            Features, shaped like ``energies``, and the mean at their end, ``(..., n_filters)``, in float32 or better,
            NaN for filters without a finite energy so far.

        Example:
            >>> energies, pcen = torch.rand(40, 100), PCEN(40)
            >>> first, mean = pcen.resume(energies[:, :70], None)
            >>> rest, _ = pcen.resume(energies[:, 70:], mean)
            >>> torch.allclose(torch.cat([first, rest], -1), pcen(energies), atol=1e-5)
            True
        """
        floating_tensor("energies", energies)
        if energies.dim() < 2 or energies.shape[-2] != self.n_filters:
            raise ValueError(f"energies must be (..., {self.n_filters}, frames), got shape {tuple(energies.shape)}")
        exact = at_least_float32(energies)
        before = exact.new_full(exact.shape[:-1], math.nan) if mean is None else mean
        if before.shape != exact.shape[:-1]:
            raise ValueError(f"mean must have shape {tuple(exact.shape[:-1])}, got {tuple(before.shape)}")
        one = exact.shape[-1] == 1 and not torch.compiler.is_compiling()  # as in a stream, where each call costs
        if one and mean is not None and exact.device.type == "cpu":
            gain, bias, power, share, at_zero = self._values(exact)
            # If all numbers are finite, none has to be skipped. A sum that overflows takes the general route below.
            if math.isfinite(float((exact + before[..., None]).detach().sum())):
                means = torch.lerp(before[..., None], exact, share)
                return self._compressed(exact, means, gain, bias, power, at_zero).to(energies.dtype), means[..., 0]
        finite = exact.detach().abs() < math.inf  # takes half as long as isfinite
        known = torch.where(finite, exact, 0.0)
        gain, bias, power, share, at_zero = self._values(exact)
        if one:
            start = torch.where(before.isnan(), known[..., 0], before)[..., None]
            means = torch.lerp(start, known, share * finite)
            after = torch.where(finite, means, before[..., None])[..., 0]
        else:
            with without_autocast(exact.device.type):
                means = smooth(known, share[:, 0], before, finite)
            last = torch.cat([before[..., None], means[..., -1:]], -1)[..., -1]  # there may be no frames
            after = torch.where(finite.any(-1), last, before)
        features = self._compressed(known, means, gain, bias, power, at_zero)
        return torch.where(finite, features, math.nan).to(energies.dtype), after

    def _compressed(
        self, energies: Tensor, means: Tensor, gain: Tensor, bias: Tensor, power: Tensor, at_zero: Tensor
    ) -> Tensor:
        """Divide by powers of the means and take roots; logarithms and exponentials take half as long as powers."""
        shifted = torch.addcmul(bias, energies, torch.exp(-gain * torch.log(self.eps + means)))
        return torch.exp(power * torch.log(shifted)) - at_zero

    def _values(self, like: Tensor) -> Sequence[Tensor]:
        """Return gain, bias, power and smoothing of each filter, and ``bias**power``, shape ``(n_filters, 1)`` each."""

        def make() -> Tensor:
            values = (self.gain, self.bias, self.power, self.smoothing)
            gain, bias, power, share = (value.to(like.dtype) for value in values)
            return torch.stack([gain, bias, power, share, torch.exp(power * torch.log(bias))])[..., None]

        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make().unbind()
        return self._kept.get(make, [self.free], like.dtype, like.device).unbind()

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"{self.n_filters}, eps={self.eps:g}, learn={self.free.requires_grad}"


def smooth(values: Tensor, share: Tensor, start: Tensor | None = None, counts: Tensor | None = None) -> Tensor:
    """Smooth each row exponentially; time and memory are linear in its length.

    Frames are split into blocks. Within a block the recursion is a product with a triangular matrix, and from block to
    block it is the same recursion again, which is split into blocks in turn. This is exact and has no loop over frames.

    Args:
        values: Shape ``(..., rows, frames)``, finite.
        share: Share of a new value in the mean of each row, in (0, 1), shape ``(rows,)``.
        start: Mean before the first value, shape ``(..., rows)``; NaN, or ``None``, means the first value itself.
        counts: Whether each value counts, shaped like ``values``; the others must be zero. ``None`` means that all do.

    Returns:
        ``mean[t] = (1 - share) * mean[t - 1] + share * values[t]`` where a value counts, otherwise ``mean[t - 1]``,
        shaped like ``values``. Before the first value that counts it is an arbitrary finite number.
    """
    frames, levels = values.shape[-1], 0
    if torch.compiler.is_compiling() or not frames:
        levels = LEVELS
    else:
        while frames > 2 * BLOCK ** (levels + 1):  # the few frames of a chunk of a stream need no blocks
            levels += 1
    if counts is None:
        return _recursion(values, 1 - share, share, start, levels)[..., :frames]
    # Values that count are moved together, smoothed, and moved back. A value that does not count adds its zero to the
    # last one that counts, and gets the mean of that.
    index = counts.cumsum(-1).sub_(1).clamp_min_(0)
    together = torch.zeros_like(values).scatter_add_(-1, index, values)
    return _recursion(together, 1 - share, share, start, levels).gather(-1, index)


def _recursion(values: Tensor, kept: Tensor, share: Tensor, start: Tensor | None, levels: int) -> Tensor:
    """Return ``sums[t] = kept * sums[t - 1] + share * values[t]``, by ``levels`` of blocks; it may be longer."""
    frames = values.shape[-1]
    # At least two blocks, and no slice bounds that depend on their number, so that exported programs take any number.
    size, count = (BLOCK, frames // BLOCK + 2) if levels else (frames, 1)
    blocks = F.pad(values, (0, count * size - frames)).unfold(-1, size, size) if levels else values[..., None, :]
    first = blocks[..., 0, 0]
    start = first if start is None else torch.where(start.isnan(), first, start)
    sums = torch.einsum("...fbu,ftu->...fbt", blocks, share[:, None, None] * _powers(kept, size))
    before = start[..., None]
    if levels:
        last = sums[..., -1].contiguous()  # a batched product of a strided view would be computed row by row
        ends = _recursion(last, kept**size, torch.ones_like(kept), start, levels - 1)
        before = torch.cat([before, ends], -1).index_select(-1, torch.arange(count, device=values.device))
    since = torch.arange(1, size + 1, device=values.device)
    return torch.addcmul(sums, before[..., None], kept[:, None, None] ** since).flatten(-2)


def _powers(base: Tensor, size: int) -> Tensor:
    """Return lower triangular matrices of ``base ** (row - column)``: ``(rows,)`` to ``(rows, size, size)``."""
    steps = torch.arange(size, device=base.device)
    distance = steps[:, None] - steps
    # Indexing into one row of powers would do, but inductor in torch 2.13 computes a wrong gradient for it.
    return (base[:, None, None] ** distance.clamp_min(0)).tril()
