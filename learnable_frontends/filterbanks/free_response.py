"""A learned matrix over the bins of a spectrogram: the gain of every filter at every frequency."""

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

# Gain relative to a filter's largest, -60 dB, of bins where a start has less: softplus is never zero.
FLOOR = 1e-6


class FreeResponseFilterbank(ResponseFilterbank):
    """A learned matrix over the bins: each filter's gain at each frequency, not negative, started from any bank.

    Others call it a trainable mel spectrogram. Nothing keeps a filter a band-pass. Its center is the centroid of its
    gains, and the order of the centers is not promised: filters stay in the rows where they started. Gains are the
    softplus of the parameters.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        start: Bank whose power response is the first matrix; gains below a millionth of a filter's largest are
            raised to that. ``None`` means a `MelFrontend` with the same band and ``n_fft``. With one that has kernels
            the level is that of its energies too.
        n_fft: Transform length in samples, at least ``win_length``; ``None`` means what ``start`` has if it is drawn
            over frequency, or else the smallest power of two.
        **options: The arguments that `ResponseFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``; for an odd ``n_fft`` ``1 + (time - 1) // hop_length``.

    Raises:
        TypeError: As `CosGaussFilterbank`; or if ``start`` is not a `Filterbank`.
        ValueError: As `MelFrontend`; or if ``start`` has another sample rate or number of filters, or no gain at all at
            any bin of a filter.

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
                shares = torch.full(gains.shape[1:], 2.0)  # one-sided bins count twice, but for the ends
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
        """Gain of each filter at frequencies in Hz, interpolated between the bins: ``(n_filters, frequencies)``."""
        gains = self._gains()
        places = (frequencies * (self.n_fft / self.sample_rate)).clamp(0, gains.shape[-1] - 1).to(gains.dtype)
        below = places.floor().long().clamp_max(gains.shape[-1] - 2)
        return torch.lerp(gains[:, below], gains[:, below + 1], places - below)

    def weights(self, like: Tensor) -> Tensor:
        """Gain of each filter at the bins of a power spectrum."""
        return self._gains().to(like.dtype)

    def _gains(self) -> Tensor:
        return F.softplus(at_least_float32(self.raw_gains))
