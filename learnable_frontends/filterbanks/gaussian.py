"""Filters with a Gaussian response over frequency, with learned centers and widths."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends.filterbanks.by_response import ResponseFilterbank
from learnable_frontends.filterbanks.centers import CenteredFilterbank
from learnable_frontends.filterbanks.options import ResponseOptions
from learnable_frontends.functional.gaussian_sides import gaussian_gains

__all__ = ["GaussianFilterbank"]


class GaussianFilterbank(CenteredFilterbank, ResponseFilterbank):
    r"""Filters whose power response is a Gaussian over frequency, with a learned center and width each.

    Take them for filters on another scale than mel, or at centers that `analysis.band_information` has chosen for your
    sounds. They are the cheapest learned filters of this package. On the real sounds that we measured they were not
    better than a mel spectrogram beyond chance (:doc:`/start/which`).

    The gain of filter :math:`i` at the frequency :math:`f` is :math:`2^{-4 (f - c_i)^2 / w_i^2}`: one at its center
    :math:`c_i`, and one half at a distance of :math:`w_i / 2` from it. The response is evaluated at the bins of the
    transform in closed form, so that no kernel truncates it, however low or narrow a filter is.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        width: Full width at half of the peak power in Hz: one number for all filters, or one for each. ``"spacing"``
            chooses widths for which each response has half of its peak power half-way to its neighbors, on average, so
            that filters start side by side, however many there are.
        learn_width: Whether widths are learned as well, each between a ten-thousandth of the band and the whole band.
        init: Where centers start: the name of a scale on which they are evenly spaced, ``"mel"`` (``"htk"``),
            ``"slaney"``, ``"bark"``, ``"erb"`` or ``"linear"``; or ``n_filters`` ascending frequencies in Hz.
        n_fft: Transform length in samples, at least ``win_length``. ``None`` means the smallest power of two that is at
            least ``win_length`` and has bins no farther apart than the narrowest filter is wide at the start.
        **options: The arguments that `ResponseFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``; with an odd ``n_fft`` there are
          ``1 + (time - 1) // hop_length`` frames.

    Raises:
        TypeError: As for `CosGaussFilterbank`.
        ValueError: As for `MelFrontend` and `CosGaussFilterbank`.

    Example:
        >>> import torch
        >>> GaussianFilterbank(sample_rate=16000, n_filters=40)(torch.randn(16000)).shape
        torch.Size([40, 101])
    """

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        width: float | str | Sequence[float] | Tensor = "spacing",
        learn_width: bool = True,
        init: str | Sequence[float] | Tensor = "mel",
        **options: Unpack[ResponseOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        self.set_init(init)
        self.declare_centers()
        self.declare_widths(width, learn_width)
        self.set_bins(lambda n_fft: self.sample_rate / n_fft <= self._constants["widths"].min())

    def response(self, frequencies: Tensor) -> Tensor:
        """Return the gain of each filter at frequencies in Hz: ``(bins,)`` to ``(n_filters, bins)``."""
        centers, widths = self.centers_and_widths()
        half_widths = (frequencies - centers[:, None]) * (2 / widths[:, None])
        return gaussian_gains(half_widths.square())

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"{super().extra_repr()}, learn_width={self.learn_width}"
