"""Pictures of front-ends in Hz and seconds: centers, responses, kernels, features and masks.

Every function draws into ``ax`` and returns ``(fig, ax)``. Without ``ax`` it makes a figure that `matplotlib.pyplot`
does not know, so none has to be closed: save it with ``fig.savefig("picture.png")``. For a window pass an ``ax`` of
``plt.subplots()``. Lines differ in color (Okabe and Ito's) and in marker or dashes. All raise ``ModuleNotFoundError``
where matplotlib is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from learnable_frontends.compression import Decibels, Log
from learnable_frontends.filterbanks import MelFrontend
from learnable_frontends.frontend import Frontend
from learnable_frontends.relevance import MultiHeadRelevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

__all__ = [
    "plot_center_frequencies",
    "plot_features",
    "plot_frequency_responses",
    "plot_kernels",
    "plot_masks",
    "plot_mean_masks",
    "plot_relevance",
    "plot_summed_response",
]

# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is too light for a line on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", (0, (8, 2)))
FEATURE_MAP, MASK_MAP = "viridis", "cividis"
LEVELS = ((0.25, COLORS[0], ":"), (0.5, COLORS[1], "-"), (0.75, COLORS[2], "--"))  # of the color scale, for contours
MOST_LINES = 6  # more classes than that become a heat map


def plot_center_frequencies(
    frontends: Mapping[str, Frontend], *, initial: Mapping[str, Tensor] | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the center frequency of each filter against its index, for several front-ends.

    Args:
        frontends: Front-ends by the label they get; sample rates and numbers of filters may differ.
        initial: Centers in Hz before training, shape ``(n_filters,)``, of any of them by label: thin dashed lines.
        ax: Axes to draw into; ``None`` makes a figure.

    Raises:
        TypeError: If ``frontends`` is not a mapping.
        ValueError: If it is empty, or ``initial`` has another label or another number of filters.

    Example:
        >>> from learnable_frontends import MelFrontend, SincFilterbank
        >>> fig, ax = plot_center_frequencies({"mel": MelFrontend(16000, 40), "sinc": SincFilterbank(16000, 40)})
        >>> len(ax.lines), ax.get_ylabel()
        (2, 'center frequency (Hz)')

    Source: Dutta et al. 2021, Fig. 2.
    """
    _check_mapping(frontends)
    sizes = {name: (frontend.n_filters,) for name, frontend in frontends.items()}
    for name, centers in (initial or {}).items():
        if sizes.get(name) != (shape := tuple(centers.shape)):
            raise ValueError(f"initial must have labels and shapes out of {sizes}, got {name!r} of shape {shape}")
    fig, ax = _axes(ax, (7.0, 4.5))
    for i, (name, frontend) in enumerate(frontends.items()):
        color, marker, every = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)], max(1, frontend.n_filters // 10)
        centers = frontend.center_frequencies
        # Markers of different lines stand at different filters.
        ax.plot(_array(centers), color=color, marker=marker, markevery=(i % every, every), linewidth=1.8, label=name)
    for i, centers in enumerate((initial or {}).values()):
        # One gray for all and on top: often they are the same, and those of the mel spectrogram drawn beside them.
        label = "before training" if i == 0 else None
        ax.plot(_array(centers), color="0.15", linestyle=(0, (4, 3)), linewidth=1.0, label=label)
    ax.set(xlabel="filter index", ylabel="center frequency (Hz)", title="Center frequencies")
    ax.grid(alpha=0.3)
    ax.legend()
    return fig, ax


def plot_frequency_responses(
    frontend: Frontend, *, n_fft: int | None = None, db_floor: float = -60.0, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the power response of every filter, dark for low ones, in dB relative to the bank's highest gain.

    Args:
        frontend: Any front-end.
        n_fft: Transform length in samples; ``None`` means a power of two with bins at most 2 Hz apart.
        db_floor: Lower end of the picture in dB.
        ax: Axes to draw into; ``None`` makes a figure. ``ax.set_xscale("linear")`` afterwards undoes the log axis.

    Raises:
        ValueError: If ``db_floor`` is not negative, or ``n_fft`` smaller than a kernel.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> fig, ax = plot_frequency_responses(CosGaussFilterbank(16000, 40))
        >>> len(ax.lines), ax.get_xlabel()
        (40, 'frequency (Hz)')
    """
    fig, ax = _axes(ax, (7.0, 4.0))
    frequencies, power = _response(frontend, n_fft)
    colors = _matplotlib().colormaps[FEATURE_MAP](np.linspace(0.0, 0.9, frontend.n_filters))
    for color, gain in zip(colors, _decibels(power, db_floor), strict=True):
        ax.plot(frequencies, gain, color=color, linewidth=0.9)
    _frequency_axes(ax, frequencies[-1], db_floor)
    ax.set_title(f"Responses of {frontend.n_filters} filters")
    return fig, ax


def plot_summed_response(
    frontends: Mapping[str, Frontend], *, n_fft: int | None = None, db_floor: float = -60.0, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the sum of the filters' power responses, in dB relative to its maximum: where a front-end listens.

    Args:
        frontends: Front-ends by the label they get.
        n_fft: As in `plot_frequency_responses`.
        db_floor: Lower end of the picture in dB.
        ax: As in `plot_frequency_responses`.

    Raises:
        TypeError: If ``frontends`` is not a mapping.
        ValueError: If it is empty, or as `plot_frequency_responses`.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> fig, ax = plot_summed_response({"cos-gauss": CosGaussFilterbank(16000, 40)})
        >>> [line.get_label() for line in ax.lines]
        ['cos-gauss']
    """
    _check_mapping(frontends)
    fig, ax = _axes(ax, (7.0, 4.0))
    highest = 0.0
    for i, (name, frontend) in enumerate(frontends.items()):
        frequencies, power = _response(frontend, n_fft)
        color, dashes, gain = COLORS[i % len(COLORS)], DASHES[i % len(DASHES)], _decibels(power.sum(0), db_floor)
        ax.plot(frequencies, gain, color=color, linestyle=dashes, linewidth=1.8, label=name)
        highest = max(highest, frequencies[-1])
    _frequency_axes(ax, highest, db_floor)
    ax.set_title("Summed response of all filters")
    ax.legend()
    return fig, ax


def plot_kernels(
    frontend: Frontend, *, indices: Sequence[int] | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw kernels against time, one above the other, each scaled to its peak.

    Args:
        frontend: A front-end with ``kernels()``.
        indices: Filters to draw; ``None`` means six spread evenly over the bank.
        ax: Axes to draw into; ``None`` makes a figure.

    Raises:
        TypeError: If ``frontend`` has no kernels, as mel has none.
        ValueError: If ``indices`` is empty or names a filter that is not there.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> fig, ax = plot_kernels(CosGaussFilterbank(16000, 40), indices=[0, 20])
        >>> len(ax.lines), ax.get_xlabel()
        (2, 'time (ms)')
    """
    make_kernels = getattr(frontend, "kernels", None)
    if make_kernels is None:
        name = type(frontend).__name__
        raise TypeError(f"frontend must have kernels(), got {name} (plot_frequency_responses takes any front-end)")
    chosen = _spread(frontend.n_filters, 6) if indices is None else list(indices)
    if not chosen or min(chosen) < 0 or max(chosen) >= frontend.n_filters:
        raise ValueError(f"indices must be one or more of 0 to {frontend.n_filters - 1}, got {chosen}")
    fig, ax = _axes(ax, (6.0, 1.0 + 0.6 * len(chosen)))
    kernels = _array(make_kernels())[chosen]
    times = 1000.0 * (np.arange(kernels.shape[-1]) - kernels.shape[-1] // 2) / frontend.sample_rate
    for place, kernel in enumerate(kernels):
        ax.plot(times, place + 0.45 * kernel / np.abs(kernel).max(), color=COLORS[0], linewidth=1.0)
    _filter_ticks(ax.yaxis, frontend, chosen, len(chosen))
    ax.set(xlabel="time (ms)", title="Kernels, each scaled to its peak", xlim=(times[0], times[-1]))
    ax.grid(axis="x", alpha=0.3)
    return fig, ax


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
    fig, ax = _axes(ax, (7.0, 3.5))
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
    fig, ax = _axes(ax, (7.0, 3.0))
    if features is None:
        _image(ax, masks[part], frontend, part, None, label="weight", cmap=MASK_MAP, vmin=low, vmax=high)
    else:
        _image(ax, features[part], frontend, part, None, label=_unit(frontend), cmap="gray_r")
        _contours(ax, masks[part], low, high)
    low, high = _array(frontend.center_frequencies)[[part[0], part[-1]]]
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
    values, ends = _array(table)[:, order], np.cumsum([0, *map(len, parts)])
    if len(means) > MOST_LINES:
        fig, ax = _axes(ax, (7.5, 1.6 + 0.25 * len(means)))
        image = ax.imshow(values, aspect="auto", cmap=MASK_MAP, vmin=low, vmax=high, interpolation="nearest")
        fig.colorbar(image, ax=ax, label="mean weight", pad=0.02)
        ax.set_yticks(range(len(means)), list(means))
        ax.set_ylabel("class")
    else:
        fig, ax = _axes(ax, (7.5, 4.0))
        for i, (label, weights) in enumerate(zip(means, values, strict=True)):
            style: dict[str, Any] = {"color": COLORS[i], "marker": MARKERS[i], "markevery": max(1, len(order) // 12)}
            for start, end in pairwise(ends):  # a line does not cross from head to head
                ax.plot(range(start, end), weights[start:end], label=None if start else label, linewidth=1.8, **style)
        ax.set(ylabel="mean weight", ylim=(low, high), xlim=(-0.5, len(order) - 0.5))
        ax.grid(alpha=0.3)
        ax.legend()
    _filter_ticks(ax.xaxis, frontend, order, 9)
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
        fig = _matplotlib().figure.Figure((7.5, 1.9 * sum(heights)), layout="constrained")
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


def _matplotlib() -> ModuleType:
    try:
        import matplotlib.figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'learnable_frontends.plotting needs matplotlib: pip install "learnable-frontends[plot]"'
        ) from error
    return matplotlib


def _axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    if ax is None:
        ax = _matplotlib().figure.Figure(size, layout="constrained").add_subplot()
    return ax.figure.figure, ax  # of a subfigure, its whole figure


def _array(values: Tensor) -> Array:
    array: Array = values.detach().cpu().double().numpy()
    return array


def _spread(n: int, count: int) -> list[int]:
    """At most ``count`` of ``n`` places, evenly spread, both ends among them."""
    return [int(place) for place in np.linspace(0, n - 1, min(n, count)).round()]


def _response(frontend: Frontend, n_fft: int | None) -> tuple[Array, Array]:
    """Frequencies in Hz, without 0, and the power gain of each filter there."""
    if n_fft is None:
        n_fft = 2 ** math.ceil(math.log2(max(frontend.sample_rate / 2, frontend.n_fft)))
    power = _array(frontend.power_response(n_fft))[:, 1:]
    return np.arange(1, power.shape[-1] + 1) * (frontend.sample_rate / n_fft), power


def _decibels(power: Array, db_floor: float) -> Array:
    if not db_floor < 0:
        raise ValueError(f"db_floor must be negative, got {db_floor} (the highest gain is 0 dB)")
    lowest = 10 ** (db_floor / 10 - 1)  # below the picture, where a gain of zero has to go
    decibels: Array = 10 * np.log10(np.maximum(power / power.max(), lowest))
    return decibels


def _frequency_axes(ax: Axes, highest: float, db_floor: float) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(_matplotlib().ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="frequency (Hz)", ylabel="gain re peak (dB)", xlim=(highest / 1000, highest), ylim=(db_floor, 3.0))
    ax.grid(alpha=0.3)


def _filter_ticks(axis: Axis, frontend: Frontend, rows: Sequence[int], count: int) -> None:
    ticks, centers = _spread(len(rows), count), _array(frontend.center_frequencies)
    axis.set_ticks(ticks, [f"{centers[rows[tick]]:.0f}" for tick in ticks])
    axis.set_label_text("center frequency (Hz)")


def _mark_parts(ax: Axes, ends: Array) -> None:
    """Draw a line between the parts of heads that stand side by side, and write which they are above them."""
    for end in ends[1:-1] - 0.5:
        for color, width in (("white", 3.0), ("black", 1.2)):
            ax.axvline(end, color=color, linewidth=width)
    heads = _spread(len(ends) - 1, 8)
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
    image = ax.imshow(_array(values), extent=extent, origin="lower", aspect="auto", **style)
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)
    _filter_ticks(ax.yaxis, frontend, rows, 5)
    ax.set_xlabel("time (s)")


def _contours(ax: Axes, masks: Tensor, low: float, high: float) -> None:
    """Draw contours over the picture of the same bins that `_image` has just drawn."""
    left, right, bottom, top = ax.images[-1].get_extent()
    # One more bin all around, so that contours reach the edges and a lone filter has some.
    weights, step = np.pad(_array(masks), 1, mode="edge"), (right - left) / masks.shape[-1]
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


def _check_mapping(frontends: Mapping[str, Frontend]) -> None:
    if not isinstance(frontends, Mapping):
        name = type(frontends).__name__
        raise TypeError(f'frontends must map labels to front-ends, got {name} (try {{"learned": frontend}})')
    if not frontends:
        raise ValueError("frontends must have at least one front-end, got none")


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
