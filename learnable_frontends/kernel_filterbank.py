"""Filterbanks of FIR filters: energies from their kernels, by Parseval's theorem or in the time domain."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from learnable_frontends.frontend import Filterbank
from learnable_frontends.functional import (
    RAMP_SHARE,
    band_energies,
    conv_energies,
    even_kernel_response,
    kernel_response,
    next_fast_length,
    over_blocks,
    whole_number,
)
from learnable_frontends.scales import spaced_centers

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EvenKernelFilterbank", "KernelFilterbank"]


class KernelFilterbank(Filterbank):
    r"""A bank of FIR filters: a family says its `center_frequencies` and `kernels`, this class the rest.

    The energy of filter :math:`i` in a frame is the mean square of the windowed frame convolved with the filter. For
    the full convolution Parseval's theorem gives it from one FFT a frame and one matrix product, whatever the number
    of taps (``padding="full"``); ``padding="valid"`` keeps only the outputs that see the whole kernel, as published,
    and must be convolved.
    """

    bin_weights: Tensor
    frozen_weights: Tensor

    def __init__(
        self,
        sample_rate: float,
        n_filters: int,
        *,
        kernel_size: int | None,
        padding: str,
        gain: str,
        **shared: Any,
    ) -> None:
        super().__init__(sample_rate, n_filters, **shared)
        kernel_size = 2 * int(0.008 * sample_rate) + 1 if kernel_size is None else kernel_size
        self.kernel_size = kernel_size = whole_number("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size} (try {kernel_size + 1})")
        if padding not in ("full", "valid"):
            raise ValueError(f"padding must be 'full' or 'valid', got {padding!r}")
        if padding == "valid" and kernel_size > self.win_length:
            raise ValueError(
                f"kernel_size must be at most win_length={self.win_length} with padding='valid', got {kernel_size} "
                "(no output would see the whole kernel; use padding='full')"
            )
        self.padding = padding
        if gain not in ("raw", "peak"):
            raise ValueError(f"gain must be 'raw' or 'peak', got {gain!r}")
        self.gain = gain
        step = RAMP_SHARE * (self.f_max - self.f_min) / (self.n_filters + 1)
        if step < 4 * self.f_max * torch.finfo(torch.float32).eps:
            raise ValueError(
                f"f_min and f_max must be further apart for {self.n_filters} filters to differ in float32, "
                f"got f_min={self.f_min}, f_max={self.f_max} (all in Hz)"
            )
        self.n_fft = next_fast_length(self.win_length + kernel_size - 1)
        # A one-sided bin counts twice but for DC and Nyquist (n_fft is even).
        weights = torch.full((self.n_fft // 2 + 1,), 2.0)
        weights[[0, -1]] = 1.0
        self._constant("bin_weights", weights)
        self.register_buffer("frozen_weights", torch.empty(0), persistent=False)  # none
        if padding == "full":
            self.window = nn.functional.pad(self.window, (0, self.n_fft - self.win_length))

    @abstractmethod
    def kernels(self) -> Tensor:
        """Impulse responses, shape ``(n_filters, kernel_size)``, in the order of `center_frequencies`."""

    def power_response(self, n_fft: int) -> Tensor:
        """Power gain of each filter at the bins of a transform.

        Args:
            n_fft: Even transform length in samples, at least ``kernel_size``.

        Returns:
            Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``, bin ``k`` at ``k * sample_rate /
            n_fft`` Hz. With ``gain="peak"`` it is one at each center frequency.

        Raises:
            ValueError: If ``n_fft`` is smaller than ``kernel_size``.
        """
        return kernel_response(self._scaled_kernels(), n_fft)

    @property
    def frame_tail(self) -> int:
        """Zeros added after the padding: frames are cut at the transform's length and windowed to ``win_length``."""
        return self.frame_length - self.win_length

    def frame_energies(self, frames: Tensor) -> Tensor:
        """Energies of frames not yet windowed: ``(batch, frames, frame_length)`` to ``(batch, n_filters, frames)``."""
        weights = (self.frozen_weights if self.is_frozen else self._weights()).to(frames.dtype)
        if self.padding == "valid":
            return conv_energies(frames * self.window.to(frames.dtype), weights, "valid")
        return over_blocks(lambda part: band_energies(self.power_spectrum(part), weights), frames)

    def set_transform(self, transform: str) -> Self:
        """Choose how spectra of frames are computed, as `Frontend.set_transform`."""
        if self.padding == "valid":
            raise ValueError(f"transform must be left alone with padding='valid', which convolves, got {transform!r}")
        return super().set_transform(transform)

    @property
    def is_frozen(self) -> bool:
        """Whether `freeze` was called last: filters do not learn, and their response is not computed anew."""
        return self.frozen_weights.numel() > 0

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        shown = f"{super().extra_repr()}, kernel_size={self.kernel_size}, padding={self.padding!r}, gain={self.gain!r}"
        return f"{shown}, frozen=True" if self.is_frozen else shown

    def _weights(self) -> Tensor:
        """What frames meet: kernels, or weights of the bins of their power spectra."""
        if self.padding == "valid":
            return self._scaled_kernels()
        response = self.power_response(self.n_fft)
        # Parseval: the mean over the outputs of the full convolution is 1 / (outputs n_fft) times the sum of the bins.
        outputs = self.win_length + self.kernel_size - 1
        return response * (self.bin_weights.to(response.dtype) / (outputs * self.n_fft))

    def _set_frozen(self, frozen: bool) -> Self:
        super()._set_frozen(frozen)
        with torch.no_grad():
            self.frozen_weights = self._weights() if frozen else self.bin_weights[:0]
        return self

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        return self._set_frozen(True) if self.is_frozen else self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.is_frozen:
            self._set_frozen(True)

    def _scaled_kernels(self) -> Tensor:
        kernels = self.kernels()
        if self.gain == "raw":
            return kernels
        taps = torch.arange(self.kernel_size, dtype=kernels.dtype, device=kernels.device)
        phase = (2 * math.pi / self.sample_rate) * self.center_frequencies[:, None] * taps
        return kernels / torch.hypot((kernels * phase.cos()).sum(-1), (kernels * phase.sin()).sum(-1))[:, None]

    def _in_hz(self, positions: Tensor) -> Tensor:
        return self.f_min + (self.f_max - self.f_min) * positions

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.to(torch.get_default_dtype()), persistent=False)

    def _spaced_centers(self, init: str | Sequence[float] | Tensor) -> Tensor:
        points = spaced_centers(init, self.n_filters, self.f_min, self.f_max)
        # The ramp of `functional.ordered` would push closer ones apart in silence, or leave no room for their edges.
        gap = 1.5 * RAMP_SHARE * (self.f_max - self.f_min) / (self.n_filters + 1)
        if not bool((points.diff() > gap).all()):
            raise ValueError(
                f"init must keep centers more than {gap:.3g} Hz from each other and from f_min and f_max, "
                f"got {points[1:-1].tolist()} (all in Hz)"
            )
        return points

    def _free(self, raw: Tensor) -> nn.Parameter:
        return nn.Parameter(raw.to(torch.get_default_dtype()))


class EvenKernelFilterbank(KernelFilterbank):
    """A bank of FIR filters that are even about their middle tap: a family says half of each kernel."""

    taps: Tensor

    def __init__(self, sample_rate: float, n_filters: int, **shared: Any) -> None:
        super().__init__(sample_rate, n_filters, **shared)
        self.register_buffer("taps", torch.arange(self.kernel_size // 2 + 1), persistent=False)

    @abstractmethod
    def half_kernels(self) -> Tensor:
        """Middle tap of each kernel and those after it, shape ``(n_filters, (kernel_size + 1) // 2)``."""

    def kernels(self) -> Tensor:
        """Impulse responses, shape ``(n_filters, kernel_size)``: even, one at the middle tap, centers ascending."""
        return _mirror(self.half_kernels())

    def power_response(self, n_fft: int) -> Tensor:
        """Power gain of each filter at the bins of a transform, as `KernelFilterbank.power_response`."""
        return even_kernel_response(self._scaled_half_kernels(), n_fft)

    def _scaled_kernels(self) -> Tensor:
        return _mirror(self._scaled_half_kernels())

    def _scaled_half_kernels(self) -> Tensor:
        half = self.half_kernels()
        if self.gain == "raw":
            return half
        response = 2 * (half * self._phase(self.center_frequencies).cos()).sum(-1, keepdim=True)
        return half / (response - half[:, :1])

    def _phase(self, frequencies: Tensor) -> Tensor:
        """Radians at each tap from the middle on: ``(..., n_filters)`` in Hz to ``(..., n_filters, taps)``."""
        return frequencies[..., None] * (self.taps.to(frequencies.dtype) * (2 * math.pi / self.sample_rate))


def _mirror(half: Tensor) -> Tensor:
    return torch.cat([half[:, 1:].flip(-1), half], dim=-1)
