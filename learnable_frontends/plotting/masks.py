"""Plots of masks: the mask of one head for one clip, and the mean masks of classes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from learnable_frontends._checks import floating_tensor
from learnable_frontends.plotting.drawing import (
    COLORS,
    MARKERS,
    MASK_MAP,
    check_clip,
    check_heads,
    draw_image,
    feature_label,
    label_filters,
    make_axes,
    spread,
    to_array,
)
from learnable_frontends.relevance import MultiHeadRelevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

__all__ = ["plot_masks", "plot_mean_masks"]

LEVELS = ((0.25, COLORS[0], ":"), (0.5, COLORS[1], "-"), (0.75, COLORS[2], "--"))  # contours, as shares of the scale
MOST_LINES = 6  # more classes than this are drawn as a heat map


def plot_masks(
    masks: Tensor,
    frontend: MultiHeadRelevance,
    *,
    head: int,
    features: Tensor | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the mask of one head for one clip as an image over time; its rows are the filters of that head.

    Args:
        masks: Masks of one clip from ``frontend.masks``, shape ``(n_filters, frames)``.
        frontend: The front-end with the heads.
        head: Index of the head, from 0.
        features: The features that the masks weight, ``frontend.frontend(waveform)``, shaped like ``masks``. If they
            are given, they are drawn in gray, dark where loud, and the mask is drawn as contours at a quarter, a half
            and three quarters of ``limits``. The contours of a nearly constant mask are ragged or missing.
        limits: Weights at the ends of the color scale; ``None`` means 0 and 1, or 0 and the largest weight for
            ``gate="softmax"``. Narrow limits reveal the variation of a mask that is nearly constant.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``frontend`` is not a `MultiHeadRelevance`, or ``masks`` or ``features`` is not a floating-point
            tensor.
        ValueError: If ``masks`` is not one clip of ``n_filters`` filters or has no frames, ``features`` has another
            shape, or ``head`` does not exist.

    Example:
        >>> import torch
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40), n_heads=2)
        >>> fig, ax = plot_masks(frontend.masks(torch.randn(16000)), frontend, head=1)
        >>> ax.get_title()
        'Mask of head 2 of 2: 20 filters, 1845 to 7481 Hz'
    """
    check_heads(frontend)
    check_clip("masks", masks, frontend)
    if features is not None:
        floating_tensor("features", features)
        if features.shape != masks.shape:
            raise ValueError(f"features must be shaped like masks, {tuple(masks.shape)}, got {tuple(features.shape)}")
    relevance = frontend.relevance
    if not 0 <= head < relevance.n_heads:
        raise ValueError(f"head must be 0 to {relevance.n_heads - 1}, got {head}")
    rows = relevance.parts[head]
    low, high = limits or _limits(to_array(masks), frontend)
    fig, ax = make_axes(ax, (7.0, 3.0))
    if features is None:
        draw_image(ax, masks[rows], frontend, rows, None, label="weight", cmap=MASK_MAP, vmin=low, vmax=high)
    else:
        draw_image(ax, features[rows], frontend, rows, None, label=feature_label(frontend.frontend), cmap="gray_r")
        _contours(ax, to_array(masks[rows]), low, high)
    low, high = to_array(frontend.center_frequencies)[[rows[0], rows[-1]]]
    band = f"{len(rows)} filters, {low:.0f} to {high:.0f} Hz" if len(rows) > 1 else f"1 filter, {low:.0f} Hz"
    ax.set_title(f"Mask of head {head + 1} of {relevance.n_heads}: {band}")
    return fig, ax


def plot_mean_masks(
    means: Mapping[str, Tensor],
    frontend: MultiHeadRelevance,
    *,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the mean masks of classes over the filters, as lines, or as a heat map if there are more than six classes.

    The filters are ordered by head, and labeled with their centers in Hz.

    Args:
        means: Mean weight of each filter over clips and frames, shape ``(n_filters,)``, by label, such as the name of
            a class.
        frontend: The front-end with the heads.
        limits: Weights at the ends of the scale; ``None`` means the same as in `plot_masks`.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``means`` is not a mapping to floating-point tensors, or ``frontend`` is not a
            `MultiHeadRelevance`.
        ValueError: If ``means`` is empty, or one of them does not have ``n_filters`` weights.

    Example:
        >>> import torch
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40), n_heads=2)
        >>> masks = frontend.masks(torch.randn(8, 16000))
        >>> fig, ax = plot_mean_masks({"noise": masks.mean((0, -1))}, frontend)
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('center frequency (Hz)', 'mean weight')
    """
    check_heads(frontend)
    _check_means(means, frontend)
    parts = frontend.relevance.parts
    order = [index for rows in parts for index in rows]
    values, ends = np.stack([to_array(mean)[order] for mean in means.values()]), np.cumsum([0, *map(len, parts)])
    low, high = limits or _limits(values, frontend)
    if len(means) > MOST_LINES:
        fig, ax = make_axes(ax, (7.5, 1.6 + 0.25 * len(means)))
        image = ax.imshow(values, aspect="auto", cmap=MASK_MAP, vmin=low, vmax=high, interpolation="nearest")
        fig.colorbar(image, ax=ax, label="mean weight", pad=0.02)
        ax.set_yticks(range(len(means)), list(means))
        ax.set_ylabel("class")
    else:
        fig, ax = make_axes(ax, (7.5, 4.0))
        for i, (label, weights) in enumerate(zip(means, values, strict=True)):
            style: dict[str, Any] = {"color": COLORS[i], "marker": MARKERS[i], "markevery": max(1, len(order) // 12)}
            for start, end in pairwise(ends):  # a line ends with its head
                ax.plot(range(start, end), weights[start:end], label=None if start else label, linewidth=1.8, **style)
        ax.set(ylabel="mean weight", ylim=(low, high), xlim=(-0.5, len(order) - 0.5))
        ax.grid(alpha=0.3)
        ax.legend()
    label_filters(ax.xaxis, frontend, order, 9)
    _mark_heads(ax, ends)
    ax.set_title("Mean masks")
    return fig, ax


def _limits(masks: Array, frontend: MultiHeadRelevance) -> tuple[float, float]:
    return 0.0, 1.0 if frontend.relevance.gate == "sigmoid" else float(masks.max())


def _contours(ax: Axes, masks: Array, low: float, high: float) -> None:
    """Draw the contours of masks over the image that `draw_image` has just drawn of the same bins."""
    left, right, bottom, top = ax.images[-1].get_extent()
    # One more bin on all sides, so that contours reach the edges, and so that a single filter has contours.
    weights, step = np.pad(masks, 1, mode="edge"), (right - left) / masks.shape[-1]
    extent = (left - step, right + step, bottom - 1, top + 1)
    for share, color, dashes in LEVELS:
        level = low + share * (high - low)
        if weights.min() < level < weights.max():
            style: dict[str, Any] = {"colors": color, "linestyles": [dashes], "linewidths": 1.3}
            ax.contour(weights, [level], extent=extent, origin="lower", **style)
            ax.plot([], [], color=color, linestyle=dashes, label=f"weight {level:.3g}")
    ax.set(xlim=(left, right), ylim=(bottom, top))
    if ax.lines:
        ax.legend(loc="upper right", fontsize="small", ncols=len(LEVELS), borderpad=0.2, columnspacing=1.0)


def _mark_heads(ax: Axes, ends: Array) -> None:
    """Draw a line between the filters of neighboring heads, and label the heads above the axes."""
    for end in ends[1:-1] - 0.5:
        for color, width in (("white", 3.0), ("black", 1.2)):
            ax.axvline(end, color=color, linewidth=width)
    heads = spread(len(ends) - 1, 8)
    above = ax.secondary_xaxis("top")
    above.set_ticks([(ends[i] + ends[i + 1] - 1) / 2 for i in heads], [f"head {i + 1}" for i in heads])
    above.tick_params(length=0)


def _check_means(means: Mapping[str, Tensor], frontend: MultiHeadRelevance) -> None:
    if not isinstance(means, Mapping):
        name = type(means).__name__
        raise TypeError(f'means must map labels to mean masks, got {name} (try {{"all": masks.mean((0, -1))}})')
    if not means:
        raise ValueError("means must have at least one mean mask, got none")
    for label, weights in means.items():
        floating_tensor(f"means[{label!r}]", weights)
        if weights.shape != (frontend.n_filters,):
            raise ValueError(
                f"means must have shape ({frontend.n_filters},), one weight per filter, got {label!r} of shape "
                f"{tuple(weights.shape)}"
            )
