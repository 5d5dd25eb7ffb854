"""The contract of a front-end, and what all filterbanks share: framing, checks, types, compression."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor, nn

from learnable_frontends.compression import Log
from learnable_frontends.functional import (
    at_least_float32,
    dft_bases,
    frame,
    pad_each,
    power_spectrum,
    power_spectrum_by_matmul,
    whole_number,
    without_autocast,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Filterbank", "Frontend"]

INITIAL = "initial_"  # before the name of a parameter of filters: the buffer with its first value
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
    def energies(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
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

    def as_initialized(self) -> Self:
        """Give a copy of this front-end with its filters as the constructor made them; everything else is as it is.

        Example:
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank = CosGaussFilterbank(16000, n_filters=2, init=[500.0, 1000.0])
            >>> _ = torch.nn.init.zeros_(bank.raw_center)
            >>> print([f"{center:.0f} Hz" for center in bank.as_initialized().center_frequencies])
            ['500 Hz', '1000 Hz']
        """
        start = copy.deepcopy(self)
        frozen = start.is_frozen
        with torch.no_grad():
            for module in start.modules():
                for name, initial in module.named_buffers(recurse=False):
                    if name.startswith(INITIAL):
                        getattr(module, name.removeprefix(INITIAL)).copy_(initial)
        return start._set_frozen(True) if frozen else start

    @property
    def is_frozen(self) -> bool:
        """Whether `freeze` was called last: filters do not learn, and their response is not computed anew."""
        return any(module.is_frozen for module in self.children() if isinstance(module, Frontend))

    def freeze(self) -> Self:
        """Fix the filters for deployment: their response is computed once, now, and kept.

        The output stays what it is. Parameters of filters no longer ask for gradients; those of compression and
        relevance heads are left as they are. What is kept is not in the state dict, so checkpoints of frozen and
        unfrozen modules are the same; loading one, moving the module or changing its type computes it anew. Parameters
        that are changed by hand have no effect before `unfreeze`.

        Returns:
            The module itself.

        Example:
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank = CosGaussFilterbank(16000, 40).freeze()
            >>> bank.is_frozen, bank(torch.randn(16000)).requires_grad
            (True, False)
        """
        return self._set_frozen(True)

    def unfreeze(self) -> Self:
        """Let all filters learn again, and compute their response in each call.

        Returns:
            The module itself.
        """
        return self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> Self:
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith("raw_"):
                parameter.requires_grad_(not frozen)
        for module in self.children():
            if isinstance(module, Frontend):
                module._set_frozen(frozen)
        return self

    def set_transform(self, transform: str) -> Self:
        """Choose how spectra of frames are computed: by an FFT, or by matrix products for runtimes without a good one.

        With the ONNX operator for transforms, in onnxruntime, a front-end is thirty to forty times slower than in
        torch, and exact to 5e-4 only. With two matrix products it takes twice as long as torch at 16 kHz, four to five
        times as long at 44.1 kHz, and agrees to 1e-5; in torch itself, two and seven times (docs/export.md). Nothing
        of it is in the state dict.

        Args:
            transform: ``"fft"`` or ``"matmul"``.

        Returns:
            The module itself.

        Raises:
            ValueError: If ``transform`` is neither, or filters convolve (``padding="valid"``).

        Example:
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank, waveform = CosGaussFilterbank(16000, 40), torch.randn(16000)
            >>> torch.allclose(bank(waveform), bank.set_transform("matmul")(waveform), atol=1e-4)
            True
        """
        if transform not in ("fft", "matmul"):
            raise ValueError(f"transform must be 'fft' or 'matmul', got {transform!r}")
        for module in self.children():
            if isinstance(module, Frontend):
                module.set_transform(transform)
        return self

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """Register a parameter, and keep the first value of one of the filters', outside of the state dict."""
        super().register_parameter(name, param)
        if param is not None and name.startswith("raw_") and not hasattr(self, INITIAL + name):
            self.register_buffer(INITIAL + name, param.detach().clone(), persistent=False)

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
    bases: Tensor

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
        if not 0 < sample_rate < math.inf:
            raise ValueError(f"sample_rate must be positive and finite, got {sample_rate} (in Hz)")
        self.sample_rate = sample_rate
        self.n_filters = whole_number("n_filters", n_filters)
        self.win_length = whole_number("win_length", round(0.025 * sample_rate) if win_length is None else win_length)
        self.hop_length = whole_number("hop_length", round(0.01 * sample_rate) if hop_length is None else hop_length)
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
        if not isinstance(taps, Tensor) or taps.shape != (self.win_length,):
            got = f"shape {tuple(taps.shape)}" if isinstance(taps, Tensor) else repr(taps)
            raise ValueError(
                f"window must return {self.win_length} samples for win_length={self.win_length}, got {got} "
                "(pass a function such as torch.hann_window)"
            )
        self.register_buffer("window", taps.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("bases", torch.empty(0), persistent=False)  # none: torch exports no buffers that are None
        self.compression = Log() if compression is None else compression

    @property
    def frame_length(self) -> int:
        """Samples that one frame is cut with; ``window`` is as long, zero where it is longer than ``win_length``."""
        return self.window.shape[-1]

    @property
    def window_start(self) -> int:
        """First of the ``win_length`` samples of a frame that the window lets through."""
        return 0

    @property
    def frame_padding(self) -> tuple[int, int]:
        """Samples added before and after a waveform: frame ``t`` is centered on sample ``t * hop_length``."""
        half = self.win_length // 2
        return (half, self.win_length - half) if self.center else (0, 0)

    @property
    def frame_tail(self) -> int:
        """Zeros added after that, since the last frame is cut longer than its window."""
        return 0

    def set_transform(self, transform: str) -> Self:
        """Choose how spectra of frames are computed, as `Frontend.set_transform`."""
        super().set_transform(transform)
        bases = dft_bases(self.win_length, self.n_fft) if transform == "matmul" else torch.empty(0)
        self.bases = bases.to(self.window)
        return self

    def power_spectrum(self, frames: Tensor) -> Tensor:
        """Power of frames not yet windowed: ``(..., frame_length)`` to ``(..., n_fft // 2 + 1)``."""
        window = self.window.to(frames.dtype)
        if not self.bases.numel():
            return power_spectrum(frames, self.n_fft, window)
        span = slice(self.window_start, self.window_start + self.win_length)
        return power_spectrum_by_matmul(frames[..., span] * window[span], self.bases.to(frames.dtype))

    @abstractmethod
    def frame_energies(self, frames: Tensor) -> Tensor:
        """Energies of frames not yet windowed: ``(batch, frames, frame_length)`` to ``(batch, n_filters, frames)``."""

    def energies(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Energy of each filter in each frame, before compression.

        Args:
            waveform: Shape ``(..., time)``, floating point.
            lengths: Samples of each clip, as in `forward`; ``None`` means all.

        Returns:
            Shape ``(..., n_filters, frames)``, not negative; float32 for float16 and bfloat16 waveforms, whose range
            energies would leave. Zero beyond the frames of a clip.

        Raises:
            TypeError: If ``waveform`` is not floating point, or ``lengths`` not whole numbers.
            ValueError: If it has no time axis or too few samples, or ``lengths`` do not fit it.
        """
        self._check(waveform)
        if lengths is None:
            return self.padded_energies(waveform, self.frame_padding)
        self._check_lengths(lengths, waveform)
        each = lengths.to(waveform.device)
        padded = pad_each(waveform, each, self.frame_padding, self.pad_mode)
        return _zero_after(self.padded_energies(padded, (0, 0)), self.output_lengths(each))

    def padded_energies(self, waveform: Tensor, padding: tuple[int, int]) -> Tensor:
        """Energies of the frames of ``(..., time)`` with so many samples added at its ends, whatever ``center`` is.

        Args:
            waveform: Shape ``(..., time)``, floating point; nothing is checked.
            padding: Samples added, by ``pad_mode``.

        Returns:
            As `energies`.
        """
        lead, time = waveform.shape[:-1], waveform.shape[-1]
        with without_autocast(waveform.device.type):
            frames = frame(
                at_least_float32(waveform.reshape(math.prod(lead), time)),
                self.frame_length,
                self.hop_length,
                padding=padding,
                pad_mode=self.pad_mode,
                tail=self.frame_tail,
            )
            energies = self.frame_energies(frames)
        return energies.reshape(*lead, self.n_filters, energies.shape[-1])

    @overload
    def forward(self, waveform: Tensor, lengths: None = None) -> Tensor: ...

    @overload
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]: ...

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Compute features: ``(..., time)`` to ``(..., n_filters, frames)``, of the waveform's own type.

        Args:
            waveform: Shape ``(..., time)``, floating point.
            lengths: Samples of each clip in a batch padded to the longest, integers shaped like the leading axes. Each
                clip then has the features that it has alone: it is padded at its own end. Those on a CPU are checked.

        Returns:
            Features; with ``lengths`` also the frames of each clip, shaped like ``lengths``. Features beyond them are
            zero.

        Example:
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank, clips = CosGaussFilterbank(16000, 40), torch.randn(2, 16000)
            >>> features, frames = bank(clips, torch.tensor([16000, 8000]))
            >>> features.shape, frames
            (torch.Size([2, 40, 101]), tensor([101,  51]))
            >>> torch.allclose(features[1, :, :51], bank(clips[1, :8000]), atol=1e-5)
            True
        """
        features: Tensor = self.compression(self.energies(waveform, lengths)).to(waveform.dtype)
        if lengths is None:
            return features
        counts = self.output_lengths(lengths)
        return _zero_after(features, counts.to(features.device)), counts

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
        if not isinstance(waveform, Tensor):
            raise TypeError(f"waveform must be a tensor, got {type(waveform).__name__} (torch.as_tensor makes one)")
        if not waveform.is_floating_point():
            raise TypeError(
                f"waveform must be a floating-point tensor, got {waveform.dtype} (16-bit samples: divide by 32768.0)"
            )
        if waveform.dim() == 0:
            raise ValueError("waveform must have a time axis, got a tensor without axes (shape (..., time))")
        self._check_samples("waveform", "have", waveform.shape[-1])

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # In the accuracy of the new type, not of the old one.
        return self.set_transform("matmul") if self.bases.numel() else self

    def _check_samples(self, name: str, verb: str, time: int) -> None:
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
                f"{name} must {verb} at least {needed} samples with center={self.center}, "
                f"pad_mode={self.pad_mode!r}, got {time} ({hint})"
            )

    def _check_lengths(self, lengths: Tensor, waveform: Tensor) -> None:
        if not isinstance(lengths, Tensor) or lengths.is_floating_point() or lengths.dtype == torch.bool:
            got = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
            raise TypeError(f"lengths must be an integer tensor, got {got} (samples of each clip)")
        if lengths.shape != waveform.shape[:-1]:
            raise ValueError(
                f"lengths must have the leading axes of waveform, {tuple(waveform.shape[:-1])}, got "
                f"{tuple(lengths.shape)}"
            )
        if lengths.device.type != "cpu" or torch.compiler.is_compiling() or not lengths.numel():
            return  # looking at them would wait for the device
        shortest, longest = (int(value) for value in lengths.aminmax())
        if longest > waveform.shape[-1]:
            raise ValueError(f"lengths must be at most the {waveform.shape[-1]} samples of waveform, got {longest}")
        self._check_samples("lengths", "be", shortest)


def _zero_after(values: Tensor, counts: Tensor) -> Tensor:
    """Fill the frames of ``(..., n_filters, frames)`` after the first ``counts`` with zeros."""
    beyond = torch.arange(values.shape[-1], device=values.device) >= counts[..., None]
    return values.masked_fill(beyond[..., None, :], 0.0)
