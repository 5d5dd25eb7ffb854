"""Features made from features: scaled, or with their changes over time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from learnable_frontends.transforms.parts import Parts, checked_parts, parts_of

__all__ = ["Deltas", "MinMaxScale"]


class MinMaxScale(nn.Module):
    """Scale each part of each clip to [0, 1]: its smallest value to 0, its largest to 1.

    Args:
        parts: Indices of the filters of each part, as `RelevanceWeighting.parts`; ``None`` means one part of all.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point.
        - Output: the same. A part of one value, silence say, becomes 0. What is not finite does not count, and becomes
          NaN.

    Raises:
        TypeError: If the features are not floating point.
        ValueError: If ``parts`` are not the filters of the features, each in one part.

    Example:
        >>> MinMaxScale()(torch.tensor([[0.0, 2.0], [4.0, 1.0]]))
        tensor([[0.0000, 0.5000],
                [1.0000, 0.2500]])

    Source: the published code of Dutta et al. 2021, which scales each head's part after the skip connection.
    """

    def __init__(self, *, parts: Parts | None = None) -> None:
        super().__init__()
        self.parts = checked_parts(parts)

    def forward(self, features: Tensor) -> Tensor:
        """Scale features, shape ``(..., n_filters, frames)``."""
        parts = parts_of(features, self.parts)
        order = [index for part in parts for index in part]
        scaled = torch.cat([self._scaled(features[..., part, :]) for part in parts], -2)
        if order == sorted(order):
            return scaled
        back = torch.tensor(order, device=features.device).argsort()
        return scaled.index_select(-2, back)

    @staticmethod
    def _scaled(part: Tensor) -> Tensor:
        if not part.shape[-1]:
            return part
        finite = part.detach().abs() < math.inf
        low = torch.where(finite, part, math.inf).amin((-2, -1), keepdim=True)
        high = torch.where(finite, part, -math.inf).amax((-2, -1), keepdim=True)
        span = high - low
        # What is not finite is replaced before the division: it would make the gradients of low and high NaN.
        scaled = (torch.where(finite, part, 0.0) - low) / torch.where(span > 0, span, 1.0)
        return torch.where(finite, scaled, math.nan)


class Deltas(nn.Module):
    """Stack features with their first and second change over time, without the frames at the ends that have none.

    A change is the slope of the line through a frame and two to each side, so four frames at each end are lost.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point, 9 frames or more.
        - Output: ``(..., 3, n_filters, frames - 8)``: features, deltas, delta-deltas.

    Raises:
        TypeError: If the features are not floating point.
        ValueError: If they have fewer than 9 frames.

    Example:
        >>> Deltas()(torch.randn(4, 80, 431)).shape
        torch.Size([4, 3, 80, 423])

    Source: the regression formula of HTK over five frames, and the trim from 431 to 423 frames, as in the published
    code of Dutta et al. 2021.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Stack features, shape ``(..., n_filters, frames)``."""
        parts_of(features, None)
        if features.shape[-1] < 9:
            raise ValueError(
                f"features must have at least 9 frames, got {features.shape[-1]} (deltas lose 4 at each end)"
            )
        first = _slopes(features)
        return torch.stack([features[..., 4:-4], first[..., 2:-2], _slopes(first)], -3)


def _slopes(features: Tensor) -> Tensor:
    """Slope of the least-squares line through five frames, per frame, at every frame that has two on each side."""
    near = features[..., 3:-1] - features[..., 1:-3]
    far = features[..., 4:] - features[..., :-4]
    return (near + 2 * far) / 10
