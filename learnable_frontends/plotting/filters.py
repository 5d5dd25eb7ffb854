"""Plots of filters: centers, responses, kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from learnable_frontends._checks import floating_tensor
from learnable_frontends.frontend import Frontend
from learnable_frontends.plotting.drawing import (
    COLORS,
    FEATURE_MAP,
    MARKERS,
    check_frontend,
    import_matplotlib,
    innermost,
    label_filters,
    make_axes,
    spread,
    to_array,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

__all__ = ["plot_center_frequencies", "plot_frequency_responses", "plot_kernels", "plot_summed_response"]

DASHES = ("-", "--", "-.", ":", (0, (8, 2)))


def plot_center_frequencies(
    frontends: Mapping[str, Frontend], *, initial: Mapping[str, Tensor] | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the center frequency of each filter against its index, for several front-ends.

    Args:
        frontends: Front-ends by label; sample rates and numbers of filters may differ.
        initial: Centers before training in Hz, shape ``(n_filters,)``, for any of the labels. They are drawn as thin
            dashed lines.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``frontends`` is not a mapping to front-ends, or a value of ``initial`` is not a tensor.
        ValueError: If ``frontends`` is empty, or ``initial`` has another label or another number of filters.

    Example:
        >>> from learnable_frontends import MelFrontend, SincFilterbank
        >>> banks = {"mel": MelFrontend(16000, 40), "sinc": SincFilterbank(16000, 40)}
        >>> fig, ax = plot_center_frequencies(banks)
        >>> len(ax.lines), ax.get_ylabel()
        (2, 'center frequency (Hz)')

    Source: Dutta et al. 2021, Fig. 2.
    """
    _check_mapping(frontends)
    sizes = {name: (frontend.n_filters,) for name, frontend in frontends.items()}
    for name, centers in (initial or {}).items():
        floating_tensor(f"initial[{name!r}]", centers)
        if sizes.get(name) != (shape := tuple(centers.shape)):
            raise ValueError(f"initial must have labels and shapes from {sizes}, got {name!r} of shape {shape}")
    fig, ax = make_axes(ax, (7.0, 4.5))
    for i, (name, frontend) in enumerate(frontends.items()):
        color, marker, every = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)], max(1, frontend.n_filters // 10)
        centers = frontend.center_frequencies
        # The markers of different lines are at different filters.
        ax.plot(to_array(centers), color=color, marker=marker, markevery=(i % every, every), linewidth=1.8, label=name)
    for i, centers in enumerate((initial or {}).values()):
        # One gray for all, drawn on top: they are often the same, and equal to those of a mel spectrogram beside them.
        label = "before training" if i == 0 else None
        ax.plot(to_array(centers), color="0.15", linestyle=(0, (4, 3)), linewidth=1.0, label=label)
    ax.set(xlabel="filter index", ylabel="center frequency (Hz)", title="Center frequencies")
    ax.grid(alpha=0.3)
    ax.legend()
    return fig, ax


def plot_frequency_responses(
    frontend: Frontend, *, n_fft: int | None = None, db_floor: float = -60.0, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the power response of every filter in dB relative to the highest gain; low filters have dark colors.

    Args:
        frontend: Any front-end.
        n_fft: Transform length in samples; ``None`` means a power of two with bins at most 2 Hz apart.
        db_floor: Lower end of the gain axis in dB.
        ax: Axes to draw into; ``None`` makes a figure. The frequency axis is logarithmic; call
            ``ax.set_xscale("linear")`` to change that.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``frontend`` is not a front-end.
        ValueError: If ``db_floor`` is not negative, or ``n_fft`` is odd.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> fig, ax = plot_frequency_responses(CosGaussFilterbank(16000, 40))
        >>> len(ax.lines), ax.get_xlabel()
        (40, 'frequency (Hz)')
    """
    check_frontend("frontend", frontend)
    frequencies, power = _response(frontend, n_fft)
    gains = _decibels(power, db_floor)
    fig, ax = make_axes(ax, (7.0, 4.0))
    colors = import_matplotlib().colormaps[FEATURE_MAP](np.linspace(0.0, 0.9, frontend.n_filters))
    for color, gain in zip(colors, gains, strict=True):
        ax.plot(frequencies, gain, color=color, linewidth=0.9)
    _frequency_axes(ax, frequencies[-1], db_floor)
    ax.set_title(f"Responses of {frontend.n_filters} filters")
    return fig, ax


def plot_summed_response(
    frontends: Mapping[str, Frontend], *, n_fft: int | None = None, db_floor: float = -60.0, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the sum of the power responses of all filters, in dB relative to its maximum.

    Args:
        frontends: Front-ends by label.
        n_fft: As in `plot_frequency_responses`.
        db_floor: Lower end of the gain axis in dB.
        ax: As in `plot_frequency_responses`.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``frontends`` is not a mapping to front-ends.
        ValueError: If ``frontends`` is empty, or as for `plot_frequency_responses`.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> fig, ax = plot_summed_response({"cos-gauss": CosGaussFilterbank(16000, 40)})
        >>> [line.get_label() for line in ax.lines]
        ['cos-gauss']
    """
    _check_mapping(frontends)
    responses = [_response(frontend, n_fft) for frontend in frontends.values()]
    curves = [(frequencies, _decibels(power.sum(0), db_floor)) for frequencies, power in responses]
    fig, ax = make_axes(ax, (7.0, 4.0))
    for i, (name, (frequencies, gain)) in enumerate(zip(frontends, curves, strict=True)):
        color, dashes = COLORS[i % len(COLORS)], DASHES[i % len(DASHES)]
        ax.plot(frequencies, gain, color=color, linestyle=dashes, linewidth=1.8, label=name)
    _frequency_axes(ax, max(frequencies[-1] for frequencies, _ in curves), db_floor)
    ax.set_title("Summed response of all filters")
    ax.legend()
    return fig, ax


def plot_kernels(
    frontend: Frontend, *, indices: Sequence[int] | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw kernels over time, one above the other, each scaled to its peak.

    Args:
        frontend: A front-end with ``kernels()``, or one that is wrapped in relevance heads.
        indices: Filters to draw; ``None`` means six that are evenly spread over the filterbank.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or has no kernels, such as a `MelFrontend`.
        ValueError: If ``indices`` is empty or includes a filter that does not exist.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> fig, ax = plot_kernels(CosGaussFilterbank(16000, 40), indices=[0, 20])
        >>> len(ax.lines), ax.get_xlabel()
        (2, 'time (ms)')
    """
    check_frontend("frontend", frontend)
    bank = innermost(frontend)
    make_kernels = getattr(bank, "kernels", None)
    if make_kernels is None:
        name = type(bank).__name__
        raise TypeError(f"frontend must have kernels(), got {name} (plot_frequency_responses takes any front-end)")
    chosen = spread(frontend.n_filters, 6) if indices is None else list(indices)
    if not chosen or min(chosen) < 0 or max(chosen) >= frontend.n_filters:
        raise ValueError(f"indices must be one or more of 0 to {frontend.n_filters - 1}, got {chosen}")
    kernels = to_array(make_kernels())[chosen]
    fig, ax = make_axes(ax, (6.0, 1.0 + 0.6 * len(chosen)))
    times = 1000.0 * (np.arange(kernels.shape[-1]) - kernels.shape[-1] // 2) / frontend.sample_rate
    for place, kernel in enumerate(kernels):
        ax.plot(times, place + 0.45 * kernel / np.abs(kernel).max(), color=COLORS[0], linewidth=1.0)
    label_filters(ax.yaxis, frontend, chosen, len(chosen))
    ax.set(xlabel="time (ms)", title="Kernels, each scaled to its peak", xlim=(times[0], times[-1]))
    ax.grid(axis="x", alpha=0.3)
    return fig, ax


def _response(frontend: Frontend, n_fft: int | None) -> tuple[Array, Array]:
    """Return the frequencies of the bins in Hz, without 0, and the power gain of each filter at them."""
    if n_fft is None:
        n_fft = 2 ** math.ceil(math.log2(max(frontend.sample_rate / 2, frontend.n_fft)))
    power = to_array(frontend.power_response(n_fft))[:, 1:]
    return np.arange(1, power.shape[-1] + 1) * (frontend.sample_rate / n_fft), power


def _decibels(power: Array, db_floor: float) -> Array:
    if not db_floor < 0:
        raise ValueError(f"db_floor must be negative, got {db_floor} (the highest gain is 0 dB)")
    lowest = 10 ** (db_floor / 10 - 1)  # a gain of zero is drawn below the axes
    decibels: Array = 10 * np.log10(np.maximum(power / power.max(), lowest))
    return decibels


def _frequency_axes(ax: Axes, highest: float, db_floor: float) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(import_matplotlib().ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="frequency (Hz)", ylabel="gain re peak (dB)", xlim=(highest / 1000, highest), ylim=(db_floor, 3.0))
    ax.grid(alpha=0.3)


def _check_mapping(frontends: Mapping[str, Frontend]) -> None:
    if not isinstance(frontends, Mapping):
        name = type(frontends).__name__
        raise TypeError(f'frontends must map labels to front-ends, got {name} (try {{"learned": frontend}})')
    if not frontends:
        raise ValueError("frontends must have at least one front-end, got none")
    for label, frontend in frontends.items():
        check_frontend(f"frontends[{label!r}]", frontend)
