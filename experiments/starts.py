"""Starting points of filters that are not on any scale: at random, or where filters should not be."""

from __future__ import annotations

import numpy as np
import torch

from learnable_frontends.functional import hz_to_scale, scale_to_hz

STARTS = ("random", "bad")


def choose_start(init: str | list[float], n_filters: int, sample_rate: float, seed: int) -> str | list[float]:
    """Turn a name of ``STARTS`` into center frequencies; other names are scales, which the front-ends know.

    Args:
        init: ``"random"``: on the mel scale, at distances that are drawn anew for each seed, each at least a tenth of
            the mean; ``"bad"``: all in the highest fifth of the band, evenly; or the name of a scale, or centers in Hz.
        n_filters: Filters.
        sample_rate: Samples per second.
        seed: Of the random steps.

    Returns:
        Ascending frequencies in Hz, or ``init`` itself.
    """
    top = sample_rate / 2
    if init == "bad":
        return [float(center) for center in np.linspace(0.8 * top, top, n_filters + 2)[1:-1]]
    if not isinstance(init, str) or init != "random":
        return init
    steps = 0.1 + 0.9 * np.random.default_rng([seed, n_filters]).exponential(size=n_filters + 1)
    shares = torch.from_numpy(steps.cumsum()[:-1] / steps.sum())
    highest = hz_to_scale(torch.tensor(top, dtype=torch.float64), "mel")
    return [float(center) for center in scale_to_hz(shares * highest, "mel")]
