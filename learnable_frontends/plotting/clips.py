"""Pictures of clips: features and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from learnable_frontends.compression import Decibels, Log
from learnable_frontends.filterbanks import MelFrontend
from learnable_frontends.frontend import Frontend
from learnable_frontends.plotting.drawing import (
    COLORS,
    FEATURE_MAP,
    MARKERS,
    MASK_MAP,
    import_matplotlib,
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

__all__ = ["plot_features", "plot_masks", "plot_mean_masks", "plot_relevance"]

LEVELS = ((0.25, COLORS[0], ":"), (0.5, COLORS[1], "-"), (0.75, COLORS[2], "--"))  # of the color scale, for contours
MOST_LINES = 6  # more classes than that become a heat map


def plot_features(
    features: Tensor, frontend: Frontend, *, hop_length: int | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the features of one clip as an image over seconds, its rows labelled with their center frequencies.

    Args:
        features: Shape ``(n_filters, frames)``, from ``frontend`` or a stage after it.
        frontend: The front-end, for its sample rate, hop and centers.
        hop_length: Samples from frame to frame, where it is not the front-end's: after pooling, say.
        ax: Axes to draw into; ``None`` makes a figure.

    Raises:
        ValueError: If ``features`` is not one clip of ``n_filters`` filters.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> frontend = CosGaussFilterbank(16000, 40)
        >>> fig, ax = plot_features(frontend(torch.randn(16000)), frontend)
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('time (s)', 'center frequency (Hz)')
    """
    _check_picture("features", features, frontend)
    fig, ax = make_axes(ax, (7.0, 3.5))
    label = f"weighted {_unit(frontend)}" if isinstance(frontend, MultiHeadRelevance) else _unit(frontend)
    _image(ax, features, frontend, range(frontend.n_filters), hop_length, label=label, cmap=FEATURE_MAP)
    ax.set_title("Features")
    return fig, ax


def plot_masks(
    masks: Tensor,
    frontend: MultiHeadRelevance,
    *,
    head: int,
    features: Tensor | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the mask of one head for one clip: the rows are the filters of its part, neighbors or not.

    Args:
        masks: What ``frontend.masks`` gives for a clip, shape ``(n_filters, frames)``.
        frontend: The front-end with the heads.
        head: Which head, from 0.
        features: The picture that the masks weight, ``frontend.frontend(waveform)``, of the same shape: it is drawn in
            gray, dark where loud, and the mask as contours at a quarter, a half and three quarters of ``limits``. A
            mask that is nearly flat has ragged contours or none.
        limits: Weights at the ends of the color scale; ``None`` means 0 to 1, or to the largest for
            ``gate="softmax"``. Narrow ones show masks that hardly vary.
        ax: Axes to draw into; ``None`` makes a figure.

    Raises:
        TypeError: If ``frontend`` is not a `MultiHeadRelevance`.
        ValueError: If ``masks`` is not one clip of ``n_filters`` filters, ``features`` are shaped otherwise, or there
            is no such head.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40), n_heads=2)
        >>> fig, ax = plot_masks(frontend.masks(torch.randn(16000)), frontend, head=1)
        >>> ax.get_title()
        'Mask of head 2 of 2: 20 filters, 1845 to 7481 Hz'
    """
    _check_heads(frontend)
    _check_picture("masks", masks, frontend)
    if features is not None and features.shape != masks.shape:
        raise ValueError(f"features must be shaped like masks, {tuple(masks.shape)}, got {tuple(features.shape)}")
    relevance = frontend.relevance
    if not 0 <= head < relevance.n_heads:
        raise ValueError(f"head must be 0 to {relevance.n_heads - 1}, got {head}")
    part = relevance.parts[head]
    low, high = limits or _limits(masks, frontend)
    fig, ax = make_axes(ax, (7.0, 3.0))
    if features is None:
        _image(ax, masks[part], frontend, part, None, label="weight", cmap=MASK_MAP, vmin=low, vmax=high)
    else:
        _image(ax, features[part], frontend, part, None, label=_unit(frontend), cmap="gray_r")
        _contours(ax, masks[part], low, high)
    low, high = to_array(frontend.center_frequencies)[[part[0], part[-1]]]
    span = f"{len(part)} filters, {low:.0f} to {high:.0f} Hz" if len(part) > 1 else f"1 filter, {low:.0f} Hz"
    ax.set_title(f"Mask of head {head + 1} of {relevance.n_heads}: {span}")
    return fig, ax


def plot_mean_masks(
    means: Mapping[str, Tensor],
    frontend: MultiHeadRelevance,
    *,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw mean masks against the band: a line for each class, or a row of a heat map if they are more than six.

    The bands of a head stand together, head after head, and their centers are written in Hz.

    Args:
        means: Mean weight of each filter over clips and frames, shape ``(n_filters,)``, by the label it gets: that of
            a class, say.
        frontend: The front-end with the heads.
        limits: Weights at the ends of the scale; ``None`` means as in `plot_masks`.
        ax: Axes to draw into; ``None`` makes a figure.

    Raises:
        TypeError: If ``means`` is not a mapping, or ``frontend`` not a `MultiHeadRelevance`.
        ValueError: If ``means`` is empty, or one of them does not have ``n_filters`` weights.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40), n_heads=2)
        >>> masks = frontend.masks(torch.randn(8, 16000))
        >>> fig, ax = plot_mean_masks({"noise": masks.mean((0, -1))}, frontend)
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('center frequency (Hz)', 'mean weight')
    """
    _check_heads(frontend)
    _check_means(means, frontend)
    parts = frontend.relevance.parts
    order = [index for part in parts for index in part]
    table = torch.stack(list(means.values()))
    low, high = limits or _limits(table, frontend)
    values, ends = to_array(table)[:, order], np.cumsum([0, *map(len, parts)])
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
            for start, end in pairwise(ends):  # a line does not cross from head to head
                ax.plot(range(start, end), weights[start:end], label=None if start else label, linewidth=1.8, **style)
        ax.set(ylabel="mean weight", ylim=(low, high), xlim=(-0.5, len(order) - 0.5))
        ax.grid(alpha=0.3)
        ax.legend()
    label_filters(ax.xaxis, frontend, order, 9)
    _mark_parts(ax, ends)
    ax.set_title("Mean masks")
    return fig, ax


def plot_relevance(
    frontend: MultiHeadRelevance,
    waveform: Tensor,
    *,
    mel: Frontend | None = None,
    limits: tuple[float, float] | None = None,
    axes: Sequence[Axes] | Array | None = None,
) -> tuple[Figure, Array]:
    """Draw the way of one clip: mel spectrogram, learned features, mask of each head, weighted features.

    Args:
        frontend: The front-end with the heads.
        waveform: One clip, shape ``(time,)``.
        mel: Front-end of the first picture; ``None`` makes a `MelFrontend` as like ``frontend`` as can be.
        limits: As in `plot_masks`, for all heads.
        axes: ``n_heads + 3`` axes to draw into, from the top; ``None`` makes a figure.

    Returns:
        The figure and the array of its axes; the head of the highest filters comes first, as in the paper.

    Raises:
        TypeError: If ``frontend`` is not a `MultiHeadRelevance`.
        ValueError: If ``waveform`` is not one clip, or the number of ``axes`` is another.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
        >>> frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40), n_heads=2)
        >>> fig, axes = plot_relevance(frontend, torch.randn(16000))
        >>> axes.shape
        (5,)

    Source: Dutta et al. 2021, Fig. 3, whose last picture is scaled to [0, 1] for each head too.
    """
    _check_heads(frontend)
    if waveform.dim() != 1:
        raise ValueError(f"waveform must have shape (time,), one clip, got shape {tuple(waveform.shape)}")
    n_heads, parts = frontend.relevance.n_heads, frontend.relevance.parts
    if axes is None:
        # A mask is as high as its part of the other pictures, if that leaves room for its labels.
        heights = [1.0, 1.0, *(max(0.55, len(part) / frontend.n_filters) for part in reversed(parts)), 1.0]
        fig = import_matplotlib().figure.Figure((7.5, 1.9 * sum(heights)), layout="constrained")
        drawn = fig.subplots(len(heights), sharex=True, height_ratios=heights)
    else:
        drawn = np.asarray(axes, dtype=object).ravel()
    if len(drawn) != n_heads + 3:
        raise ValueError(f"axes must be n_heads + 3 = {n_heads + 3} axes, got {len(drawn)}")
    if mel is None:
        names = ("win_length", "hop_length", "f_min", "f_max", "center", "pad_mode")
        shared = {name: getattr(frontend, name) for name in names if hasattr(frontend, name)}
        mel = MelFrontend(frontend.sample_rate, frontend.n_filters, **shared).to(waveform.device)
    with torch.no_grad():
        learned = frontend.frontend(waveform)
        masks = frontend.relevance.masks(learned)
        plot_features(mel(waveform), mel, ax=drawn[0])
        plot_features(learned, frontend.frontend, ax=drawn[1])
        for place, head in enumerate(reversed(range(n_heads)), start=2):
            plot_masks(masks, frontend, head=head, limits=limits, ax=drawn[place])
        plot_features(frontend.relevance(learned), frontend, ax=drawn[-1])
    for place, title in ((0, "Mel spectrogram"), (1, "Features before the heads"), (-1, "Weighted features")):
        drawn[place].set_title(title)
    for ax in drawn:
        ax.set_ylabel("center (Hz)")  # the long label is higher than a small picture
        if axes is None:
            ax.label_outer()
    return drawn[0].figure.figure, drawn


def _mark_parts(ax: Axes, ends: Array) -> None:
    """Draw a line between the parts of heads that stand side by side, and write which they are above them."""
    for end in ends[1:-1] - 0.5:
        for color, width in (("white", 3.0), ("black", 1.2)):
            ax.axvline(end, color=color, linewidth=width)
    heads = spread(len(ends) - 1, 8)
    above = ax.secondary_xaxis("top")
    above.set_ticks([(ends[i] + ends[i + 1] - 1) / 2 for i in heads], [f"head {i + 1}" for i in heads])
    above.tick_params(length=0)


def _unit(frontend: Frontend) -> str:
    """What the compression of a front-end makes."""
    return {Log: "log energy", Decibels: "energy (dB)"}.get(type(getattr(frontend, "compression", None)), "feature")


def _limits(masks: Tensor, frontend: MultiHeadRelevance) -> tuple[float, float]:
    return 0.0, 1.0 if frontend.relevance.gate == "sigmoid" else float(masks.detach().max())


def _image(
    ax: Axes, values: Tensor, frontend: Any, rows: Sequence[int], hop_length: int | None, label: str, **style: Any
) -> None:
    """Draw rows of filters over seconds, each pixel around the middle of its frame."""
    rate = frontend.sample_rate
    hop = (frontend.hop_length if hop_length is None else hop_length) / rate
    first = 0.0 if getattr(frontend, "center", True) else 0.5 * (frontend.frame_length - frontend.frame_tail) / rate
    extent = (first - 0.5 * hop, first + (values.shape[-1] - 0.5) * hop, -0.5, len(rows) - 0.5)
    image = ax.imshow(to_array(values), extent=extent, origin="lower", aspect="auto", **style)
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)
    label_filters(ax.yaxis, frontend, rows, 5)
    ax.set_xlabel("time (s)")


def _contours(ax: Axes, masks: Tensor, low: float, high: float) -> None:
    """Draw contours over the picture of the same bins that `_image` has just drawn."""
    left, right, bottom, top = ax.images[-1].get_extent()
    # One more bin all around, so that contours reach the edges and a lone filter has some.
    weights, step = np.pad(to_array(masks), 1, mode="edge"), (right - left) / masks.shape[-1]
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


def _check_means(means: Mapping[str, Tensor], frontend: MultiHeadRelevance) -> None:
    if not isinstance(means, Mapping):
        name = type(means).__name__
        raise TypeError(f'means must map labels to mean masks, got {name} (try {{"all": masks.mean((0, -1))}})')
    if not means:
        raise ValueError("means must have at least one mean mask, got none")
    for label, weights in means.items():
        if weights.shape != (frontend.n_filters,):
            raise ValueError(
                f"means must have shape ({frontend.n_filters},), a weight a filter, got {label!r} of shape "
                f"{tuple(weights.shape)}"
            )


def _check_heads(frontend: MultiHeadRelevance) -> None:
    if not isinstance(frontend, MultiHeadRelevance):
        name = type(frontend).__name__
        raise TypeError(f"frontend must be a MultiHeadRelevance, got {name} (MultiHeadRelevance(frontend) adds heads)")


def _check_picture(name: str, values: Tensor, frontend: Frontend) -> None:
    if values.dim() != 2 or values.shape[0] != frontend.n_filters:
        shape = tuple(values.shape)
        raise ValueError(f"{name} must have shape ({frontend.n_filters}, frames), one clip, got shape {shape}")
