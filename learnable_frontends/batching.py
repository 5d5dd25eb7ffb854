"""Batches of clips of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

__all__ = ["collate_clips", "pad_clips"]


def pad_clips(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad clips with zeros to the longest one and stack them into a batch.

    Args:
        clips: Waveforms, shape ``(time,)`` each, of one type.

    Returns:
        Waveforms ``(batch, time)`` and their lengths in samples ``(batch,)``: the two arguments of a front-end.

    Raises:
        ValueError: If there is no clip, or a clip has more than one channel.

    Example:
        >>> pad_clips([torch.ones(3), torch.ones(1)])
        (tensor([[1., 1., 1.],
                [1., 0., 0.]]), tensor([3, 1]))
    """
    if not clips:
        raise ValueError("clips must hold a waveform or more, got none")
    shapes = [tuple(clip.shape) for clip in clips]
    if wrong := [shape for shape in shapes if len(shape) != 1]:
        raise ValueError(f"clips must be (time,) each, got {wrong[0]} (take one channel, or their mean)")
    return pad_sequence(list(clips), batch_first=True), torch.tensor([shape[0] for shape in shapes])


def collate_clips(items: Sequence[Sequence[Any]]) -> list[Any]:
    """Collate items of a dataset whose first field is a clip, as in ``DataLoader(..., collate_fn=collate_clips)``.

    Args:
        items: Tuples ``(clip, ...)``: a waveform ``(time,)``, then anything that torch's own collation accepts.

    Returns:
        ``[waveforms, lengths, ...]``: the two results of `pad_clips`, then each of the other fields collated.

    Example:
        >>> items = [(torch.ones(3), 7), (torch.ones(1), 8)]
        >>> waveforms, lengths, labels = collate_clips(items)
        >>> waveforms.shape, lengths, labels
        (torch.Size([2, 3]), tensor([3, 1]), tensor([7, 8]))
    """
    clips, *others = zip(*items, strict=True)
    return [*pad_clips(clips), *(default_collate(list(field)) for field in others)]
