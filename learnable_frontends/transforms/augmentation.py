"""Augmentation of features in training: masks and crops, aligned between parts or not, and mixtures of clips."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends._precision import at_least_float32
from learnable_frontends.transforms.parts import Parts, checked_parts, parts_of

__all__ = ["Mixup", "RandomCrop", "SpecAugment"]


class SpecAugment(nn.Module):
    """Mask one range of filters and one stretch of frames of each clip, in training only.

    Masks are drawn for each clip, and every part of its filters is masked. With ``aligned``, masks are at the same
    position in all parts, so that a clip loses the same frames everywhere, and parts of equal size lose corresponding
    filters. Otherwise masks are drawn for each part. Masked bins become the mean of the clip's finite features.

    Args:
        max_filters: Largest number of filters that are masked in a part. The number is drawn uniformly from 0 to
            ``max_filters``.
        max_frames: Largest number of frames that are masked, drawn in the same way.
        parts: Indices of the filters of each part, as in `RelevanceWeighting.parts`; ``None`` means one part with all
            filters.
        aligned: Whether all parts share the same draws.
        maps: Whether the axis before the filters holds several maps of one clip, such as those of `Deltas`, which then
            share their masks.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point.
        - Output: the same.

    Raises:
        TypeError: If the features are not floating point, or a number is not whole.
        ValueError: If a number is negative, or ``parts`` do not contain each filter of the features once.

    Example:
        >>> SpecAugment(max_filters=12, max_frames=39)(torch.randn(4, 80, 431)).shape
        torch.Size([4, 80, 431])

    Source: Park et al., "SpecAugment", Interspeech 2019, without time warping. Masks for each part, aligned or not, are
    from Dutta et al. 2021, table 3; its published code masks fewer than 13 filters and fewer than 40 frames.
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
    """Keep a random stretch of frames of each clip, in training only. Clips that are not longer do not change.

    The start is drawn for each clip. Without ``aligned`` it is drawn for each part, so that frames of different times
    are combined.

    Args:
        frames: Number of frames that are kept.
        parts: Indices of the filters of each part, as in `RelevanceWeighting.parts`; ``None`` means one part with all
            filters.
        aligned: Whether all parts share the same start.
        maps: Whether the axis before the filters holds several maps of one clip, such as those of `Deltas`, which then
            share their start.

    Shape:
        - Input: ``(..., n_filters, time)``, floating point.
        - Output: ``(..., n_filters, min(frames, time))`` in training, otherwise the input.

    Raises:
        TypeError: If the features are not floating point, or ``frames`` is not whole.
        ValueError: If ``frames`` is less than 1, or ``parts`` do not contain each filter of the features once.

    Example:
        >>> RandomCrop(400)(torch.randn(4, 80, 431)).shape
        torch.Size([4, 80, 400])

    Source: Dutta et al. 2021, section 4.1 and table 3; its published code keeps 400 of 431 frames.
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
    """Mix each clip of a batch and its target with those of another clip, in training only.

    One share is drawn for the whole batch from a Beta distribution. With ``alpha=0.4`` most mixtures consist almost
    entirely of one of the two clips.

    Args:
        alpha: Both parameters of the Beta distribution, positive.

    Shape:
        - Input: features ``(batch, ...)`` and targets ``(batch, n_classes)``, probabilities or one-hot, floating point.
        - Output: features and targets of the same shapes.

    Raises:
        TypeError: If features or targets are not floating point. Convert class indices with
            ``torch.nn.functional.one_hot``.
        ValueError: If ``alpha`` is not positive and finite, or features and targets have different numbers of clips.

    Example:
        >>> features, targets = Mixup(0.4)(torch.randn(4, 80, 431), torch.eye(4))
        >>> features.shape, targets.sum(-1)
        (torch.Size([4, 80, 431]), tensor([1., 1., 1., 1.]))

    Source: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018. The default of 0.4 is that of the
    published code of Dutta et al. 2021.
    """

    def __init__(self, alpha: float = 0.4) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, above=0, hint="leave the module out for no mixtures")

    def forward(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix features and targets with the same partners and the same share."""
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
    """Return features in the shape ``(clips, maps, n_filters, frames)``."""
    if maps and features.dim() < 3:
        raise ValueError(f"features must have maps, filters and frames with maps=True, got {tuple(features.shape)}")
    return features.reshape(
        math.prod(features.shape[: -3 if maps else -2]), features.shape[-3] if maps else 1, *features.shape[-2:]
    )


def _draws(flat: Tensor, n_parts: int, count: int, aligned: bool) -> Tensor:
    """Return random numbers in [0, 1), shape ``(n_parts, count, clips)``."""
    shape = (1 if aligned else n_parts, count, flat.shape[0])
    return torch.rand(shape, device=flat.device, dtype=torch.float64).expand(n_parts, -1, -1)


def _stretch(length: int, longest: int, size: Tensor, start: Tensor) -> Tensor:
    """Return whether each place is in a stretch of up to ``longest``, given two draws per clip: ``(clips, length)``."""
    sizes = (size * (min(longest, length) + 1)).long()
    starts = (start * (length - sizes + 1)).long()[:, None]
    places = torch.arange(length, device=size.device)
    return (places >= starts) & (places < starts + sizes[:, None])
