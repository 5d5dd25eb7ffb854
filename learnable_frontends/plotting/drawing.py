"""What the pictures share: colors, axes and labels."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from learnable_frontends.frontend import Frontend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

__all__ = ["import_matplotlib", "label_filters", "make_axes", "spread", "to_array"]

# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is too light for a line on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FEATURE_MAP, MASK_MAP = "viridis", "cividis"


def import_matplotlib() -> ModuleType:
    """Import matplotlib, or say which extra brings it."""
    try:
        import matplotlib.figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'learnable_frontends.plotting needs matplotlib: pip install "learnable-frontends[plot]"'
        ) from error
    return matplotlib


def make_axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Give the figure of ``ax``, or a new figure of ``size`` in inches with one, and the axes."""
    if ax is None:
        ax = import_matplotlib().figure.Figure(size, layout="constrained").add_subplot()
    return ax.figure.figure, ax  # of a subfigure, its whole figure


def to_array(values: Tensor) -> Array:
    """Give the values of a tensor."""
    array: Array = values.detach().cpu().double().numpy()
    return array


def spread(n: int, count: int) -> list[int]:
    """At most ``count`` of ``n`` places, evenly spread, both ends among them."""
    return [int(place) for place in np.linspace(0, n - 1, min(n, count)).round()]


def label_filters(axis: Axis, frontend: Frontend, rows: Sequence[int], count: int) -> None:
    """Label up to ``count`` of the rows of a picture, filters of ``frontend``, by their centers in Hz."""
    ticks, centers = spread(len(rows), count), to_array(frontend.center_frequencies)
    axis.set_ticks(ticks, [f"{centers[rows[tick]]:.0f}" for tick in ticks])
    axis.set_label_text("center frequency (Hz)")
