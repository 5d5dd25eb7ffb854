"""Sinc filters, as in SincNet: ideal band-pass filters that are cut by a window, with learned edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.by_kernels import KernelFilterbank
from learnable_frontends.filterbanks.options import KernelOptions
from learnable_frontends.functional import even_ramp, ordered, unbounded, unordered
from learnable_frontends.functional.constraints import RAMP_SHARE

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SincFilterbank"]

ALMOST_ZERO = 1e-22  # radians per Hz: far below the next tap and, times any band, far above the smallest float32


class SincFilterbank(KernelFilterbank):
    r"""Band-pass filters with two learned edges each: the difference of two sincs under a Hamming window.

    These are SincNet's filters. Take them to compare with SincNet, or to load its trained filters (`from_sincnet`). On
    the real sounds that we measured they were not better than a mel spectrogram beyond chance
    (:doc:`/evidence/results`).

    Filter :math:`i` at tap :math:`n` is :math:`2 h_i \operatorname{sinc}(2 h_i n) - 2 l_i \operatorname{sinc}(2 l_i n)`
    times :math:`v(n) / 2(h_i - l_i)`, with the edges :math:`l_i < h_i` in cycles per sample and the window :math:`v`.
    It is one at :math:`n = 0`.

    Filters start side by side. Each one extends half-way to the centers of its neighbors on average, by :math:`(c_{i+1}
    - c_{i-1}) / 4` to each side of its own center, but at most half-way to the ends of the band.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        edges: Where filters start, instead of ``init``: low and high edge of each filter in Hz, shape
            ``(n_filters, 2)``, inside the band, in ascending order of their middles.
        **options: The arguments that `KernelFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``.

    Raises:
        TypeError: As for `CosGaussFilterbank`.
        ValueError: As for `CosGaussFilterbank`.

    Example:
        >>> SincFilterbank(sample_rate=16000, n_filters=40)(torch.randn(16000)).shape
        torch.Size([40, 101])

    Source: Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet", SLT 2018, and its published code
    for the normalization. There, edges are absolute values in Hz. Here the low edge is a logit in the band, and the
    bandwidth is a logit in the rest of the band above it, so that both edges stay inside for any value. The kernel is
    computed in the equivalent form :math:`\operatorname{sinc}((h - l) n)\cos(2\pi (l + h) n / 2)`, which does not
    cancel for narrow bands.
    """

    raw_low: nn.Parameter
    raw_band: nn.Parameter

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        edges: Sequence[Sequence[float]] | Tensor | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        taps = np.hamming(self.kernel_size)  # symmetric
        self._constants["kernel_window"] = taps[self.kernel_size // 2 :]
        self._edges = None if edges is None else torch.as_tensor(edges, dtype=torch.float64, device="cpu").tolist()
        centers, half = self._starting_middle_and_half()
        # A quarter of a step down and up also keeps the two edges of a filter strictly apart.
        ramp, high_ramp = even_ramp(self.n_filters), even_ramp(self.n_filters, 0.25)
        self._constants["ramps"] = torch.stack([ramp, high_ramp - ramp])  # of the middle and of half the width
        self._constants["of_middle"] = [[1.0], [0.0]]
        low, high = unordered(centers - half, 2 * ramp - high_ramp), unordered(centers + half, high_ramp)
        self.declare("raw_low", unbounded(low, 0.0, 1.0))
        self.declare("raw_band", unbounded((high - low) / (1 - low), 0.0, 1.0))

    @classmethod
    def from_sincnet(
        cls,
        low_hz: Tensor,
        band_hz: Tensor,
        sample_rate: float,
        *,
        min_low_hz: float = 50.0,
        min_band_hz: float = 50.0,
        **options: Unpack[KernelOptions],
    ) -> Self:
        """Return a filterbank that starts with the trained filters of a SincNet.

        Args:
            low_hz: SincNet's parameter for the low edges, ``n_filters`` numbers.
            band_hz: SincNet's parameter for the bandwidths, ``n_filters`` numbers.
            sample_rate: Samples per second of the waveform.
            min_low_hz: Number that SincNet adds to the absolute value of ``low_hz``.
            min_band_hz: Number that SincNet adds to the absolute value of ``band_hz``.
            **options: Arguments of the constructor; SincNet's ``kernel_size`` is 251 at 16 kHz.

        Returns:
            A filterbank with these filters in ascending order of their middles. High edges at or beyond half the sample
            rate are moved below it, by a thousandth of the band divided by ``n_filters``.

        Raises:
            ValueError: If an edge is too close to an end of the band, or middles are too close to each other.

        Example:
            >>> low, band = torch.tensor([950.0, 150.0]), torch.tensor([450.0, 50.0])
            >>> bank = SincFilterbank.from_sincnet(low, band, 16000)
            >>> bank.edges.detach().round().tolist()
            [[200.0, 300.0], [1000.0, 1500.0]]
        """
        low, band = (values.detach().cpu().double().flatten() for values in (low_hz, band_hz))
        low = min_low_hz + low.abs()
        # SincNet's edges may reach half the sample rate. Ours stay strictly below, the highest by a step of the ramp.
        highest = (options.get("f_max") or sample_rate / 2) - 1.01 * RAMP_SHARE * sample_rate / 2 / (len(low) + 1)
        edges = torch.stack([low, (low + min_band_hz + band.abs()).clamp_max(highest)], dim=-1)
        return cls(sample_rate, len(edges), edges=edges[edges.sum(-1).argsort()], **options)

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
        """Return the middle tap of each kernel and those after it, ``(n_filters, (kernel_size + 1) // 2)``."""
        middle_and_half = self._middle_and_half()
        # The middle tap is at a time just above zero, so that sin(x) / x is one. torch.sinc has a slow backward pass.
        taps = self._constants.like("taps", middle_and_half) * (2 * math.pi / self.sample_rate) + ALMOST_ZERO
        phases, cos_middle, sin_half = _cosine_and_sine(middle_and_half, taps, self._quarter_turns(middle_and_half))
        return sin_half / phases * (cos_middle * self._constants.like("kernel_window", taps))

    def _starting_middle_and_half(self) -> tuple[Tensor, Tensor]:
        """Return the first middle and half-width of each filter as shares of the band, in float64 on the CPU."""
        length = self.f_max - self.f_min
        if self._edges is None:
            points = (self.starting_points() - self.f_min) / length
            centers, half = points[1:-1], (points[2:] - points[:-2]) / 4
            return centers, torch.minimum(half, torch.minimum(centers, 1 - centers) / 2)
        edges = torch.tensor(self._edges, dtype=torch.float64, device="cpu")
        if edges.shape != (self.n_filters, 2):
            raise ValueError(f"edges must have shape ({self.n_filters}, 2), got {tuple(edges.shape)}")
        low, high = edges.unbind(-1)
        middle, step = (low + high) / 2, RAMP_SHARE * length / (self.n_filters + 1)
        if not bool((middle.diff() > 1.5 * step).all()):
            raise ValueError(
                f"edges must have ascending middles, {1.5 * step:.3g} Hz apart or more, got {middle.tolist()} (in Hz)"
            )
        # The ramps of `functional.ordered` reserve this much at both ends for the other filters.
        count = torch.arange(1, self.n_filters + 1, dtype=torch.float64, device="cpu")
        least, most = self.f_min + step * count, self.f_max - step * (self.n_filters + 1 - count)
        inside = (low > least) & (high < most) & (low < high)
        if not bool(inside.all()):
            i = int((~inside).nonzero()[0])
            raise ValueError(
                f"edges must be ascending and from {float(least[i]):.7g} to {float(most[i]):.7g} Hz for filter {i}, "
                f"got {edges[i].tolist()} (f_min={self.f_min}, f_max={self.f_max})"
            )
        return (middle - self.f_min) / length, (high - low) / 2 / length

    def _quarter_turns(self, like: Tensor) -> Tensor:
        return self._constants.like("of_middle", like)[..., None] * (math.pi / 2)

    def _middle_and_half(self) -> Tensor:
        """Return the middle and the half-width of each filter in Hz, shape ``(2, n_filters)``."""
        low = torch.sigmoid(at_least_float32(self.raw_low))
        half = torch.rsub(low, 0.5, alpha=0.5) * torch.sigmoid(at_least_float32(self.raw_band))
        middle = low + half
        positions = torch.stack([middle, half]).index_select(1, middle.detach().argsort())
        spread = ordered(positions, self._constants.like("ramps", positions))
        # The middle is relative to f_min, and the half-width to zero.
        origin = self.f_min * self._constants.like("of_middle", positions)
        return torch.add(origin, spread, alpha=self.f_max - self.f_min)


def _cosine_and_sine(middle_and_half: Tensor, taps: Tensor, quarter_turns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the phases of the half-width at each tap, the cosines of those of the middle, and the sines of the phases.

    One call of the sine computes both, the cosine by a quarter turn more. For small tensors, starting the other threads
    takes longer than the arithmetic, so a second call would double the time.
    """
    phases = torch.addcmul(quarter_turns, middle_and_half[..., None], taps)
    cos_middle, sin_half = phases.sin().unbind()
    return phases[1], cos_middle, sin_half
