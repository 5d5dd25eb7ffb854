"""Sinc filters (SincNet): ideal band-passes cut by a window, their low edge and band learned."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.by_kernels import KernelFilterbank
from learnable_frontends.filterbanks.options import KernelOptions
from learnable_frontends.functional import even_ramp, ordered, unbounded, unordered

__all__ = ["SincFilterbank"]

ALMOST_ZERO = 1e-22  # radians per Hz; far below the next tap and, times any band, far above the smallest float32


class SincFilterbank(KernelFilterbank):
    r"""Band-pass filters with two learned edges each: the difference of two sincs under a Hamming window.

    Filter :math:`i` at tap :math:`n` is :math:`(2 h_i \operatorname{sinc}(2 h_i n) - 2 l_i \operatorname{sinc}(2 l_i
    n))\,v(n) / 2(h_i - l_i)` with the edges :math:`l_i < h_i` in cycles per sample and the window :math:`v`: one at
    :math:`n = 0`.

    Filters start side by side: each reaches half-way to its neighbors' centers on average, :math:`(c_{i+1} -
    c_{i-1}) / 4` to both sides of its own, and at most half-way to the ends of the band.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        **options: The arguments that `KernelFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``.

    Raises:
        TypeError: As `CosGaussFilterbank`.
        ValueError: As `CosGaussFilterbank`.

    Example:
        >>> SincFilterbank(sample_rate=16000, n_filters=40)(torch.randn(16000)).shape
        torch.Size([40, 101])

    Source: Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet", SLT 2018, and its published
    code for the normalisation. There edges are absolute values in Hz; here the low edge is a logit in the band and the
    band a logit in what is left above it, so both stay inside for any value. The kernel is computed in the equal form
    :math:`\operatorname{sinc}((h - l) n)\cos(2\pi (l + h) n / 2)`, which does not cancel for narrow bands.
    """

    raw_low: nn.Parameter
    raw_band: nn.Parameter

    def __init__(self, sample_rate: float, n_filters: int = 80, **options: Unpack[KernelOptions]) -> None:
        super().__init__(sample_rate, n_filters, **options)
        taps = np.hamming(self.kernel_size)  # symmetric
        self._constants["kernel_window"] = taps[self.kernel_size // 2 :]
        points = (self.starting_points() - self.f_min) / (self.f_max - self.f_min)
        centers = points[1:-1]
        half = (points[2:] - points[:-2]) / 4
        half = torch.minimum(half, torch.minimum(centers, 1 - centers) / 2)
        # A quarter step down and up keeps the two edges of a filter strictly apart too.
        ramp, high_ramp = even_ramp(self.n_filters), even_ramp(self.n_filters, 0.25)
        self._constants["ramps"] = torch.stack([ramp, high_ramp - ramp])  # of the middle, of half the width
        self._constants["of_middle"] = [[1.0], [0.0]]
        low, high = unordered(centers - half, 2 * ramp - high_ramp), unordered(centers + half, high_ramp)
        self.declare("raw_low", unbounded(low, 0.0, 1.0))
        self.declare("raw_band", unbounded((high - low) / (1 - low), 0.0, 1.0))

    @property
    def edges(self) -> Tensor:
        """Low and high edge of each filter in Hz, shape ``(n_filters, 2)``, in ascending order of their mean."""
        middle, half = self._middle_and_half().unbind()
        return torch.stack([middle - half, middle + half], dim=-1)

    @property
    def center_frequencies(self) -> Tensor:
        """Middle of each filter's band in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        return self._middle_and_half()[0]

    def half_kernels(self) -> Tensor:
        """Middle tap of each kernel and those after it, shape ``(n_filters, (kernel_size + 1) // 2)``."""
        middle_and_half = self._middle_and_half()
        # The middle tap is not quite zero, so that sin(x) / x is one there; torch.sinc has a slow backward pass.
        taps = self._constants.like("taps", middle_and_half) * (2 * math.pi / self.sample_rate) + ALMOST_ZERO
        phases, cos_middle, sin_half = _cosine_and_sine(middle_and_half, taps, self._quarter_turns(middle_and_half))
        return sin_half / phases * (cos_middle * self._constants.like("kernel_window", taps))

    def _quarter_turns(self, like: Tensor) -> Tensor:
        return self._constants.like("of_middle", like)[..., None] * (math.pi / 2)

    def _middle_and_half(self) -> Tensor:
        """Middle of each filter's band and half its width in Hz, shape ``(2, n_filters)``."""
        low = torch.sigmoid(at_least_float32(self.raw_low))
        half = torch.rsub(low, 0.5, alpha=0.5) * torch.sigmoid(at_least_float32(self.raw_band))
        middle = low + half
        positions = torch.stack([middle, half]).index_select(1, middle.detach().argsort())
        spread = ordered(positions, self._constants.like("ramps", positions))
        # The middle counts from f_min, half the width from zero.
        origin = self.f_min * self._constants.like("of_middle", positions)
        return torch.add(origin, spread, alpha=self.f_max - self.f_min)


def _cosine_and_sine(middle_and_half: Tensor, taps: Tensor, quarter_turns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Phases of half the width at each tap, cosine of those of the middle, sine of those of half the width.

    Both come from one call of the sine, the cosine a quarter turn later: for tensors this small a vector function wakes
    the other threads, which takes longer than its arithmetic, so two calls cost twice.
    """
    phases = torch.addcmul(quarter_turns, middle_and_half[..., None], taps)
    cos_middle, sin_half = phases.sin().unbind()
    return phases[1], cos_middle, sin_half
