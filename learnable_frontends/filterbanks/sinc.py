"""Sinc filters (SincNet): ideal band-passes cut by a window, their low edge and band learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from learnable_frontends.functional import at_least_float32, even_ramp, ordered, unbounded, unordered
from learnable_frontends.kernel_filterbank import EvenKernelFilterbank

__all__ = ["SincFilterbank"]

ALMOST_ZERO = 1e-22  # radians per Hz; far below the next tap and, times any band, far above the smallest float32


class SincFilterbank(EvenKernelFilterbank):
    r"""Band-pass filters with two learned edges each: the difference of two sincs under a Hamming window.

    Filter :math:`i` at tap :math:`n` is :math:`(2 h_i \operatorname{sinc}(2 h_i n) - 2 l_i \operatorname{sinc}(2 l_i
    n))\,v(n) / 2(h_i - l_i)` with the edges :math:`l_i < h_i` in cycles per sample and the window :math:`v`: one at
    :math:`n = 0`.

    Filters start side by side: each reaches half-way to its neighbors' centers on average, :math:`(c_{i+1} -
    c_{i-1}) / 4` to both sides of its own, and at most half-way to the ends of the band.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        win_length: Samples per frame; ``None`` means 25 ms.
        hop_length: Samples from frame to frame; ``None`` means 10 ms.
        kernel_size: Taps per filter, odd; ``None`` means 16 ms (705 at 44.1 kHz).
        f_min: Lower end of the band in Hz; no edge reaches it.
        f_max: Upper end of the band in Hz; ``None`` means half of ``sample_rate``.
        center: Whether frame ``t`` is centered on sample ``t * hop_length``.
        pad_mode: How the ends are padded then.
        padding: ``"full"`` or ``"valid"``, as in `CosGaussFilterbank`.
        window: Function from ``win_length`` to the frame window (the kernels' own is always Hamming).
        init: A scale's name or ``n_filters`` ascending center frequencies in Hz, as in `CosGaussFilterbank`.
        gain: ``"raw"`` or ``"peak"``, as in `CosGaussFilterbank`.
        compression: Module from energies to features; ``None`` means ``Log(1e-3)``.

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

    kernel_window: Tensor
    ramps: Tensor
    shifted: Tensor

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        win_length: int | None = None,
        hop_length: int | None = None,
        kernel_size: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        center: bool = True,
        pad_mode: str = "reflect",
        padding: str = "full",
        window: Callable[[int], Tensor] = torch.hamming_window,
        init: str | Sequence[float] | Tensor = "mel",
        gain: str = "raw",
        compression: nn.Module | None = None,
    ) -> None:
        super().__init__(
            sample_rate,
            n_filters,
            win_length=win_length,
            hop_length=hop_length,
            kernel_size=kernel_size,
            f_min=f_min,
            f_max=f_max,
            center=center,
            pad_mode=pad_mode,
            padding=padding,
            window=window,
            gain=gain,
            compression=compression,
        )
        taps = torch.hamming_window(self.kernel_size, periodic=False, dtype=torch.float64)
        self._constant("kernel_window", taps[self.kernel_size // 2 :])
        points = (self._spaced_centers(init) - self.f_min) / (self.f_max - self.f_min)
        centers = points[1:-1]
        half = (points[2:] - points[:-2]) / 4
        half = torch.minimum(half, torch.minimum(centers, 1 - centers) / 2)
        # A quarter step down and up keeps the two edges of a filter strictly apart too.
        ramp, high_ramp = even_ramp(self.n_filters), even_ramp(self.n_filters, 0.25)
        self._constant("ramps", torch.stack([ramp, high_ramp - ramp]))
        # The middle starts at f_min, half the width at zero.
        self._constant("shifted", torch.tensor([[1.0], [0.0]]))
        low, high = unordered(centers - half, 2 * ramp - high_ramp), unordered(centers + half, high_ramp)
        self.raw_low = self._free(unbounded(low, 0.0, 1.0))
        self.raw_band = self._free(unbounded((high - low) / (1 - low), 0.0, 1.0))

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
        middle_and_half = self._middle_and_half()[..., None]
        # The middle tap is not quite zero, so that sin(x) / x is one there; torch.sinc has a slow backward pass.
        taps = self.taps.to(middle_and_half.dtype) * (2 * math.pi / self.sample_rate) + ALMOST_ZERO
        # cos(middle) and sin(half) from one call: for threads, calls this short cost more than their arithmetic.
        quarter = self.shifted[..., None] * (math.pi / 2)
        phases = torch.addcmul(quarter, middle_and_half, taps)
        cos_middle, sin_half = phases.sin().unbind()
        return sin_half / phases[1] * (cos_middle * self.kernel_window)

    def _middle_and_half(self) -> Tensor:
        """Middle of each filter's band and half its width in Hz, shape ``(2, n_filters)``."""
        low = torch.sigmoid(at_least_float32(self.raw_low))
        half = torch.rsub(low, 0.5, alpha=0.5) * torch.sigmoid(at_least_float32(self.raw_band))
        middle = low + half
        positions = torch.stack([middle, half]).index_select(1, middle.detach().argsort())
        origin = self.f_min * self.shifted
        return torch.add(origin, ordered(positions, self.ramps), alpha=self.f_max - self.f_min)
