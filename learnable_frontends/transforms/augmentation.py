"""Random changes of features in training: masks and crops, aligned between parts or not, and mixtures of clips."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends._precision import at_least_float32
from learnable_frontends.transforms.parts import Parts, checked_parts, parts_of

__all__ = ["Mixup", "RandomCrop", "SpecAugment"]


class SpecAugment(nn.Module):
    """Mask one band of filters and one stretch of frames of each clip, in training only.

    Each clip draws its own masks, and each part of its filters has its own: at the same place in all parts when
    ``aligned``, so that a clip loses the same frames everywhere and parts of equal size lose the same of their filters;
    else wherever each part draws. What is masked becomes the mean of the clip's finite features.

    Args:
        max_filters: Largest number of filters masked in a part; 0 for none. A mask has 0 to ``max_filters``, uniformly.
        max_frames: Largest number of frames masked.
        parts: Indices of the filters of each part, as `RelevanceWeighting.parts`; ``None`` means one part of all.
        aligned: Whether parts share their draws.
        maps: Whether the axis before the filters holds the maps of one clip, as `Deltas` gives: they share the masks.

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
        self,
        max_filters: int = 12,
        max_frames: int = 39,
        *,
        parts: Parts | None = None,
        aligned: bool = True,
        maps: bool = False,
    ) -> None:
        super().__init__()
        self.max_filters = whole_number("max_filters", max_filters, least=0)
        self.max_frames = whole_number("max_frames", max_frames, least=0)
        self.parts, self.aligned, self.maps = checked_parts(parts), bool(aligned), bool(maps)

    def forward(self, features: Tensor) -> Tensor:
        """Mask features, shape ``(..., n_filters, frames)``."""
        parts = parts_of(features, self.parts)
        if not self.training:
            return features
        flat = _by_clip(features, self.maps)
        mask = flat.new_zeros(flat.shape[0], *flat.shape[2:], dtype=torch.bool)
        draws = _draws(flat, len(parts), 4, self.aligned)
        for part, (size_f, start_f, size_t, start_t) in zip(parts, draws, strict=True):
            filters = _stretch(len(part), self.max_filters, size_f, start_f)
            frames = _stretch(flat.shape[-1], self.max_frames, size_t, start_t)
            mask[:, part] = filters[:, :, None] | frames[:, None, :]
        finite = flat.abs() < math.inf
        total = at_least_float32(torch.where(finite, flat, 0.0)).sum((-2, -1), keepdim=True)
        mean = total / finite.sum((-2, -1), keepdim=True).clamp_min(1)
        return torch.where(mask[:, None], mean.to(flat.dtype), flat).reshape(features.shape)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"max_filters={self.max_filters}, max_frames={self.max_frames}, aligned={self.aligned}, maps={self.maps}"


class RandomCrop(nn.Module):
    """Keep a random stretch of frames of each clip, in training only; clips that are no longer than it pass.

    Each clip draws where its own starts. With parts that are not ``aligned`` each part starts elsewhere, so that frames
    of different times come to stand above each other.

    Args:
        frames: How many to keep.
        parts: Indices of the filters of each part, as `RelevanceWeighting.parts`; ``None`` means one part of all.
        aligned: Whether parts share their starts.
        maps: Whether the axis before the filters holds the maps of one clip, as `Deltas` gives: they share the starts.

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

    def __init__(self, frames: int, *, parts: Parts | None = None, aligned: bool = True, maps: bool = False) -> None:
        super().__init__()
        self.frames = whole_number("frames", frames)
        self.parts, self.aligned, self.maps = checked_parts(parts), bool(aligned), bool(maps)

    def forward(self, features: Tensor) -> Tensor:
        """Crop features, shape ``(..., n_filters, time)``."""
        parts = parts_of(features, self.parts)
        spare = features.shape[-1] - self.frames
        if not self.training or spare <= 0:
            return features
        flat = _by_clip(features, self.maps)
        starts = torch.empty(flat.shape[0], flat.shape[2], dtype=torch.int64, device=flat.device)
        for part, (draw,) in zip(parts, _draws(flat, len(parts), 1, self.aligned), strict=True):
            starts[:, part] = (draw * (spare + 1)).long()[:, None]
        index = starts[:, None, :, None] + torch.arange(self.frames, device=flat.device)
        kept = flat.gather(-1, index.expand(-1, flat.shape[1], -1, -1))
        return kept.reshape(*features.shape[:-1], self.frames)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"frames={self.frames}, aligned={self.aligned}, maps={self.maps}"


class Mixup(nn.Module):
    """Mix each clip of a batch, and its target, with another, in training only.

    One share is drawn for the batch, from a Beta distribution: with 0.4 most clips keep nearly all of themselves or of
    their partner.

    Args:
        alpha: Both parameters of the Beta distribution, positive.

    Shape:
        - Input: features ``(batch, ...)`` and targets ``(batch, n_classes)``, probabilities or one-hot; floating point.
        - Output: the same two.

    Raises:
        TypeError: If features or targets are not floating point (class indices: ``torch.nn.functional.one_hot``).
        ValueError: If ``alpha`` is not positive and finite, or the two differ in their number of clips.

    Example:
        >>> features, targets = Mixup(0.4)(torch.randn(4, 80, 431), torch.eye(4))
        >>> features.shape, targets.sum(-1)
        (torch.Size([4, 80, 431]), tensor([1., 1., 1., 1.]))

    Source: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018; 0.4 in the published code of Dutta et
    al. 2021.
    """

    def __init__(self, alpha: float = 0.4) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, above=0, hint="leave the module out for no mixtures")

    def forward(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix features and targets by the same share of the same partners."""
        for name, tensor in (("features", features), ("targets", targets)):
            if isinstance(tensor, Tensor) and not tensor.is_floating_point():
                raise TypeError(
                    f"{name} must be a floating-point tensor, got {tensor.dtype} (class indices: "
                    "torch.nn.functional.one_hot)"
                )
            floating_tensor(name, tensor)
        if len(features) != len(targets):
            raise ValueError(f"targets must have the {len(features)} clips of features, got {len(targets)}")
        if not self.training:
            return features, targets
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        partner = torch.randperm(len(features)).to(features.device)
        return torch.lerp(features[partner], features, share), torch.lerp(targets[partner], targets, share)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"alpha={self.alpha}"


def _by_clip(features: Tensor, maps: bool) -> Tensor:
    """Features as ``(clips, maps, n_filters, frames)``."""
    if maps and features.dim() < 3:
        raise ValueError(f"features must have maps, filters and frames with maps=True, got {tuple(features.shape)}")
    return features.reshape(
        math.prod(features.shape[: -3 if maps else -2]), features.shape[-3] if maps else 1, *features.shape[-2:]
    )


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
