"""Features computed from features: scaling, changes over time, and cepstra."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends._constants import Constants
from learnable_frontends._precision import at_least_float32, without_autocast
from learnable_frontends.transforms.parts import Parts, checked_parts, parts_of

__all__ = ["Cepstra", "Deltas", "MinMaxScale"]


class MinMaxScale(nn.Module):
    """Scale each part of each clip to [0, 1], so that its smallest value becomes 0 and its largest value 1.

    Args:
        parts: Indices of the filters of each part, as in `RelevanceWeighting.parts`; ``None`` means one part with all
            filters.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point.
        - Output: the same. A constant part, such as silence, becomes 0. Numbers that are not finite are ignored, and
          become NaN.

    Raises:
        TypeError: If the features are not floating point.
        ValueError: If ``parts`` do not contain each filter of the features once.

    Example:
        >>> MinMaxScale()(torch.tensor([[0.0, 2.0], [4.0, 1.0]]))
        tensor([[0.0000, 0.5000],
                [1.0000, 0.2500]])

    Source: The published code of Dutta et al. 2021, which scales the part of each head after the skip connection.
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
        # Numbers that are not finite are replaced first, since they would make the gradients of low and high NaN.
        scaled = (torch.where(finite, part, 0.0) - low) / torch.where(span > 0, span, 1.0)
        return torch.where(finite, scaled, math.nan)


class Deltas(nn.Module):
    """Stack features with their first and second changes over time.

    A change is the slope of the least-squares line through a frame and two frames on each side. The four frames at each
    end, which have no second change, are dropped.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point, 9 frames or more.
        - Output: ``(..., 3, n_filters, frames - 8)``: features, deltas, delta-deltas.

    Raises:
        TypeError: If the features are not floating point.
        ValueError: If they have fewer than 9 frames.

    Example:
        >>> Deltas()(torch.randn(4, 80, 431)).shape
        torch.Size([4, 3, 80, 423])

    Source: The regression formula of HTK over five frames, and the trim from 431 to 423 frames, are those of the
    published code of Dutta et al. 2021.
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
    """Return the slope of the least-squares line through five frames, at each frame that has two on each side."""
    near = features[..., 3:-1] - features[..., 1:-3]
    far = features[..., 4:] - features[..., :-4]
    return (near + 2 * far) / 10


class Cepstra(nn.Module):
    """Cepstral coefficients: the first coefficients of a cosine transform of log energies over the filters.

    For a mel spectrogram in decibels they are mel-frequency cepstral coefficients (MFCC).

    Args:
        n_filters: Number of filters of the features.
        n_cepstra: Number of coefficients, at most ``n_filters``.
        lifter: Weight each coefficient by ``1 + lifter / 2 * sin(pi * (k + 1) / lifter)``, as librosa does; 0 means no
            weights.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point.
        - Output: ``(..., n_cepstra, frames)``.

    Raises:
        TypeError: If a number is not whole, or the features are not floating point.
        ValueError: If ``n_cepstra`` is more than ``n_filters``, ``lifter`` is negative, or the features have another
            number of filters.

    Example:
        >>> Cepstra(40, 13)(torch.randn(2, 40, 101)).shape
        torch.Size([2, 13, 101])

    Source: The orthonormal DCT-II of Davis and Mermelstein, "Comparison of parametric representations for monosyllabic
    word recognition", 1980, as in `librosa.feature.mfcc`.
    """

    def __init__(self, n_filters: int, n_cepstra: int = 20, *, lifter: float = 0.0) -> None:
        super().__init__()
        self.n_filters, self.n_cepstra = whole_number("n_filters", n_filters), whole_number("n_cepstra", n_cepstra)
        if self.n_cepstra > self.n_filters:
            raise ValueError(f"n_cepstra must be at most n_filters={self.n_filters}, got {n_cepstra}")
        self.lifter = number("lifter", lifter)
        if self.lifter < 0:
            raise ValueError(f"lifter must be 0 or more, got {lifter}")
        order = np.arange(self.n_cepstra)[:, None]
        cosines = np.cos(np.pi / self.n_filters * order * (np.arange(self.n_filters) + 0.5))
        cosines *= np.sqrt(np.where(order == 0, 1.0, 2.0) / self.n_filters)
        if self.lifter:
            cosines *= 1 + self.lifter / 2 * np.sin(np.pi * (order + 1) / self.lifter)
        self._constants = Constants()
        self._constants["cosines"] = cosines

    def forward(self, features: Tensor) -> Tensor:
        """Transform features, shape ``(..., n_filters, frames)``."""
        floating_tensor("features", features)
        if features.dim() < 2 or features.shape[-2] != self.n_filters:
            raise ValueError(f"features must be (..., {self.n_filters}, frames), got shape {tuple(features.shape)}")
        exact = at_least_float32(features)
        with without_autocast(exact.device.type):
            return (self._constants.like("cosines", exact) @ exact).to(features.dtype)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"{self.n_filters}, {self.n_cepstra}, lifter={self.lifter:g}"
