"""The contract of a front-end, and the two bases that families of filters build on."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from learnable_frontends.compression import Log
from learnable_frontends.functional import (
    RAMP_SHARE,
    band_energies,
    conv_energies,
    even_kernel_response,
    frame,
    kernel_response,
    next_fast_length,
    power_spectrum,
    without_autocast,
)
from learnable_frontends.scales import spaced_centers

__all__ = ["EvenKernelFilterbank", "Filterbank", "Frontend", "KernelFilterbank"]

PAD_MODES = ("constant", "reflect", "replicate", "circular")


class Frontend(nn.Module, ABC):
    """A module from a waveform ``(..., time)`` to features ``(..., n_filters, frames)``.

    Subclasses say their energies, responses and center frequencies; users call them all alike. Parameters whose name
    starts with ``raw_`` are the free parameters of filters; the properties give what they mean, in Hz.
    """

    sample_rate: float
    n_filters: int
    n_fft: int

    @property
    @abstractmethod
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""

    @abstractmethod
    def power_response(self, n_fft: int) -> Tensor:
        """Power gain of each filter at the bins of an ``n_fft``-point transform: ``(n_filters, n_fft // 2 + 1)``."""

    @abstractmethod
    def energies(self, waveform: Tensor) -> Tensor:
        """Energy of each filter in each frame, before compression: ``(..., time)`` to ``(..., n_filters, frames)``."""

    @abstractmethod
    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames for waveforms of ``lengths`` samples, an integer tensor of any shape."""

    @property
    def bandwidths(self) -> Tensor:
        """Equivalent noise bandwidth of each filter in Hz, shape ``(n_filters,)``.

        The width of the ideal band-pass filter with the same peak gain that lets the same power of white noise
        through. Measured on the response every family has, so the values of all families compare.
        """
        n_fft = 2 ** math.ceil(math.log2(max(self.sample_rate, self.n_fft)))  # bins of at most 1 Hz
        response = self.power_response(n_fft)
        bandwidths: Tensor = response.sum(-1) / response.amax(-1) * (self.sample_rate / n_fft)
        return bandwidths

    def param_groups(self, lr: float, frontend_lr: float) -> list[dict[str, Any]]:
        """Split the parameters for an optimiser: filters at ``frontend_lr`` without weight decay, the rest at ``lr``.

        Decay would pull every center to the middle of the band. Groups without parameters are left out, so a fixed
        front-end gives none.

        Args:
            lr: Learning rate of everything but the filters (relevance heads, say).
            frontend_lr: Learning rate of the filters' ``raw_*`` parameters. They are unit-free logits: a step of 0.01
                moves a center at the share ``p`` of the band by ``1 - p`` percent of its frequency.

        Returns:
            Parameter groups, to be joined with those of the classifier.

        Example:
            >>> from learnable_frontends import CosGaussFilterbank
            >>> groups = CosGaussFilterbank(16000, 40).param_groups(lr=1e-3, frontend_lr=1e-2)
            >>> [(group["name"], group["lr"]) for group in groups]
            [('filters', 0.01)]
        """
        groups: dict[str, list[nn.Parameter]] = {"filters": [], "frontend": []}
        for name, parameter in self.named_parameters():
            groups["filters" if name.rpartition(".")[2].startswith("raw_") else "frontend"].append(parameter)
        settings: dict[str, dict[str, Any]] = {
            "filters": {"lr": frontend_lr, "weight_decay": 0.0},
            "frontend": {"lr": lr},
        }
        return [{"params": groups[name], "name": name, **settings[name]} for name in groups if groups[name]]


class Filterbank(Frontend):
    """What all filterbanks share: framing, checks, types, compression. See `CosGaussFilterbank` for the arguments."""

    window: Tensor

    def __init__(
        self,
        sample_rate: float,
        n_filters: int,
        *,
        win_length: int | None,
        hop_length: int | None,
        f_min: float,
        f_max: float | None,
        center: bool,
        pad_mode: str,
        window: Callable[[int], Tensor],
        compression: nn.Module | None,
    ) -> None:
        super().__init__()
        if not sample_rate > 0:
            raise ValueError(f"sample_rate must be positive, got {sample_rate} (in Hz)")
        self.sample_rate = sample_rate
        self.n_filters = _positive("n_filters", n_filters)
        self.win_length = _positive("win_length", round(0.025 * sample_rate) if win_length is None else win_length)
        self.hop_length = _positive("hop_length", round(0.01 * sample_rate) if hop_length is None else hop_length)
        f_max = sample_rate / 2 if f_max is None else f_max
        if not 0 <= f_min < f_max <= sample_rate / 2:
            raise ValueError(
                "f_min and f_max must satisfy 0 <= f_min < f_max <= sample_rate / 2, "
                f"got f_min={f_min}, f_max={f_max}, sample_rate={sample_rate} (all in Hz)"
            )
        self.f_min, self.f_max = float(f_min), float(f_max)
        self.center = bool(center)
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode must be one of {PAD_MODES}, got {pad_mode!r}")
        self.pad_mode = pad_mode
        if compression is not None and not isinstance(compression, nn.Module):
            raise TypeError(
                f"compression must be a module such as Log(1e-3), got {compression!r} (torch.nn.Identity() for none)"
            )
        taps = window(self.win_length)
        if taps.shape != (self.win_length,):
            raise ValueError(
                f"window must return {self.win_length} samples for win_length={self.win_length}, "
                f"got shape {tuple(taps.shape)} (pass a function such as torch.hann_window)"
            )
        self.register_buffer("window", taps.to(torch.get_default_dtype()), persistent=False)
        self.compression = Log() if compression is None else compression

    @property
    def frame_length(self) -> int:
        """Samples that one frame is cut with; ``window`` is as long, zero where it is longer than ``win_length``."""
        return self.window.shape[-1]

    @property
    def frame_padding(self) -> tuple[int, int]:
        """Samples added before and after a waveform: frame ``t`` is centered on sample ``t * hop_length``."""
        half = self.win_length // 2
        return (half, self.win_length - half) if self.center else (0, 0)

    @property
    def frame_tail(self) -> int:
        """Zeros added after that, since the last frame is cut longer than its window."""
        return 0

    @abstractmethod
    def frame_energies(self, frames: Tensor) -> Tensor:
        """Energies of frames not yet windowed: ``(batch, frames, frame_length)`` to ``(batch, n_filters, frames)``."""

    def energies(self, waveform: Tensor) -> Tensor:
        """Energy of each filter in each frame, before compression.

        Args:
            waveform: Shape ``(..., time)``, floating point.

        Returns:
            Shape ``(..., n_filters, frames)``, not negative; float32 for float16 and bfloat16 waveforms, whose range
            energies would leave.

        Raises:
            TypeError: If ``waveform`` is not floating point.
            ValueError: If it has no time axis or too few samples.
        """
        self._check(waveform)
        lead, time = waveform.shape[:-1], waveform.shape[-1]
        dtype = torch.promote_types(waveform.dtype, torch.float32)
        with without_autocast(waveform.device.type):
            frames = frame(
                waveform.reshape(math.prod(lead), time).to(dtype),
                self.frame_length,
                self.hop_length,
                padding=self.frame_padding,
                pad_mode=self.pad_mode,
                tail=self.frame_tail,
            )
            energies = self.frame_energies(frames)
        return energies.reshape(*lead, self.n_filters, energies.shape[-1])

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute features: ``(..., time)`` to ``(..., n_filters, frames)``, of the waveform's own type."""
        features: Tensor = self.compression(self.energies(waveform))
        return features.to(waveform.dtype)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames for waveforms of ``lengths`` samples.

        Args:
            lengths: Samples per waveform, an integer tensor of any shape.

        Returns:
            Frames per waveform, shaped like ``lengths``.

        Example:
            >>> from learnable_frontends import CosGaussFilterbank
            >>> CosGaussFilterbank(16000).output_lengths(torch.tensor([16000, 8000]))
            tensor([101,  51])
        """
        return 1 + (lengths + sum(self.frame_padding) + self.frame_tail - self.frame_length) // self.hop_length

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        names = ("sample_rate", "n_filters", "win_length", "hop_length", "f_min", "f_max", "center", "pad_mode")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def _check(self, waveform: Tensor) -> None:
        if not waveform.is_floating_point():
            raise TypeError(
                f"waveform must be a floating-point tensor, got {waveform.dtype} (16-bit samples: divide by 32768.0)"
            )
        if waveform.dim() == 0:
            raise ValueError("waveform must have a time axis, got a tensor without axes (shape (..., time))")
        time = waveform.shape[-1]
        if not self.center:
            needed, hint = self.frame_length - self.frame_tail, "center=True pads"
        elif self.pad_mode == "reflect":
            needed, hint = max(self.frame_padding) + 1, "pad_mode='constant' takes any length"
        elif self.pad_mode == "circular":
            needed, hint = max(self.frame_padding), "pad_mode='constant' takes any length"
        else:
            needed, hint = 1, "an empty clip has no features"
        if time < needed:
            raise ValueError(
                f"waveform must have at least {needed} samples with center={self.center}, "
                f"pad_mode={self.pad_mode!r}, got {time} ({hint})"
            )


class KernelFilterbank(Filterbank):
    r"""A bank of FIR filters: a family says its `center_frequencies` and `kernels`, this class the rest.

    The energy of filter :math:`i` in a frame is the mean square of the windowed frame convolved with the filter. For
    the full convolution Parseval's theorem gives it from one FFT a frame and one matrix product, whatever the number
    of taps (``padding="full"``); ``padding="valid"`` keeps only the outputs that see the whole kernel, as published,
    and must be convolved.
    """

    bin_weights: Tensor

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
        self.kernel_size = kernel_size = _positive("kernel_size", kernel_size)
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
        outputs = self.win_length + kernel_size - 1
        self.n_fft = next_fast_length(outputs)
        # Parseval: mean over the outputs = 1 / (outputs n_fft) * sum over all n_fft bins; a one-sided bin counts twice
        # but for DC and Nyquist (n_fft is even).
        weights = torch.full((self.n_fft // 2 + 1,), 2.0 / (outputs * self.n_fft), dtype=torch.float64)
        weights[[0, -1]] *= 0.5
        self._constant("bin_weights", weights)
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
        window = self.window.to(frames.dtype)
        if self.padding == "valid":
            return conv_energies(frames * window, self._scaled_kernels().to(frames.dtype), "valid")
        response = self.power_response(self.n_fft) * self.bin_weights
        return band_energies(power_spectrum(frames, self.n_fft, window), response.to(frames.dtype))

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        return f"{super().extra_repr()}, kernel_size={self.kernel_size}, padding={self.padding!r}, gain={self.gain!r}"

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

    angles: Tensor

    def __init__(self, sample_rate: float, n_filters: int, **shared: Any) -> None:
        super().__init__(sample_rate, n_filters, **shared)
        taps = torch.arange(self.kernel_size // 2 + 1, dtype=torch.float64)
        self._constant("angles", 2 * math.pi / self.sample_rate * taps)  # radians per Hz

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
        response = 2 * (half * torch.cos(self.center_frequencies[:, None] * self.angles)).sum(-1, keepdim=True)
        return half / (response - half[:, :1])


def _mirror(half: Tensor) -> Tensor:
    return torch.cat([half[:, 1:].flip(-1), half], dim=-1)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)
