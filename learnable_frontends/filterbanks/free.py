"""Filters without a formula, whose kernels are learned tap by tap."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from learnable_frontends._constants import exact_construction
from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.filterbanks.by_kernels import KernelFilterbank, mirrored
from learnable_frontends.filterbanks.cos_gauss import CosGaussFilterbank
from learnable_frontends.filterbanks.options import KernelOptions
from learnable_frontends.functional import kernel_response

__all__ = ["FreeFilterbank", "check_start", "starting_kernels"]


class FreeFilterbank(KernelFilterbank):
    """Filters of which every tap is learned, and which start as those of any other filterbank.

    Take it to let filters learn any shape, or as a reference for what a parametric family gives up. Nothing keeps such
    a filter a band-pass filter. Its center is the centroid of its power response. Filters stay in the rows where they
    started, so the centers may be in any order. :doc:`/start/which` helps to choose a front-end.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        start: Filterbank whose filters these start as. Its kernels are cut, or padded with zeros on both sides. If it
            has no kernels, or pairs in quadrature, the start is kernels that are even about their middle tap and have
            its power response, cut to ``kernel_size``. ``None`` means a `CosGaussFilterbank` with ``width="spacing"``
            and the same ``init`` and band.
        **options: The arguments that `KernelFilterbank` describes; ``gain`` must be ``"raw"``.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``.

    Raises:
        TypeError: As for `CosGaussFilterbank`, or if ``start`` is not a `Filterbank`.
        ValueError: As for `CosGaussFilterbank`, or if ``start`` has another sample rate or number of filters.

    Example:
        >>> from learnable_frontends import SincFilterbank
        >>> sinc, waveform = SincFilterbank(16000, 40), torch.randn(16000)
        >>> bank = FreeFilterbank(16000, 40, start=sinc)
        >>> torch.allclose(bank(waveform), sinc(waveform), atol=1e-4)
        True
    """

    centers_ascend = False
    raw_taps: nn.Parameter

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        start: Filterbank | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        if self.gain != "raw":
            raise ValueError(
                f"gain must be 'raw' for free kernels, which need not pass their center, got {self.gain!r}"
            )
        with exact_construction():
            if start is None:
                start = CosGaussFilterbank(
                    sample_rate,
                    self.n_filters,
                    width="spacing",
                    kernel_size=self.kernel_size,
                    init=self._init,
                    f_min=self.f_min,
                    f_max=self.f_max,
                )
            taps = starting_kernels(check_start(self, start), self.kernel_size)
        self.declare("raw_taps", taps)

    @property
    def center_frequencies(self) -> Tensor:
        """Centroid of each filter's power response in Hz, shape ``(n_filters,)``, in any order, differentiable."""
        response = kernel_response(at_least_float32(self.raw_taps), max(self.n_fft, self.kernel_size))
        bins = torch.linspace(0, self.sample_rate / 2, response.shape[-1], dtype=response.dtype, device=response.device)
        return response @ bins / response.sum(-1)

    def kernels(self) -> Tensor:
        """Return the impulse responses, shape ``(n_filters, kernel_size)``."""
        return at_least_float32(self.raw_taps)


def check_start(bank: Filterbank, start: object) -> Filterbank:
    """Return a float64 copy of ``start``, after checking that ``bank`` can start with its filters."""
    if not isinstance(start, Filterbank):
        raise TypeError(f"start must be a Filterbank such as SincFilterbank, got {type(start).__name__}")
    if (start.sample_rate, start.n_filters) != (bank.sample_rate, bank.n_filters):
        raise ValueError(
            f"start must have sample_rate={bank.sample_rate} and n_filters={bank.n_filters}, got "
            f"sample_rate={start.sample_rate}, n_filters={start.n_filters}"
        )
    return copy.deepcopy(start).to("cpu", torch.float64)


def starting_kernels(start: Filterbank, kernel_size: int) -> Tensor:
    """Return kernels of ``kernel_size`` taps: those of a filterbank, or even ones with its power response."""
    half = kernel_size // 2
    if isinstance(start, KernelFilterbank) and start.half_quadrature() is None:
        kernels, _ = start._scaled()
        if start._is_even:
            kernels = mirrored(kernels)
        side = half - kernels.shape[-1] // 2
        return F.pad(kernels, (side, side))
    n_fft = 2 ** max(14, kernel_size.bit_length() + 1)
    taps = torch.fft.irfft(start.power_response(n_fft).sqrt(), n=n_fft)
    return torch.cat([taps[:, -half:], taps[:, : half + 1]], dim=-1)
