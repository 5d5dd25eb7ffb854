"""Intervals of several paired differences that hold for all of them at once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["simultaneous_intervals"]

DRAWS = 2000  # samples of the bootstrap


def simultaneous_intervals(differences: Tensor, sources: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the means over clips and the ends of their simultaneous 95 % intervals.

    Args:
        differences: Differences of each clip, shape ``(clips, columns)``, in float64.
        sources: Number of the source of each clip, shape ``(clips,)``. Sources are drawn, with all of their clips.
        seed: Seed of the bootstrap.

    Returns:
        Means, lower and upper ends, shape ``(columns,)`` each.

    Source: Westfall and Young, "Resampling-Based Multiple Testing", 1993, for the maximum of bootstrapped t.
    """
    groups = int(sources.max()) + 1
    sums = differences.new_zeros(groups, differences.shape[1]).index_add(0, sources, differences)
    sizes = sources.bincount(minlength=groups).double()
    drawn = torch.randint(groups, (DRAWS, groups), generator=torch.Generator().manual_seed(seed))
    times = torch.zeros(DRAWS, groups, dtype=torch.float64).scatter_add_(1, drawn, torch.ones(drawn.shape).double())
    means, mean = times @ sums / (times @ sizes)[:, None], differences.mean(0)
    errors = means.std(0).clamp_min(1e-12)
    factor = float(((means - mean).abs() / errors).amax(1).quantile(0.95))
    return mean, mean - factor * errors, mean + factor * errors
