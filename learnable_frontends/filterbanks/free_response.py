"""A learned matrix over the bins of a spectrogram, which holds the gain of each filter at each frequency."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from learnable_frontends._constants import exact_construction
from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.filterbanks.by_kernels import KernelFilterbank
from learnable_frontends.filterbanks.by_response import ResponseFilterbank
from learnable_frontends.filterbanks.free import check_start
from learnable_frontends.filterbanks.mel import MelFrontend
from learnable_frontends.filterbanks.options import ResponseOptions

__all__ = ["FreeResponseFilterbank"]

# Smallest gain at the start, relative to the largest gain of the filter (-60 dB), since softplus is never zero.
FLOOR = 1e-6


class FreeResponseFilterbank(ResponseFilterbank):
    """A learned matrix over the bins of a spectrogram: the nonnegative gain of each filter at each frequency.

    Other libraries call this a trainable mel spectrogram. Take it to let filters learn any response. It starts from the
    response of any filterbank, and nothing keeps a filter a band-pass filter. The gains are the softplus of the
    parameters, and the center of a filter is the centroid of its gains. Filters stay in the rows where they started, so
    the centers may be in any order. :doc:`/start/which` helps to choose a front-end.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        start: Filterbank whose power response is the matrix at the start. Gains below a millionth of a filter's largest
            gain are raised to that. ``None`` means a `MelFrontend` with the same band and ``n_fft``. If ``start`` has
            kernels, the energies also have its level.
        n_fft: Transform length in samples, at least ``win_length``. ``None`` means the ``n_fft`` of ``start`` if it is
            a `ResponseFilterbank`, otherwise the smallest power of two that is at least ``win_length``.
        **options: The arguments that `ResponseFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``; with an odd ``n_fft`` there are
          ``1 + (time - 1) // hop_length`` frames.

    Raises:
        TypeError: As for `CosGaussFilterbank`, or if ``start`` is not a `Filterbank`.
        ValueError: As for `MelFrontend`, or if ``start`` has another sample rate or number of filters, or a filter that
            is zero at every bin.

    Example:
        >>> from learnable_frontends import MelFrontend
        >>> mel, waveform = MelFrontend(16000, 40), torch.randn(16000)
        >>> bank = FreeResponseFilterbank(16000, 40, start=mel)
        >>> torch.allclose(bank(waveform), mel(waveform), atol=0.02)
        True
    """

    centers_ascend = False
    raw_gains: nn.Parameter

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        start: Filterbank | None = None,
        **options: Unpack[ResponseOptions],
    ) -> None:
        if isinstance(start, ResponseFilterbank) and start.sample_rate == sample_rate and options.get("n_fft") is None:
            options["n_fft"] = start.n_fft
        super().__init__(sample_rate, n_filters, **options)
        with exact_construction():
            if start is None:
                start = MelFrontend(
                    sample_rate,
                    self.n_filters,
                    n_fft=options.get("n_fft"),
                    f_min=self.f_min,
                    f_max=self.f_max,
                    win_length=self.win_length,
                )
            start = check_start(self, start)
            needed = start.n_fft if isinstance(start, ResponseFilterbank) else 1
            self.set_bins(lambda n_fft: n_fft >= needed)
            gains = start.power_response(self.n_fft).detach()
            if isinstance(start, KernelFilterbank):
                shares = torch.full(gains.shape[1:], 2.0)  # one-sided bins count twice, except the ends
                shares[[0, -1] if self.n_fft % 2 == 0 else [0]] = 1.0
                gains = gains * shares / (self.n_fft * (start.win_length + start.kernel_size - 1))
            levels = gains.amax(-1, keepdim=True)
            if not bool((levels > 0).all()):
                raise ValueError(
                    f"start must have a gain at some bin in every filter, got none in {int((levels <= 0).sum())} "
                    "(raise n_fft)"
                )
            raw = torch.maximum(gains, FLOOR * levels).expm1().log()
        self.declare("raw_gains", raw)

    @property
    def center_frequencies(self) -> Tensor:
        """Centroid of each filter's gains in Hz, shape ``(n_filters,)``, in any order, differentiable."""
        gains = self._gains()
        return gains @ self._constants.like("bins", gains) / gains.sum(-1)

    def response(self, frequencies: Tensor) -> Tensor:
        """Return the gain of each filter at frequencies in Hz, interpolated between bins: ``(n_filters, bins)``."""
        gains = self._gains()
        places = (frequencies * (self.n_fft / self.sample_rate)).clamp(0, gains.shape[-1] - 1).to(gains.dtype)
        below = places.floor().long().clamp_max(gains.shape[-1] - 2)
        return torch.lerp(gains[:, below], gains[:, below + 1], places - below)

    def weights(self, like: Tensor) -> Tensor:
        """Return the gain of each filter at the bins of a power spectrum."""
        return self._gains().to(like.dtype)

    def _gains(self) -> Tensor:
        return F.softplus(at_least_float32(self.raw_gains))
