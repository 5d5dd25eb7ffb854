"""Normalization of features, by fixed numbers or by the mean and deviation of each band of a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends._parameters import DeclaredParameters
from learnable_frontends._precision import at_least_float32
from learnable_frontends._stages import within

__all__ = ["ClipNormalize", "Normalize"]


class Normalize(DeclaredParameters):
    """Subtract a fixed mean and divide by a fixed deviation, such as those of the data that a model was trained on.

    Args:
        mean: One number, or one for each filter.
        std: One positive number, or one for each filter.

    Shape:
        - Input and output: ``(..., n_filters, frames)``, or any shape if ``mean`` and ``std`` are one number each.

    Raises:
        ValueError: If a number is not finite, ``std`` is not positive, or an argument has more than one axis.

    Example:
        >>> Normalize(mean=-4.0, std=2.0)(torch.tensor([-4.0, 0.0]))
        tensor([0., 2.])
    """

    frame_by_frame = True

    def __init__(self, mean: float | Sequence[float] | Tensor, std: float | Sequence[float] | Tensor) -> None:
        super().__init__()
        for name, given in (("mean", mean), ("std", std)):
            values = torch.as_tensor(given, dtype=torch.float64, device="cpu").detach()
            if (
                values.dim() > 1
                or not bool(values.isfinite().all())
                or (name == "std" and not bool((values > 0).all()))
            ):
                rule = "positive and finite" if name == "std" else "finite"
                raise ValueError(f"{name} must be {rule}, one number or one for each filter, got {given}")
            self._constants[name] = values[:, None] if values.dim() else values

    @property
    def mean(self) -> float | list[float]:
        """Mean that is subtracted: one number, or one for each filter."""
        return _flat(self._constants["mean"].tolist())

    @property
    def std(self) -> float | list[float]:
        """Deviation that features are divided by: one number, or one for each filter."""
        return _flat(self._constants["std"].tolist())

    def forward(self, features: Tensor) -> Tensor:
        """Normalize features."""
        floating_tensor("features", features)
        exact = at_least_float32(features)
        normalized = (exact - self._constants.like("mean", exact)) / self._constants.like("std", exact)
        return normalized.to(features.dtype)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"mean={self.mean}, std={self.std}"


def _flat(values: float | list[list[float]]) -> float | list[float]:
    return [value for row in values for value in row] if isinstance(values, list) else values


class ClipNormalize(nn.Module):
    """Normalize each band of a clip to mean 0 and deviation 1 over the frames of the clip.

    This takes the level of each band away. Where levels tell classes apart, accuracy suffers: by nine points on insect
    song (:doc:`/evidence/results`).

    Args:
        ddof: Number that is subtracted from the number of frames in the variance, 0 or 1.
        eps: Number that is added to the deviation, or to the variance if ``inside``; it keeps a constant band finite.
        inside: Whether ``eps`` is added under the root.

    Shape:
        - Input and output: ``(..., n_filters, frames)``. Numbers that are not finite are ignored, and become NaN.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If ``ddof`` is neither 0 nor 1, or ``eps`` is negative.

    Example:
        >>> ClipNormalize(ddof=0, eps=0.0)(torch.tensor([[1.0, 3.0]]))
        tensor([[-1.,  1.]])
    """

    takes_counts = True
    frame_by_frame = False

    def __init__(self, *, ddof: int = 1, eps: float = 1e-5, inside: bool = False) -> None:
        super().__init__()
        self.ddof, self.eps, self.inside = whole_number("ddof", ddof, least=0), number("eps", eps), bool(inside)
        if self.ddof > 1:
            raise ValueError(f"ddof must be 0 or 1, got {ddof}")
        if self.eps < 0:
            raise ValueError(f"eps must not be negative, got {eps}")

    def forward(self, features: Tensor, counts: Tensor | None = None) -> Tensor:
        """Normalize ``(..., n_filters, frames)``; ``counts`` frames belong to each clip, or all if it is ``None``."""
        floating_tensor("features", features)
        exact = at_least_float32(features)
        finite = exact.detach().abs() < math.inf
        exact, inside = torch.where(finite, exact, 0.0), finite
        if counts is not None:
            inside = finite & within(counts, exact)[..., None, :]
        count = inside.sum(-1, keepdim=True)
        mean = torch.where(inside, exact, 0.0).sum(-1, keepdim=True) / count.clamp_min(1)
        centered = exact - mean
        variance = torch.where(inside, centered.square(), 0.0).sum(-1, keepdim=True) / (count - self.ddof).clamp_min(1)
        deviation = (variance + self.eps).sqrt() if self.inside else variance.sqrt() + self.eps
        return torch.where(finite, centered / deviation, math.nan).to(features.dtype)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"ddof={self.ddof}, eps={self.eps:g}, inside={self.inside}"
