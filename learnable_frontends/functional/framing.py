"""Frames of waveforms: cut, padded, taken block by block."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["frame", "over_blocks", "pad_each"]

# Samples of frames that a CPU thread transforms at a time, 3 MiB of float32: spectra stay in the cache. More takes as
# long and more memory; less pays for each call, and with threads for waking them (docs/evidence/speed.md).
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
        frame_length: Samples per frame.
        hop_length: Samples from one frame's start to the next.
        padding: Samples added before and after.
        pad_mode: How they are made: a mode of `torch.nn.functional.pad`.
        tail: Zeros added after that, for frames that reach past the window they are multiplied with.
        inside: Samples of each frame that are wanted; ``None`` for all ``frame_length``.

    Returns:
        Shape ``(batch, frames, frame_length)``, with ``frames = 1 + (time + sum(padding) + tail - frame_length) //
        hop_length``: a view, but in a program for ONNX, which has none.

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
    """Cut frames out of rows of a hop each.

    A view becomes a gathering of single numbers in ONNX, which takes longer than all the rest.
    """
    rows = -(-frame_length // hop_length)
    frames = 1 + (waveform.shape[-1] - frame_length) // hop_length
    # A row more than is used, so that any number of samples is filled up: cutting would make a program of one number.
    padded = F.pad(waveform, (0, (frames + rows) * hop_length - waveform.shape[-1]))
    of_hops = padded.unflatten(-1, (-1, hop_length))
    place = torch.arange(frames, device=waveform.device)[:, None] + torch.arange(rows, device=waveform.device)
    gathered = of_hops.index_select(1, place.flatten()).flatten(1).unflatten(-1, (-1, rows * hop_length))
    cut: Tensor = gathered[..., :frame_length]
    return cut


def pad_each(waveform: Tensor, lengths: Tensor, padding: tuple[int, int], pad_mode: str) -> Tensor:
    """Pad each clip of a batch at its own end, as if it were alone.

    Args:
        waveform: Shape ``(..., time)``; what lies beyond the length of a clip is not read.
        lengths: Samples of each clip, shape ``(...)``, at most ``time`` and enough for the mode.
        padding: Samples added before and after.
        pad_mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Returns:
        Shape ``(..., time + sum(padding))``: each padded clip, followed by zeros.

    Example:
        >>> pad_each(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([3]), (1, 1), "reflect")
        tensor([[2., 1., 2., 3., 2., 0.]])
    """
    (before, after), time = padding, waveform.shape[-1]
    place = torch.arange(-before, time + after, device=waveform.device)
    length = lengths.to(waveform.device)[..., None]
    kept = place < length + after
    if pad_mode == "reflect":
        source = torch.where(place.abs() < length, place.abs(), 2 * (length - 1) - place)
    elif pad_mode == "circular":
        source = place.remainder(length)
    else:
        source = torch.minimum(place.clamp_min(0), length - 1)
        if pad_mode == "constant":
            kept = (place >= 0) & (place < length)
    samples = waveform.gather(-1, source.clamp(0, time - 1))
    return samples.masked_fill(~kept, 0.0)


def over_blocks(function: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Apply a function of frames to blocks of them, so that spectra are never all in memory.

    On a CPU only; elsewhere, and in `torch.compile` and `torch.export`, there is one block.

    Args:
        function: From ``(batch, frames, samples)`` to ``(batch, n_filters, frames)``, frame by frame.
        frames: Shape ``(batch, frames, samples)``.

    Returns:
        What ``function(frames)`` returns.

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
