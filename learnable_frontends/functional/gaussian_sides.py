"""Two-sided Gaussians over frequency, as wide as given triangles, and the gradient of the triangles' edges."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["GaussianSides", "edge_gradients", "gaussian_gains", "gaussian_sides"]

# Standard deviation, in half-widths of a triangle, of the Gaussian that is closest to the triangle.
DEVIATION = 0.435
# A side of the Gaussian is 2 to the power of minus (this times the distance from the middle in half-widths) squared.
STEEPNESS = 1 / (DEVIATION * math.sqrt(2 * math.log(2)))
# The logarithm to base 2 of the least gain, -241 dB; smaller ones are zero. Denormal numbers, in float32 those below 2
# to the power of -126, take some processors fifty times as long as others. With a few of them in a hundred numbers a
# matrix product takes that long.
LEAST = -80.0


class GaussianSides(NamedTuple):
    """Gains of Gaussians, and the intermediate results that their gradient needs."""

    gains: Tensor  # (n_filters, bins)
    edges: Tensor  # place, lower and upper edge of the triangles in Hz, (3, n_filters)
    steepness: Tensor  # of the lower side, negative, and of the upper side, (2, n_filters)
    distances: Tensor  # of bins on this side from the place, times its steepness; zero for others, (2, n_filters, bins)
    norm: str | None


def gaussian_gains(squares: Tensor) -> Tensor:
    """Return the gains of Gaussians at squared distances in half-widths, and zero 241 dB below the middle."""
    return F.threshold(squares.neg(), LEAST, -math.inf).exp2()


def gaussian_sides(edges: Tensor, frequencies: Tensor, norm: str | None) -> GaussianSides:
    """Return Gaussians each side of which is closest to that of a triangle.

    Args:
        edges: Place, lower edge and upper edge of each triangle in Hz, shape ``(3, n_filters)``.
        frequencies: Frequencies in Hz, shape ``(bins,)``.
        norm: ``None`` for a height of one, ``"slaney"`` for that of a triangle of unit area.
    """
    steepness = STEEPNESS / (edges[1:] - edges[0])
    distances = ((frequencies - edges[0, :, None]) * steepness[..., None]).clamp_min(0)
    gains = gaussian_gains((distances[0] + distances[1]).square())
    if norm == "slaney":
        gains = gains * (2.0 / (edges[2] - edges[1]))[:, None]
    return GaussianSides(gains, edges, steepness, distances, norm)


def edge_gradients(drawn: GaussianSides, d_logs: Tensor) -> Tensor:
    """Return the gradient of the edges, ``(3, n_filters)``, given that of the logarithms of the gains."""
    d_distances = d_logs * drawn.distances
    steepness = drawn.steepness * (2 * math.log(2))
    d_sides = torch.linalg.vecdot(d_distances, drawn.distances) * steepness * (1 / STEEPNESS)
    d_place = (d_distances.sum(-1) * steepness - d_sides).sum(0, keepdim=True)
    if drawn.norm == "slaney":
        d_width = d_logs.sum(-1) / (drawn.edges[2] - drawn.edges[1])
        d_sides = torch.stack([d_sides[0] + d_width, d_sides[1] - d_width])
    return torch.cat([d_place, d_sides])
