"""A plot of what relevance heads do to a clip, from its mel spectrogram to its weighted features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from learnable_frontends._checks import floating_tensor
from learnable_frontends.filterbanks import MelFrontend
from learnable_frontends.frontend import Frontend
from learnable_frontends.plotting.drawing import check_frontend, check_heads, innermost, make_figure
from learnable_frontends.plotting.features import plot_features
from learnable_frontends.plotting.masks import plot_masks
from learnable_frontends.relevance import MultiHeadRelevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

__all__ = ["plot_relevance"]


def plot_relevance(
    frontend: MultiHeadRelevance,
    waveform: Tensor,
    *,
    mel: Frontend | None = None,
    limits: tuple[float, float] | None = None,
    axes: Sequence[Axes] | Array | None = None,
) -> tuple[Figure, Array]:
    """Draw the stages of one clip: mel spectrogram, features before the heads, masks, and weighted features.

    Args:
        frontend: The front-end with the heads.
        waveform: One clip, shape ``(time,)``.
        mel: Front-end for the mel spectrogram; ``None`` makes a `MelFrontend` with the frames and the band of
            ``frontend``.
        limits: Limits of the color scale for all heads, as in `plot_masks`.
        axes: ``n_heads + 3`` axes to draw into, from top to bottom; ``None`` makes a figure.

    Returns:
        The figure and the array of its axes. The mask of the last head, which has the highest filters, comes first, as
        in the paper.

    Raises:
        TypeError: If ``frontend`` is not a `MultiHeadRelevance`, ``waveform`` is not a floating-point tensor, or
            ``mel`` is not a front-end.
        ValueError: If ``waveform`` is not one clip, or there is another number of ``axes``.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40), n_heads=2)
        >>> fig, axes = plot_relevance(frontend, torch.randn(16000))
        >>> axes.shape
        (5,)

    Source: Dutta et al. 2021, Fig. 3, in which the weighted features of each head are also scaled to [0, 1].
    """
    check_heads(frontend)
    floating_tensor("waveform", waveform)
    if waveform.dim() != 1:
        raise ValueError(f"waveform must have shape (time,), one clip, got shape {tuple(waveform.shape)}")
    mel = _similar_mel(frontend).to(waveform.device) if mel is None else mel
    check_frontend("mel", mel)
    n_heads, parts = frontend.relevance.n_heads, frontend.relevance.parts
    given = None if axes is None else np.asarray(axes, dtype=object).ravel()
    if given is not None and len(given) != n_heads + 3:
        raise ValueError(f"axes must be n_heads + 3 = {n_heads + 3} axes, got {len(given)}")
    with torch.no_grad():
        spectrogram, learned = mel(waveform), frontend.frontend(waveform)
        masks, weighted = frontend.relevance.masks(learned), frontend.relevance(learned)
    drawn = _stacked_axes([len(rows) / frontend.n_filters for rows in reversed(parts)]) if given is None else given
    plot_features(spectrogram, mel, ax=drawn[0])
    plot_features(learned, frontend.frontend, ax=drawn[1])
    for place, head in enumerate(reversed(range(n_heads)), start=2):
        plot_masks(masks, frontend, head=head, limits=limits, ax=drawn[place])
    plot_features(weighted, frontend, ax=drawn[-1])
    for place, title in ((0, "Mel spectrogram"), (1, "Features before the heads"), (-1, "Weighted features")):
        drawn[place].set_title(title)
    for ax in drawn:
        ax.set_ylabel("center (Hz)")  # the long label would not fit beside low axes
        if given is None:
            ax.label_outer()
    return drawn[0].figure.figure, drawn


def _similar_mel(frontend: MultiHeadRelevance) -> MelFrontend:
    """Return a mel front-end with the frames and the band of the filters inside the heads, as far as they are known."""
    bank = innermost(frontend)
    names = ("win_length", "hop_length", "f_min", "f_max", "center", "pad_mode")
    shared = {name: getattr(bank, name) for name in names if hasattr(bank, name)}
    return MelFrontend(bank.sample_rate, bank.n_filters, **shared)


def _stacked_axes(shares: Sequence[float]) -> Array:
    """Return axes from top to bottom of a new figure; a mask is as high as its share of the filters, if labels fit."""
    heights = [1.0, 1.0, *(max(0.55, share) for share in shares), 1.0]
    axes: Array = make_figure((7.5, 1.9 * sum(heights))).subplots(len(heights), sharex=True, height_ratios=heights)
    return axes
