"""Plots of learning: how far filters have moved, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from learnable_frontends._checks import floating_tensor
from learnable_frontends.analysis import movement
from learnable_frontends.frontend import Frontend
from learnable_frontends.plotting.drawing import (
    COLORS,
    FEATURE_MAP,
    check_frontend,
    import_matplotlib,
    make_axes,
    to_array,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_center_history", "plot_movement"]

UNITS = {"bandwidths": "own bandwidths", "erb": "ERB-rate steps", "hz": "Hz"}


def plot_movement(frontend: Frontend, *, unit: str = "bandwidths", ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw how far each filter has moved from where it started, over its initial center.

    Args:
        frontend: Any front-end.
        unit: Unit of the shift, as in `learnable_frontends.analysis.Movement`: ``"bandwidths"``, ``"erb"`` or ``"hz"``.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``frontend`` is not a front-end.
        ValueError: If ``unit`` is none of the three.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> fig, ax = plot_movement(CosGaussFilterbank(16000, 40))
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('initial center frequency (Hz)', 'shift (own bandwidths)')
    """
    check_frontend("frontend", frontend)
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {tuple(UNITS)}, got {unit!r}")
    moved = movement(frontend)
    initial, shift = to_array(moved.initial), to_array(getattr(moved, unit))
    fig, ax = make_axes(ax, (6.0, 3.5))
    ax.vlines(initial, 0.0, shift, color=COLORS[0], linewidth=1.2)
    ax.plot(initial, shift, "o", color=COLORS[0], markersize=4.0)
    ax.axhline(0.0, color="black", linewidth=0.8)
    ax.set(ylabel=f"shift ({UNITS[unit]})", title=f"Median movement: {np.median(np.abs(shift)):.2g} {UNITS[unit]}")
    ax.set(xlabel="initial center frequency (Hz)", xscale="log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(alpha=0.3)
    return fig, ax


def plot_center_history(
    centers: Tensor, *, times: Sequence[float] | None = None, label: str = "epoch", ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the center of each filter over the course of a training, one line for each filter.

    Args:
        centers: Centers in Hz at successive times, shape ``(times, n_filters)``.
        times: Position of each row on the time axis; ``None`` counts from 0.
        label: Label of the time axis.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``centers`` is not a floating-point tensor.
        ValueError: If ``centers`` has another shape, or ``times`` has another length.

    Example:
        >>> import torch
        >>> fig, ax = plot_center_history(torch.tensor([[100.0, 200.0], [110.0, 190.0]]))
        >>> len(ax.lines), ax.get_ylabel()
        (2, 'center frequency (Hz)')
    """
    floating_tensor("centers", centers)
    if centers.dim() != 2 or not centers.numel() or (times is not None and len(times) != len(centers)):
        got = "" if times is None else f" and {len(times)} times"
        raise ValueError(f"centers must be (times, n_filters), got shape {tuple(centers.shape)}{got}")
    values = to_array(centers)
    fig, ax = make_axes(ax, (6.0, 4.5))
    colors = import_matplotlib().colormaps[FEATURE_MAP](np.linspace(0.0, 0.9, values.shape[1]))
    for color, line in zip(colors, values.T, strict=True):
        ax.plot(range(len(values)) if times is None else times, line, color=color, linewidth=1.0)
    ax.set(xlabel=label, ylabel="center frequency (Hz)", yscale="log", title=f"Centers of {values.shape[1]} filters")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.grid(alpha=0.3)
    return fig, ax
