"""How waveforms are cut into frames: lengths, positions, padding, and the checks of waveforms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from learnable_frontends._checks import floating_tensor
from learnable_frontends._constants import exact_construction
from learnable_frontends._stages import within
from learnable_frontends.functional import frame, pad_each

__all__ = ["Framing", "spoil_misfits", "window_samples", "zero_after"]

PAD_MODES = ("constant", "reflect", "replicate", "circular")
# A last axis that is this short, after an axis that is so many times longer, is taken for channels: (time, channels).
MOST_CHANNELS, TIMES_LONGER = 32, 100


@dataclass(frozen=True, eq=False)
class Framing:
    """Frames of ``frame_length`` samples, one every ``hop_length`` samples; a window covers ``win_length`` of each.

    Attributes:
        win_length: Number of samples that the window covers.
        hop_length: Number of samples from frame to frame.
        frame_length: Number of samples of a frame, at least ``win_length``. It is the length of the transform, so that
            frames need not be padded, which would copy each of them.
        window_start: First sample of a frame that the window covers.
        padding: Number of samples that are added before and after a waveform.
        center: Whether the padding is such that frame ``t`` is centered on sample ``t * hop_length``.
        pad_mode: How the added samples are made.
        tail: Number of zeros that are added after the padding, since the last frame extends beyond its window.
        drop_last: Whether the last frame is left out.
    """

    win_length: int
    hop_length: int
    frame_length: int
    window_start: int
    padding: tuple[int, int]
    center: bool
    pad_mode: str
    tail: int
    drop_last: bool

    @property
    def span(self) -> int:
        """Number of samples of the waveform that a frame depends on."""
        return self.frame_length - self.tail

    @property
    def window(self) -> slice:
        """Samples of a frame that the window covers."""
        return slice(self.window_start, self.window_start + self.win_length)

    def cut(self, waveform: Tensor, padding: tuple[int, int], *, inside: slice | None = None) -> Tensor:
        """Cut ``(batch, time)`` into frames ``(batch, frames, frame_length)``, or into the samples ``inside`` them."""
        frames = frame(
            waveform,
            self.frame_length,
            self.hop_length,
            padding=padding,
            pad_mode=self.pad_mode,
            tail=self.tail,
            inside=inside,
        )
        return frames[:, :-1] if self.drop_last else frames

    def advance(self, chunk: Tensor, held: Tensor, skipped: int) -> tuple[Tensor, Tensor, int]:
        """Return the samples of the frames that the next chunk of a stream completes, and what later frames need.

        Args:
            chunk: The next samples, ``(..., samples)``.
            held: Earlier samples that frames still need.
            skipped: Number of samples to skip before the next frame begins, if hops are longer than frames.

        Returns:
            Samples of the frames that are complete, possibly none; and ``held`` and ``skipped`` for the next chunk.
        """
        unused = min(skipped, chunk.shape[-1])
        samples = torch.cat([held, chunk[..., unused:]], dim=-1)
        time = samples.shape[-1]
        frames = max(0, 1 + (time - self.span) // self.hop_length)
        done = frames * self.hop_length
        ready = samples[..., : done - self.hop_length + self.span] if frames else samples[..., :0]
        # A clone, since a view would keep all of a long chunk in memory.
        return ready, samples[..., done:].clone(), skipped - unused + max(0, done - time)

    def pad_each(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Pad each clip of ``(..., time)`` at its own end; see `spoil_misfits` for lengths that do not fit."""
        padded = pad_each(waveform, lengths, self.padding, self.pad_mode)
        return spoil_misfits(padded, lengths, self.least, waveform.shape[-1])

    @property
    def first_frame_center(self) -> float:
        """Position of the middle of the first frame in the waveform, in samples."""
        return 0.0 if self.center else 0.5 * self.span - self.padding[0]

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of frames for waveforms of ``lengths`` samples, an integer tensor of any shape."""
        frames = (lengths + sum(self.padding) - self.span) // self.hop_length
        return (frames if self.drop_last else 1 + frames).clamp_min(0)

    def check_waveform(self, waveform: Tensor) -> None:
        """Raise an error unless a waveform is floating point, of shape ``(..., time)``."""
        if isinstance(waveform, Tensor) and not waveform.is_floating_point():
            raise TypeError(
                f"waveform must be a floating-point tensor, got {waveform.dtype} (16-bit samples: divide by 32768.0)"
            )
        floating_tensor("waveform", waveform)
        if waveform.dim() == 0:
            raise ValueError("waveform must have a time axis, got a tensor without axes (shape (..., time))")
        if waveform.dim() > 1 and not torch.compiler.is_compiling():
            before, last = waveform.shape[-2:]
            if 0 < last <= MOST_CHANNELS and before > TIMES_LONGER * last:
                raise ValueError(
                    f"waveform must be (..., time), got shape {tuple(waveform.shape)}, {last} samples behind an axis "
                    f"of {before} (transpose (time, channels): waveform.mT)"
                )

    def check_lengths(self, lengths: Tensor, waveform: Tensor) -> None:
        """Raise an error unless lengths are whole numbers that fit a waveform; values are checked on a CPU only."""
        if not isinstance(lengths, Tensor) or lengths.is_floating_point() or lengths.dtype == torch.bool:
            got = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
            raise TypeError(f"lengths must be an integer tensor, got {got} (samples of each clip)")
        if lengths.shape != waveform.shape[:-1]:
            raise ValueError(
                f"lengths must have the leading axes of waveform, {tuple(waveform.shape[:-1])}, got "
                f"{tuple(lengths.shape)}"
            )
        if _can_be_read(lengths) and (longest := int(lengths.max())) > waveform.shape[-1]:
            raise ValueError(f"lengths must be at most the {waveform.shape[-1]} samples of waveform, got {longest}")

    def check_samples(self, waveform: Tensor, lengths: Tensor | None) -> None:
        """Raise an error unless each clip has enough samples for a frame and its padding."""
        if lengths is None:
            self._check_samples("waveform", "have", waveform.shape[-1])
        elif _can_be_read(lengths):
            self._check_samples("lengths", "be", int(lengths.min()))

    @property
    def least(self) -> int:
        """Number of samples that a clip must have for a frame and its padding."""
        needed, around = max(1, self.span - sum(self.padding)), max(self.padding)
        mirrored = around and self.pad_mode in ("reflect", "circular")
        return max(needed, around + (self.pad_mode == "reflect")) if mirrored else needed

    def _check_samples(self, name: str, verb: str, time: int) -> None:
        if time < self.least:
            hint = "an empty clip has no features"
            if not max(self.padding):
                hint = "center=True pads"
            elif self.pad_mode in ("reflect", "circular"):
                hint = "pad_mode='constant' takes any length"
            raise ValueError(
                f"{name} must {verb} at least {self.least} samples with center={self.center}, "
                f"pad_mode={self.pad_mode!r}, got {time} ({hint})"
            )


def spoil_misfits(waveform: Tensor, lengths: Tensor, least: int, most: int) -> Tensor:
    """Make clips NaN whose lengths no error could refuse, since their values are on a device or in a traced graph.

    Args:
        waveform: Shape ``(..., time)``.
        lengths: Number of samples of each clip, shape ``(...)``.
        least: The smallest length that is allowed.
        most: The largest one.
    """
    if _can_be_read(lengths):
        return waveform
    given = lengths.to(waveform.device)
    fits = (given >= least) & (given <= most)
    return waveform.masked_fill(~fits[..., None], math.nan)


def _can_be_read(lengths: Tensor) -> bool:
    """Whether values can be looked at: those on a device would have to be waited for, and those of a trace are none."""
    return lengths.device.type == "cpu" and not torch.compiler.is_compiling() and bool(lengths.numel())


def window_samples(window: Callable[[int], Tensor], win_length: int) -> Tensor:
    """Return the samples of a frame window in float64 on the CPU, whatever the default type and device are."""
    if not callable(window):
        raise TypeError(f"window must be a function of a length in samples, got {window!r} (such as torch.hann_window)")
    with exact_construction():
        samples = window(win_length)
    if not isinstance(samples, Tensor) or samples.shape != (win_length,):
        got = f"shape {tuple(samples.shape)}" if isinstance(samples, Tensor) else repr(samples)
        raise ValueError(
            f"window must return {win_length} samples for win_length={win_length}, got {got} "
            "(pass a function such as torch.hann_window)"
        )
    if samples.is_meta:
        raise ValueError("window must return samples with values, got a meta tensor (build the front-end outside)")
    return samples.detach().cpu()


def zero_after(values: Tensor, counts: Tensor) -> Tensor:
    """Set the frames of ``(..., n_filters, frames)`` after the first ``counts`` of each clip to zero."""
    return values.masked_fill(~within(counts, values)[..., None, :], 0.0)
