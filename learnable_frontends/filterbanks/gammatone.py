"""Gammatone filters, shaped like those of the ear, with a learned center each."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends._checks import number, whole_number
from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.by_kernels import KernelFilterbank
from learnable_frontends.filterbanks.options import KernelOptions
from learnable_frontends.functional import bounded_log_factor

__all__ = ["GammatoneFilterbank"]


class GammatoneFilterbank(KernelFilterbank):
    r"""Gammatone filters with a learned center each, as wide as the filters of human hearing.

    Take them for filters shaped like those of the ear. :doc:`/start/which` helps to choose a front-end.

    Filter :math:`i` at the time :math:`t` is :math:`\frac{2 (2\pi b_i)^m}{(m - 1)!}\,t^{m-1} e^{-2\pi b_i t} \cos(2\pi
    c_i t)` per second, with the order :math:`m`, the center :math:`c_i` and :math:`b_i = 1.019 \cdot 24.7\,(4.37 c_i /
    1000 + 1)` Hz, which follows from one equivalent rectangular bandwidth of hearing. The gain is about one at the
    center, unless the kernel ends before the filter has decayed.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        order: Order :math:`m` of the filters, 1 or more.
        learn_width: Whether the bandwidth of each filter is learned as well, between a tenth of that of hearing and ten
            times that.
        kernel_size: Taps per filter, odd, 3 or more. ``None`` means 50 ms, in which a filter at 100 Hz decays, or 20 ms
            with ``padding="valid"``.
        **options: The arguments that `KernelFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``.

    Raises:
        TypeError: As for `CosGaussFilterbank`.
        ValueError: As for `CosGaussFilterbank`.

    Example:
        >>> GammatoneFilterbank(sample_rate=16000, n_filters=40)(torch.randn(16000)).shape
        torch.Size([40, 101])

    Source: Slaney, "An Efficient Implementation of the Patterson-Holdsworth Auditory Filter Bank", Apple TR 35, 1993;
    bandwidths from Glasberg and Moore, Hearing Research 47, 1990. ``scipy.signal.gammatone`` has the same kernels.
    """

    log_offset = 1e-8

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        order: int = 4,
        learn_width: bool = False,
        **options: Unpack[KernelOptions],
    ) -> None:
        if options.get("kernel_size") is None:  # with padding="valid" it must fit into a frame
            half = 0.01 if options.get("padding") == "valid" else 0.025
            options["kernel_size"] = 2 * int(half * number("sample_rate", sample_rate, above=0, hint="in Hz")) + 1
        super().__init__(sample_rate, n_filters, **options)
        self.order = whole_number("order", order)
        self.declare_centers()
        self.learn_width = bool(learn_width)
        if learn_width:
            self.declare("raw_width", torch.zeros(self.n_filters, dtype=torch.float64, device="cpu"))

    @property
    def widths(self) -> Tensor:
        """Current equivalent rectangular bandwidth of each filter in Hz, shape ``(n_filters,)``."""
        hearing = 24.7 * (0.00437 * self.center_frequencies + 1)
        if not self.learn_width:
            return hearing
        order = at_least_float32(self.raw_center).argsort()
        return hearing * bounded_log_factor(at_least_float32(self.raw_width).index_select(0, order)).exp()

    def kernels(self) -> Tensor:
        """Return the impulse responses, shape ``(n_filters, kernel_size)``, in the order of `center_frequencies`."""
        phases = self._phase(self.center_frequencies)
        rates = self.widths[:, None] * (1.019 * 2 * math.pi / self.sample_rate)
        decays = rates * self._constants.like("taps", rates)
        envelopes = decays ** (self.order - 1) * torch.exp2(decays * (-1 / math.log(2)))
        return envelopes * phases.cos() * (rates * (2 / math.factorial(self.order - 1)))

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"{super().extra_repr()}, order={self.order}, learn_width={self.learn_width}"
