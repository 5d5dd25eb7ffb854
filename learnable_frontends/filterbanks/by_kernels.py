"""Filterbanks of FIR filters: energies computed from kernels, by Parseval's theorem or in the time domain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends._checks import whole_number
from learnable_frontends.filterbanks.centers import CenteredFilterbank
from learnable_frontends.filterbanks.options import FramingOptions
from learnable_frontends.functional import (
    conv_energies,
    even_kernel_response,
    kernel_response,
    next_fast_length,
)

__all__ = ["KernelFilterbank", "mirrored"]


class KernelFilterbank(CenteredFilterbank):
    r"""A filterbank of FIR filters: a family declares its parameters and defines its `kernels`.

    Kernels that are even about their middle tap are defined by half of their taps, `half_kernels`, and cost half. A
    family with one learned center for each filter calls `CenteredFilterbank.declare_centers`; other families define
    ``center_frequencies`` and declare their parameters with `Filterbank.declare`.

    The energy of filter :math:`i` in a frame is the mean square of the windowed frame convolved with the filter. For
    the full convolution (``padding="full"``), Parseval's theorem computes it from one FFT for each frame and one matrix
    product, whatever the number of taps. ``padding="valid"`` keeps only the outputs that cover the whole kernel, as the
    published code of Dutta et al. 2021 does, and needs the convolution itself.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        kernel_size: Taps per filter, odd, 3 or more; ``None`` means 16 ms (705 at 44.1 kHz).
        n_fft: Even transform length in samples, ``win_length`` or more. ``None`` is exact: long enough for all outputs
            of the convolution. A shorter transform computes the circular convolution with this period, which wraps
            outputs beyond its end around to the beginning. It costs as much as a mel spectrogram with the same
            ``n_fft``, whatever ``kernel_size`` is, and keeps the levels of the exact filterbank.
        padding: Which outputs of the convolution count: ``"full"`` for all of them, computed from one FFT per frame; or
            ``"valid"`` for those that cover the whole kernel, for exact comparison with weights of the published code.
            On steady sounds well above the offset of the logarithm, the log energies of the two differ by a nearly
            constant number. ``"valid"`` convolves in the time domain, which takes far more work and a memory of
            ``frames x n_filters x win_length`` numbers.
        window: Function from ``win_length`` to the samples of the frame window. It is called once and not kept. The
            published code uses a symmetric one: ``functools.partial(torch.hamming_window, periodic=False)``.
            ``torch.hann_window`` keeps loud low sounds out of quiet high filters.
        init: Where centers start: the name of a scale on which they are evenly spaced, ``"mel"`` (``"htk"``),
            ``"slaney"``, ``"bark"``, ``"erb"`` or ``"linear"``; or ``n_filters`` ascending frequencies in Hz.
        gain: ``"raw"`` leaves the kernels as they are, so that lower filters, which are longer, are louder; ``"peak"``
            scales every filter to unit gain at its center.
        **options: The arguments that `Filterbank` describes.
    """

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        kernel_size: int | None = None,
        n_fft: int | None = None,
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
                "(no output would cover the whole kernel; use padding='full')"
            )
        if gain not in ("raw", "peak"):
            raise ValueError(f"gain must be 'raw' or 'peak', got {gain!r}")
        self.padding, self.gain = padding, gain
        outputs = self.win_length + kernel_size - 1
        half, self._n_fft = self.win_length // 2, n_fft
        n_fft = next_fast_length(outputs) if n_fft is None else self._checked_n_fft(n_fft)
        frame_length = n_fft if padding == "full" else self.win_length
        self._set_framing(
            n_fft,
            frame_length=frame_length,
            window_start=0,
            padding=(half, self.win_length - half),
            tail=frame_length - self.win_length,
        )
        # Parseval: the mean over the outputs of the full convolution is 1 / (outputs n_fft) times the sum over all
        # bins. One-sided bins count twice, except 0 Hz and the Nyquist frequency (n_fft is even). A shorter transform
        # adds outputs to each other; dividing by the same number of outputs keeps the levels.
        shares = np.full(n_fft // 2 + 1, 2.0 / (outputs * n_fft))
        shares[[0, -1]] /= 2
        self._constants["bin_shares"] = shares
        self._constants["taps"] = np.arange(kernel_size // 2 + 1 if self._is_even else kernel_size)
        self.set_init(init)

    def half_kernels(self) -> Tensor:
        """Return the middle tap of each even kernel and those after it, ``(n_filters, (kernel_size + 1) // 2)``."""
        raise NotImplementedError(f"{type(self).__name__} defines kernels(), which need not be even")

    def half_quadrature(self) -> Tensor | None:
        """Return halves of odd kernels, whose energy is added to that of the even ones, or ``None`` for no kernels."""
        return None

    def halves(self) -> tuple[Tensor, Tensor | None]:
        """Return `half_kernels` and `half_quadrature`; a family in which they share steps redefines this method."""
        return self.half_kernels(), self.half_quadrature()

    def kernels(self) -> Tensor:
        """Return the impulse responses, shape ``(n_filters, kernel_size)``, in the order of `center_frequencies`."""
        return mirrored(self.half_kernels())

    def power_response(self, n_fft: int) -> Tensor:
        """Return the power gain of each filter at the bins of a transform.

        Args:
            n_fft: Even transform length in samples.

        Returns:
            Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``, bin ``k`` at ``k * sample_rate /
            n_fft`` Hz. With ``gain="peak"`` it is one at each center frequency.

        Raises:
            ValueError: If ``n_fft`` is odd.
        """
        if n_fft % 2:
            raise ValueError(f"n_fft must be even, got {n_fft} (try {n_fft + 1})")
        kernels, quadrature = self._scaled()
        return even_kernel_response(kernels, n_fft, quadrature) if self._is_even else kernel_response(kernels, n_fft)

    def weights(self, like: Tensor) -> Tensor:
        """Return the weights of the bins or, with ``padding="valid"``, the kernels that frames are convolved with."""
        if self.padding == "valid":
            kernels, quadrature = self._scaled()
            if self._is_even:
                kernels = mirrored(kernels)
            if quadrature is not None:
                kernels = torch.cat([kernels, mirrored(quadrature, odd=True)])
            return kernels.to(like.dtype)
        response = self.power_response(self.n_fft)
        return (response * self._constants.like("bin_shares", response)).to(like.dtype)

    def frame_energies(self, frames: Tensor) -> Tensor:
        """Return energies of unwindowed frames: ``(batch, frames, samples)`` to ``(batch, n_filters, frames)``."""
        if self.padding == "full":
            return super().frame_energies(frames)
        if self.frame_stages is not None:
            frames = self.frame_stages(frames)
        windowed = frames * self._constants.like("frame_window", frames)
        energies = conv_energies(windowed, self._current_weights(frames), "valid")
        summed: Tensor = energies.unflatten(1, (-1, self.n_filters)).sum(1)  # over each pair in quadrature
        return summed

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        names = ("kernel_size", "n_fft", "padding", "gain")
        return ", ".join([super().extra_repr(), *(f"{name}={getattr(self, name)!r}" for name in names)])

    @property
    def _is_even(self) -> bool:
        return type(self).half_kernels is not KernelFilterbank.half_kernels

    def _checked_n_fft(self, n_fft: int) -> int:
        n_fft = whole_number("n_fft", n_fft)
        if self.padding == "valid":
            raise ValueError(f"n_fft must be left out with padding='valid', which convolves, got {n_fft}")
        if n_fft % 2 or n_fft < self.win_length:
            least = self.win_length + self.win_length % 2
            raise ValueError(
                f"n_fft must be even and at least win_length={self.win_length}, got {n_fft} (try {least}, or None for "
                "the exact convolution)"
            )
        return n_fft

    def _set_transform(self, transform: str) -> None:
        if self.padding == "valid":
            raise ValueError(f"transform must be left alone with padding='valid', which convolves, got {transform!r}")
        super()._set_transform(transform)

    def _phase(self, frequencies: Tensor) -> Tensor:
        """Return the phase in radians at each tap, or from the middle tap on if even: ``(n_filters, taps)``."""
        return frequencies[..., None] * (self._constants.like("taps", frequencies) * (2 * math.pi / self.sample_rate))

    def _scaled(self) -> tuple[Tensor, Tensor | None]:
        """Return kernels or half kernels, and those in quadrature, scaled by the gain of the filterbank."""
        kernels, quadrature = self.halves() if self._is_even else (self.kernels(), None)
        if self.gain == "raw":
            return kernels, quadrature
        phase = self._phase(self.center_frequencies)
        real = (kernels * phase.cos()).sum(-1, keepdim=True)
        if not self._is_even:
            return kernels / torch.hypot(real, (kernels * phase.sin()).sum(-1, keepdim=True)), None
        real = 2 * real - kernels[:, :1]  # all taps but the middle one occur twice
        if quadrature is None:
            return kernels / real, None
        gain = torch.hypot(real, 2 * (quadrature * phase.sin()).sum(-1, keepdim=True))
        return kernels / gain, quadrature / gain


def mirrored(half: Tensor, *, odd: bool = False) -> Tensor:
    """Return whole kernels, made from their middle tap and those after it."""
    before = half[:, 1:].flip(-1)
    return torch.cat([-before if odd else before, half], dim=-1)
