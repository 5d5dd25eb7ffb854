"""Random changes of features in training, aligned between the parts that relevance heads weight, or not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learnable_frontends.functional import whole_number

__all__ = ["RandomCrop", "SpecAugment"]

Parts = Sequence[Sequence[int]]


class SpecAugment(nn.Module):
    """Mask one band of filters and one stretch of frames of each clip, in training only.

    Each clip draws its own masks, and each part of its filters has its own: at the same place in all parts when
    ``aligned``, so that a clip loses the same frames everywhere and parts of equal size lose the same of their filters;
    else wherever each part draws. What is masked becomes the mean of the clip.

    Args:
        max_filters: Largest number of filters masked in a part; 0 for none. A mask has 0 to ``max_filters``, uniformly.
        max_frames: Largest number of frames masked.
        parts: Indices of the filters of each part, as `RelevanceWeighting.parts`; ``None`` means one part of all.
        aligned: Whether parts share their draws.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point.
        - Output: the same.

    Raises:
        TypeError: If the features are not floating point, or a number is not whole.
        ValueError: If a number is negative, or ``parts`` are not the filters of the features, each in one part.

    Example:
        >>> SpecAugment(max_filters=12, max_frames=39)(torch.randn(4, 80, 431)).shape
        torch.Size([4, 80, 431])

    Source: Park et al., "SpecAugment", Interspeech 2019, without time warping; masks per part, aligned or not: Dutta et
    al. 2021, table 3, whose published code masks fewer than 13 filters and fewer than 40 frames.
    """

    def __init__(
        self, max_filters: int = 12, max_frames: int = 39, *, parts: Parts | None = None, aligned: bool = True
    ) -> None:
        super().__init__()
        self.max_filters = whole_number("max_filters", max_filters, least=0)
        self.max_frames = whole_number("max_frames", max_frames, least=0)
        self.parts, self.aligned = _checked(parts), bool(aligned)

    def forward(self, features: Tensor) -> Tensor:
        """Mask features, shape ``(..., n_filters, frames)``."""
        parts = _parts_of(features, self.parts)
        if not self.training:
            return features
        flat = features.reshape(-1, *features.shape[-2:])
        mask = torch.zeros_like(flat, dtype=torch.bool)
        draws = _draws(flat, len(parts), 4, self.aligned)
        for part, (size_f, start_f, size_t, start_t) in zip(parts, draws, strict=True):
            filters = _stretch(len(part), self.max_filters, size_f, start_f)
            frames = _stretch(flat.shape[-1], self.max_frames, size_t, start_t)
            mask[:, part] = filters[:, :, None] | frames[:, None, :]
        return torch.where(mask, flat.mean((-2, -1), keepdim=True), flat).reshape(features.shape)

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        return f"max_filters={self.max_filters}, max_frames={self.max_frames}, aligned={self.aligned}"


class RandomCrop(nn.Module):
    """Keep a random stretch of frames of each clip, in training only; clips that are no longer than it pass.

    Each clip draws where its own starts. With parts that are not ``aligned`` each part starts elsewhere, so that frames
    of different times come to stand above each other.

    Args:
        frames: How many to keep.
        parts: Indices of the filters of each part, as `RelevanceWeighting.parts`; ``None`` means one part of all.
        aligned: Whether parts share their starts.

    Shape:
        - Input: ``(..., n_filters, time)``, floating point.
        - Output: ``(..., n_filters, min(frames, time))`` in training, else the input.

    Raises:
        TypeError: If the features are not floating point, or ``frames`` is not whole.
        ValueError: If ``frames`` is less than 1, or ``parts`` are not the filters of the features, each in one part.

    Example:
        >>> RandomCrop(400)(torch.randn(4, 80, 431)).shape
        torch.Size([4, 80, 400])

    Source: Dutta et al. 2021, section 4.1 and table 3; 400 of 431 frames in its published code.
    """

    def __init__(self, frames: int, *, parts: Parts | None = None, aligned: bool = True) -> None:
        super().__init__()
        self.frames = whole_number("frames", frames)
        self.parts, self.aligned = _checked(parts), bool(aligned)

    def forward(self, features: Tensor) -> Tensor:
        """Crop features, shape ``(..., n_filters, time)``."""
        parts = _parts_of(features, self.parts)
        spare = features.shape[-1] - self.frames
        if not self.training or spare <= 0:
            return features
        flat = features.reshape(-1, *features.shape[-2:])
        starts = torch.empty(flat.shape[:2], dtype=torch.int64, device=flat.device)
        for part, (draw,) in zip(parts, _draws(flat, len(parts), 1, self.aligned), strict=True):
            starts[:, part] = (draw * (spare + 1)).long()[:, None]
        index = starts[:, :, None] + torch.arange(self.frames, device=flat.device)
        return flat.gather(-1, index).reshape(*features.shape[:-1], self.frames)

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        return f"frames={self.frames}, aligned={self.aligned}"


def _checked(parts: Parts | None) -> list[list[int]] | None:
    if parts is None:
        return None
    lists = [[whole_number("parts", index, least=0) for index in part] for part in parts]
    filters = sorted(index for part in lists for index in part)
    if not lists or not all(lists) or filters != list(range(len(filters))):
        raise ValueError(
            f"parts must hold each filter from 0 on once and no part be empty, got {lists} (RelevanceWeighting.parts)"
        )
    return lists


def _parts_of(features: Tensor, parts: list[list[int]] | None) -> list[list[int]]:
    if not features.is_floating_point():
        raise TypeError(f"features must be a floating-point tensor, got {features.dtype}")
    if features.dim() < 2:
        raise ValueError(f"features must have filters and frames, got shape {tuple(features.shape)}")
    n = features.shape[-2]
    if parts is None:
        return [list(range(n))]
    if sum(map(len, parts)) != n:
        raise ValueError(f"features must have the {sum(map(len, parts))} filters of parts on axis -2, got {n}")
    return parts


def _draws(flat: Tensor, n_parts: int, count: int, aligned: bool) -> Tensor:
    """Numbers in [0, 1), shape ``(n_parts, count, clips)``."""
    shape = (1 if aligned else n_parts, count, flat.shape[0])
    return torch.rand(shape, device=flat.device, dtype=torch.float64).expand(n_parts, -1, -1)


def _stretch(length: int, longest: int, size: Tensor, start: Tensor) -> Tensor:
    """Which of ``length`` places are in a stretch of up to ``longest``, from two draws a clip: ``(clips, length)``."""
    sizes = (size * (min(longest, length) + 1)).long()
    starts = (start * (length - sizes + 1)).long()[:, None]
    places = torch.arange(length, device=size.device)
    return (places >= starts) & (places < starts + sizes[:, None])
