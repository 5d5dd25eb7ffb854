"""Filterbanks of FIR filters: energies from their kernels, by Parseval's theorem or in the time domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from learnable_frontends._checks import whole_number
from learnable_frontends._constants import exact_construction
from learnable_frontends._precision import at_least_float32
from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.filterbanks.options import FramingOptions
from learnable_frontends.functional import (
    conv_energies,
    even_kernel_response,
    even_ramp,
    kernel_response,
    next_fast_length,
    ordered,
    spaced_centers,
    unbounded,
    unordered,
)
from learnable_frontends.functional.constraints import RAMP_SHARE

__all__ = ["KernelFilterbank"]


class KernelFilterbank(Filterbank):
    r"""A bank of FIR filters: a family declares its parameters and defines its `kernels`, this class does the rest.

    Kernels that are even about their middle tap are defined by half of them, `half_kernels`, and cost half. A family
    with one learned center for each filter calls `declare_centers` and has its `center_frequencies`; others define
    these, and declare their parameters by `Filterbank.declare`.

    The energy of filter :math:`i` in a frame is the mean square of the windowed frame convolved with the filter. For
    the full convolution Parseval's theorem gives it from one FFT a frame and one matrix product, whatever the number
    of taps (``padding="full"``); ``padding="valid"`` keeps only the outputs that see the whole kernel, as published,
    and must be convolved.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        kernel_size: Taps per filter, odd, 3 or more; ``None`` means 16 ms (705 at 44.1 kHz).
        padding: Which outputs of the convolution count: ``"full"``, all of them, from one FFT a frame; or ``"valid"``,
            those that see the whole kernel, as the published code does, for exact comparison with its weights. On
            steady sounds well above the log's offset the log energies of the two differ by a near constant. But
            ``"valid"`` convolves in the time domain: hundreds of times the work, and ``frames x n_filters x
            win_length`` numbers of memory.
        window: Function from ``win_length`` to the frame window. It is called once and not kept. The published code's
            is symmetric: ``functools.partial(torch.hamming_window, periodic=False)``. ``torch.hann_window`` keeps loud
            low sounds out of quiet high filters.
        init: Where centers start: evenly on a scale, ``"mel"`` (``"htk"``), ``"slaney"``, ``"bark"``, ``"erb"`` or
            ``"linear"``, or ``n_filters`` ascending frequencies in Hz.
        gain: ``"raw"`` leaves the kernels as they are, so lower filters, which are longer, are louder; ``"peak"`` gives
            every filter unit gain at its center.
        **options: The arguments that `Filterbank` describes.
    """

    raw_center: nn.Parameter

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        kernel_size: int | None = None,
        padding: str = "full",
        window: Callable[[int], Tensor] = torch.hamming_window,
        init: str | Sequence[float] | Tensor = "mel",
        gain: str = "raw",
        **options: Unpack[FramingOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, window=window, **options)
        if not (self._is_even or type(self).kernels is not KernelFilterbank.kernels):
            raise TypeError(f"{type(self).__name__} must define kernels(), or half_kernels() if they are even")
        if kernel_size is None and (kernel_size := 2 * int(0.008 * sample_rate) + 1) < 3:
            raise ValueError(f"kernel_size must be given for sample_rate={sample_rate}, whose 16 ms are one sample")
        self.kernel_size = kernel_size = whole_number("kernel_size", kernel_size, least=3)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size} (try {kernel_size + 1})")
        if padding not in ("full", "valid"):
            raise ValueError(f"padding must be 'full' or 'valid', got {padding!r}")
        if padding == "valid" and kernel_size > self.win_length:
            raise ValueError(
                f"kernel_size must be at most win_length={self.win_length} with padding='valid', got {kernel_size} "
                "(no output would see the whole kernel; use padding='full')"
            )
        if gain not in ("raw", "peak"):
            raise ValueError(f"gain must be 'raw' or 'peak', got {gain!r}")
        self.padding, self.gain = padding, gain
        outputs = self.win_length + kernel_size - 1
        half, n_fft = self.win_length // 2, next_fast_length(outputs)
        frame_length = n_fft if padding == "full" else self.win_length
        self._set_framing(
            n_fft,
            frame_length=frame_length,
            window_start=0,
            padding=(half, self.win_length - half),
            tail=frame_length - self.win_length,
        )
        # Parseval: the mean over the outputs of the full convolution is 1 / (outputs n_fft) times the sum of all
        # bins; a one-sided bin counts twice but for 0 Hz and the Nyquist frequency (n_fft is even).
        shares = np.full(n_fft // 2 + 1, 2.0 / (outputs * n_fft))
        shares[[0, -1]] /= 2
        self._constants["bin_shares"] = shares
        self._constants["taps"] = np.arange(kernel_size // 2 + 1 if self._is_even else kernel_size)
        self._init = (
            init if isinstance(init, str) else torch.as_tensor(init, dtype=torch.float64, device="cpu").tolist()
        )
        self.starting_points()

    def declare_centers(self) -> None:
        """Declare ``raw_center``, from which `center_frequencies` follow: one free number for each filter.

        It is the logit of the center's place in the band, so that a step means the same relative change at every
        sample rate. Centers are the sorted places, plus a thousandth of an even ramp (`functional.ordered`), so that
        any values leave them strictly ascending and strictly inside the band.
        """
        points, ramp = self.starting_points(), even_ramp(self.n_filters)
        self._constants["ramp"] = ramp
        places = (points[1:-1] - self.f_min) / (self.f_max - self.f_min)
        self.declare("raw_center", unbounded(unordered(places, ramp), 0.0, 1.0))

    @property
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        raw = at_least_float32(self.raw_center).sort().values
        places = ordered(torch.sigmoid(raw), self._constants.like("ramp", raw))
        return self.f_min + (self.f_max - self.f_min) * places

    def half_kernels(self) -> Tensor:
        """Middle tap of each even kernel and those after it, shape ``(n_filters, (kernel_size + 1) // 2)``."""
        raise NotImplementedError(f"{type(self).__name__} defines kernels(), which need not be even")

    def kernels(self) -> Tensor:
        """Impulse responses, shape ``(n_filters, kernel_size)``, in the order of `center_frequencies`."""
        return _mirror(self.half_kernels())

    def power_response(self, n_fft: int) -> Tensor:
        """Return the power gain of each filter at the bins of a transform.

        Args:
            n_fft: Even transform length in samples, at least ``kernel_size``.

        Returns:
            Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``, bin ``k`` at ``k * sample_rate /
            n_fft`` Hz. With ``gain="peak"`` it is one at each center frequency.

        Raises:
            ValueError: If ``n_fft`` is smaller than ``kernel_size``.
        """
        if self._is_even:
            return even_kernel_response(self._scaled(self.half_kernels()), n_fft)
        return kernel_response(self._scaled(self.kernels()), n_fft)

    def weights(self, like: Tensor) -> Tensor:
        """Weights of the bins of a power spectrum; with ``padding="valid"`` kernels that frames are convolved with."""
        if self.padding == "valid":
            kernels = self._scaled(self.half_kernels() if self._is_even else self.kernels())
            return (_mirror(kernels) if self._is_even else kernels).to(like.dtype)
        response = self.power_response(self.n_fft)
        return (response * self._constants.like("bin_shares", response)).to(like.dtype)

    def frame_energies(self, frames: Tensor) -> Tensor:
        """Energies of frames not yet windowed: ``(batch, frames, frame_length)`` to ``(batch, n_filters, frames)``."""
        if self.padding == "full":
            return super().frame_energies(frames)
        windowed = frames * self._constants.like("frame_window", frames)
        return conv_energies(windowed, self._current_weights(frames), "valid")

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        own = f"kernel_size={self.kernel_size}, padding={self.padding!r}, gain={self.gain!r}"
        return f"{super().extra_repr()}, {own}"

    @property
    def _is_even(self) -> bool:
        return type(self).half_kernels is not KernelFilterbank.half_kernels

    def _set_transform(self, transform: str) -> None:
        if self.padding == "valid":
            raise ValueError(f"transform must be left alone with padding='valid', which convolves, got {transform!r}")
        super()._set_transform(transform)

    def _phase(self, frequencies: Tensor) -> Tensor:
        """Radians at each tap, from the middle on if even: ``(n_filters,)`` in Hz to ``(n_filters, taps)``."""
        return frequencies[..., None] * (self._constants.like("taps", frequencies) * (2 * math.pi / self.sample_rate))

    def _scaled(self, kernels: Tensor) -> Tensor:
        """Kernels or half kernels with the bank's gain."""
        if self.gain == "raw":
            return kernels
        phase = self._phase(self.center_frequencies)
        real = (kernels * phase.cos()).sum(-1, keepdim=True)
        if self._is_even:  # all taps but the middle one occur twice
            return kernels / (2 * real - kernels[:, :1])
        return kernels / torch.hypot(real, (kernels * phase.sin()).sum(-1, keepdim=True))

    def starting_points(self) -> Tensor:
        """Return ``f_min``, the centers that ``init`` asks for, and ``f_max``, in Hz: float64 on the CPU."""
        step = RAMP_SHARE * (self.f_max - self.f_min) / (self.n_filters + 1)
        if step < 4 * self.f_max * torch.finfo(torch.float32).eps:
            raise ValueError(
                f"f_min and f_max must be further apart for {self.n_filters} filters to differ in float32, "
                f"got f_min={self.f_min}, f_max={self.f_max} (all in Hz)"
            )
        with exact_construction():
            points = spaced_centers(self._init, self.n_filters, self.f_min, self.f_max)
        # The ramp of `functional.ordered` would push closer ones apart in silence, or leave no room for their edges.
        if not bool((points.diff() > 1.5 * step).all()):
            raise ValueError(
                f"init must keep centers more than {1.5 * step:.3g} Hz from each other and from f_min and f_max, "
                f"got {points[1:-1].tolist()} (all in Hz)"
            )
        return points


def _mirror(half: Tensor) -> Tensor:
    return torch.cat([half[:, 1:].flip(-1), half], dim=-1)
