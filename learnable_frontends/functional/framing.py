"""Frames of waveforms: cutting, padding, and processing in blocks."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["frame", "over_blocks", "pad_each"]

# Samples of frames that a CPU thread transforms at a time, 3 MiB in float32, so that spectra stay in the cache. Larger
# blocks take as long and more memory; smaller ones cost more calls and wakings of threads (docs/evidence/speed.md).
BLOCK = 3 * 2**18


def frame(
    waveform: Tensor,
    frame_length: int,
    hop_length: int,
    *,
    padding: tuple[int, int] = (0, 0),
    pad_mode: str = "reflect",
    tail: int = 0,
    inside: slice | None = None,
) -> Tensor:
    """Cut a waveform into overlapping frames.

    Args:
        waveform: Samples, shape ``(batch, time)``.
        frame_length: Number of samples per frame.
        hop_length: Number of samples from the start of one frame to the next.
        padding: Number of samples that are added before and after the waveform.
        pad_mode: How they are made: a mode of `torch.nn.functional.pad`.
        tail: Number of zeros that are added after the padding, for frames that extend beyond their window.
        inside: Samples of each frame that are returned; ``None`` means all ``frame_length``.

    Returns:
        Frames, shape ``(batch, frames, frame_length)``, with ``frames = 1 + (time + sum(padding) + tail -
        frame_length) // hop_length``. They are a view, except in a program for ONNX, which has no views.

    Example:
        >>> frame(torch.arange(6.0)[None], 4, 2)
        tensor([[[0., 1., 2., 3.],
                 [2., 3., 4., 5.]]])
    """
    before, after = padding
    if pad_mode == "reflect" and before and after:
        # Two flips are faster than F.pad(mode="reflect").
        head, end = waveform[:, 1 : before + 1].flip(-1), waveform[:, -after - 1 : -1].flip(-1)
        waveform = torch.cat([head, waveform, end, waveform.new_zeros(waveform.shape[0], tail)], dim=-1)
    else:
        if before or after:
            waveform = F.pad(waveform, padding, mode=pad_mode)
        if tail:
            waveform = F.pad(waveform, (0, tail))
    if inside is not None:
        waveform = waveform[:, inside.start : waveform.shape[1] - (frame_length - inside.stop)]
        frame_length = inside.stop - inside.start
    if torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export():
        return _frames_of_rows(waveform, frame_length, hop_length)
    return waveform.unfold(-1, frame_length, hop_length)


def _frames_of_rows(waveform: Tensor, frame_length: int, hop_length: int) -> Tensor:
    """Cut frames by gathering rows of one hop each.

    In ONNX a view becomes a gathering of single numbers, which takes longer than everything else.
    """
    rows = -(-frame_length // hop_length)
    frames = 1 + (waveform.shape[-1] - frame_length) // hop_length
    # One row more than needed, so that samples are always added: a slice would fix their number in the program.
    padded = F.pad(waveform, (0, (frames + rows) * hop_length - waveform.shape[-1]))
    of_hops = padded.unflatten(-1, (-1, hop_length))
    place = torch.arange(frames, device=waveform.device)[:, None] + torch.arange(rows, device=waveform.device)
    gathered = of_hops.index_select(1, place.flatten()).flatten(1).unflatten(-1, (-1, rows * hop_length))
    cut: Tensor = gathered[..., :frame_length]
    return cut


def pad_each(waveform: Tensor, lengths: Tensor, padding: tuple[int, int], pad_mode: str) -> Tensor:
    """Pad each clip of a batch at its own end, as if it were alone.

    Args:
        waveform: Shape ``(..., time)``; samples beyond the length of a clip are not read.
        lengths: Number of samples of each clip, shape ``(...)``, at most ``time`` and enough for the mode.
        padding: Number of samples that are added before and after each clip.
        pad_mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Returns:
        Padded clips, each followed by zeros, shape ``(..., time + sum(padding))``.

    Example:
        >>> waveform = torch.tensor([[1.0, 2.0, 3.0, 9.0]])
        >>> pad_each(waveform, torch.tensor([3]), (1, 1), "reflect")
        tensor([[2., 1., 2., 3., 2., 0.]])
    """
    (before, after), time = padding, waveform.shape[-1]
    place = torch.arange(-before, time + after, device=waveform.device)
    length = lengths.to(waveform.device)[..., None]
    kept = place < length + after
    if pad_mode == "reflect":
        source = torch.where(place.abs() < length, place.abs(), 2 * (length - 1) - place)
    elif pad_mode == "circular":
        source = place.remainder(length.clamp_min(1))
    else:
        source = torch.minimum(place.clamp_min(0), length - 1)
        if pad_mode == "constant":
            kept = (place >= 0) & (place < length)
    samples = waveform.gather(-1, source.clamp(0, time - 1))
    return samples.masked_fill(~kept, 0.0)


def over_blocks(function: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Apply a function of frames to one block of frames at a time, so that not all spectra are in memory at once.

    This is done on a CPU only. On other devices, and in `torch.compile` and `torch.export`, there is one block.

    Args:
        function: Function from ``(batch, frames, samples)`` to ``(batch, n_filters, frames)`` that works frame by
            frame.
        frames: Shape ``(batch, frames, samples)``.

    Returns:
        The same as ``function(frames)``.

    Example:
        >>> over_blocks(lambda frames: frames.transpose(1, 2), torch.zeros(2, 5, 3)).shape
        torch.Size([2, 3, 5])
    """
    if torch.compiler.is_compiling() or frames.device.type != "cpu":
        return function(frames)
    blocks = -(-frames.numel() // (BLOCK * torch.get_num_threads()))
    if blocks <= 1:
        return function(frames)
    return torch.cat([function(block) for block in frames.split(-(-frames.shape[1] // blocks), dim=1)], dim=-1)
