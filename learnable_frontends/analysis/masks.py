"""How far relevance masks are from constant, and in what they vary: between bands, between clips, over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from learnable_frontends._checks import whole_number

__all__ = ["MaskStatistics", "mask_statistics"]


class MaskStatistics(NamedTuple):
    """How the masks of one head vary: standard deviations, in units of the weight.

    Attributes:
        mean: Mean weight of all bins.
        total: Standard deviation of all bins: ``total**2 == between_bands**2 + between_clips**2 + within_clip**2``.
        between_bands: Standard deviation of the means of the bands, which are a fixed gain for each band. The next
            layer can undo it.
        between_clips: Standard deviation of the means of the clips within a band: a gain for each band and clip.
        within_clip: Standard deviation over the frames of a clip within a band.
    """

    mean: float
    total: float
    between_bands: float
    between_clips: float
    within_clip: float


def mask_statistics(masks: Tensor, parts: Sequence[Sequence[int]]) -> list[MaskStatistics]:
    """Measure for each head how far its masks are from constant, and in what they vary.

    A head with a constant mask has learned nothing, and one whose mask varies only between bands has learned little: a
    normalization of each filter undoes a fixed gain for each band exactly, and a layer with a weight for each filter
    can absorb it. What such a layer cannot do without the head is to vary gains from clip to clip, or over a clip. The
    mask of an untrained head is not constant either, since it depends on the features, so compare a trained head with
    an untrained one on the same features.

    Args:
        masks: Weights of clips of equal length, shape ``(..., n_filters, frames)``; one clip has no leading axes.
        parts: Indices of the filters of each head: the attribute ``parts`` of `RelevanceWeighting`.

    Returns:
        One `MaskStatistics` for each head, computed in float64. Every deviation is 0 for a constant mask, and the total
        is at most 0.5 for weights in (0, 1).

    Raises:
        TypeError: If ``masks`` is not floating point, or an index is not a whole number.
        ValueError: If ``masks`` has no clip, filter or frame, or ``parts`` is not a list of nonempty lists of filters,
            each filter once.

    Example:
        >>> gains = torch.tensor([0.2, 0.4, 0.9, 0.9])  # of four filters and two heads
        >>> masks = gains[:, None].expand(3, 4, 100)
        >>> first, second = mask_statistics(masks, parts=[[0, 1], [2, 3]])
        >>> f"{first.mean:.2f} {first.total:.2f} {first.between_bands:.2f}"
        '0.30 0.10 0.10'
        >>> first.between_clips, first.within_clip
        (0.0, 0.0)
        >>> f"{second.mean:.2f} {second.total}"
        '0.90 0.0'
    """
    if not masks.is_floating_point():
        raise TypeError(f"masks must be a floating-point tensor, got {masks.dtype} (weights, as masks() returns them)")
    if masks.dim() < 2 or masks.numel() == 0:
        raise ValueError(
            f"masks must have shape (..., n_filters, frames), none of them 0, got shape {tuple(masks.shape)}"
        )
    clips = masks.detach().to("cpu", torch.float64).reshape(-1, *masks.shape[-2:])
    return [_statistics(clips[:, part]) for part in _check_parts(parts, clips.shape[1])]


def _check_parts(parts: Sequence[Sequence[int]], n_filters: int) -> list[list[int]]:
    checked = [[whole_number("parts", index, least=0) for index in part] for part in parts]
    filters = [index for part in checked for index in part]
    if not filters or not all(checked) or len(set(filters)) < len(filters) or max(filters) >= n_filters:
        raise ValueError(
            f"parts must be lists of filters from 0 to {n_filters - 1}, each once, none empty, got {checked} "
            "(RelevanceWeighting.parts)"
        )
    return checked


def _statistics(masks: Tensor) -> MaskStatistics:
    """Return the statistics of one head's masks, ``(clips, filters, frames)``."""
    first = masks[:1, :, :1]
    offsets = masks - first  # exactly zero if a band never varies, so that rounding is not mistaken for variation
    of_clips = offsets.mean(-1, keepdim=True)
    of_bands = of_clips.mean(0, keepdim=True)
    bands = first + of_bands
    steps = bands - bands[:, :1]
    between_bands = float((steps - steps.mean()).square().mean())
    between_clips = float((of_clips - of_bands).square().mean())
    within_clip = float((offsets - of_clips).square().mean())
    total = between_bands + between_clips + within_clip
    return MaskStatistics(float(bands.mean()), *map(math.sqrt, (total, between_bands, between_clips, within_clip)))
