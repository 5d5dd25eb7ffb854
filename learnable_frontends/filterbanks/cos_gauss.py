"""Cosine-modulated Gaussian filters with one learned center frequency each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends.filterbanks.by_kernels import KernelFilterbank
from learnable_frontends.filterbanks.options import KernelOptions

__all__ = ["CosGaussFilterbank"]


class CosGaussFilterbank(KernelFilterbank):
    r"""Cosine-modulated Gaussian filters with one learned center frequency each.

    These are the filters of Dutta et al. 2021. Take them to reproduce the paper; `MultiHeadRelevance` adds its
    relevance heads. On the real sounds that we measured they were not better than a mel spectrogram beyond chance
    (:doc:`/evidence/results`).

    Filter :math:`i` at tap :math:`n` is :math:`\cos(2\pi\mu_i n)\exp(-(\mu_i n / w)^2 / 2)`, with the center
    :math:`\mu_i` in cycles per sample and the width :math:`w` in periods of the center: the relative bandwidth is the
    same for every filter whose Gaussian fits into the kernel.

    Args:
        sample_rate: Samples per second of the waveform. It has no default, since a wrong one would shift every filter.
        n_filters: Number of filters.
        width: Standard deviation of the Gaussian in periods of the center frequency: one number for all filters, or one
            for each. ``"spacing"`` chooses widths for which each response has half of its peak power half-way to its
            neighbors, on average, so that filters start side by side, however many there are.
        learn_width: Whether the width of each filter is learned as well, between 0.1 and 100 periods.
        **options: The arguments that `KernelFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``; with ``center=False`` there are
          ``1 + (time - win_length) // hop_length`` frames.

    Raises:
        TypeError: If a length is not a whole number, ``compression`` is not a module, or a waveform is not floating
            point.
        ValueError: If an argument breaks its rule, such as an even ``kernel_size`` or
            ``not 0 <= f_min < f_max <= sample_rate / 2``; or if a waveform is too short to pad.

    Example:
        >>> CosGaussFilterbank(sample_rate=44100, n_filters=80)(torch.randn(2, 44100)).shape
        torch.Size([2, 80, 101])

    Source: Dutta et al. 2021, eq. 1, which is ``width=1``. The default of 5 is that of its published code. There, the
    centers are sorted logits between 0 and half the sample rate. Here a thousandth of an even ramp is added
    (`functional.ordered`), which keeps centers strictly apart and moves none of them by more than 0.1 % of the band.
    """

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        width: float | str | Sequence[float] | Tensor = 5.0,
        learn_width: bool = False,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        self.declare_centers()
        self.declare_widths(width, learn_width)
        widths = self._constants["widths"]
        self._same_width = float(widths[0]) if bool((widths == widths[0]).all()) and not learn_width else None

    width_unit = "periods"
    width_range = (0.1, 100.0)  # the length of the kernel limits widths as well

    def spacing_widths(self) -> Tensor:
        """Return widths for which responses have half of their peak power half-way to their neighbors, on average."""
        half_gaps = super().spacing_widths() / 2
        widths = self.starting_points()[1:-1] * (math.sqrt(math.log(2)) / (2 * math.pi)) / half_gaps
        low, high = self.width_range
        if not bool(((low < widths) & (widths < high)).all()):
            raise ValueError(
                f"width='spacing' must lead to widths between {low} and {high} periods, got {widths.tolist()} "
                "(centers too far apart or too close; give numbers)"
            )
        return widths

    @property
    def widths(self) -> Tensor:
        """Standard deviation of each filter's Gaussian in periods of its current center, shape ``(n_filters,)``."""
        return self.centers_and_widths()[1]

    def half_kernels(self) -> Tensor:
        """Return the middle tap of each kernel and those after it, ``(n_filters, (kernel_size + 1) // 2)``."""
        if self._same_width is None:
            centers, widths = self.centers_and_widths()
            width: Tensor | float = widths[:, None]
        else:
            centers, width = self.center_frequencies, self._same_width
        phase = self._phase(centers)
        # Powers of two, not of e: for small tensors torch.exp starts other threads, which costs more than it saves.
        exponent = phase.square() * (-0.5 / math.log(2) / (2 * math.pi * width) ** 2)
        return torch.cos(phase) * torch.exp2(exponent)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        widths = self.widths.detach()
        if widths.is_meta or bool((widths == widths[0]).all()):
            shown = "" if widths.is_meta else f", width={float(widths[0]):g}"
        else:
            shown = f", width={float(widths.min()):.3g} to {float(widths.max()):.3g}"
        return f"{super().extra_repr()}{shown}, learn_width={self.learn_width}"
