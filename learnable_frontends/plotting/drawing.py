"""The parts that all plots share: figures, colors, labels, the image of a clip, and checks of arguments."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from learnable_frontends._checks import floating_tensor
from learnable_frontends.compression import Decibels, Log
from learnable_frontends.frontend import Frontend
from learnable_frontends.relevance import MultiHeadRelevance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

__all__ = [
    "check_clip",
    "check_frontend",
    "check_heads",
    "draw_image",
    "feature_label",
    "import_matplotlib",
    "innermost",
    "label_filters",
    "make_axes",
    "make_figure",
    "spread",
    "to_array",
]

# Okabe and Ito, "Color Universal Design" (2008), without its yellow, which is too light for a line on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FEATURE_MAP, MASK_MAP = "viridis", "cividis"


def import_matplotlib() -> ModuleType:
    """Import and return matplotlib, or raise an error that names the extra."""
    try:
        import matplotlib.figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'learnable_frontends.plotting needs matplotlib: pip install "learnable-frontends[plot]"'
        ) from error
    return matplotlib


def make_figure(size: tuple[float, float]) -> Figure:
    """Make a figure of ``size`` in inches with pyplot, since a notebook shows no other figures."""
    import_matplotlib()
    from matplotlib import pyplot

    return pyplot.figure(figsize=size, layout="constrained")


def make_axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return ``ax`` with its figure, or the axes of a new figure of ``size`` in inches."""
    if ax is None:
        ax = make_figure(size).add_subplot()
    return ax.figure.figure, ax  # for axes in a subfigure, the whole figure


def to_array(values: Tensor) -> Array:
    """Return the values of a tensor of any floating-point type, on any device, as a float64 array."""
    array: Array = values.detach().cpu().double().numpy()
    return array


def spread(n: int, count: int) -> list[int]:
    """Return at most ``count`` of ``n`` indices, evenly spread and including both ends."""
    return [int(index) for index in np.linspace(0, n - 1, min(n, count)).round()]


def innermost(frontend: Frontend) -> Frontend:
    """Return the front-end inside all relevance heads, which may be nested; without heads, ``frontend`` itself."""
    while isinstance(frontend, MultiHeadRelevance):
        frontend = frontend.frontend
    return frontend


def feature_label(frontend: Frontend) -> str:
    """Return the name of the features of a front-end, with their unit if they have one."""
    compression = getattr(innermost(frontend), "compression", None)
    name = {Log: "log energy", Decibels: "energy (dB)"}.get(type(compression), "feature")
    return f"weighted {name}" if isinstance(frontend, MultiHeadRelevance) else name


def label_filters(axis: Axis, frontend: Frontend, rows: Sequence[int], count: int) -> None:
    """Label up to ``count`` of the rows of a plot, which are filters of ``frontend``, with their centers in Hz."""
    ticks, centers = spread(len(rows), count), to_array(frontend.center_frequencies)
    axis.set_ticks(ticks, [f"{centers[rows[tick]]:.0f}" for tick in ticks])
    axis.set_label_text("center frequency (Hz)")


def draw_image(
    ax: Axes, values: Tensor, frontend: Frontend, rows: Sequence[int], hop_length: int | None, label: str, **style: Any
) -> None:
    """Draw an image with a row for each filter over time in seconds. Each pixel is centered on its frame."""
    hop = (frontend.hop_length if hop_length is None else hop_length) / frontend.sample_rate
    first = frontend.first_frame_center / frontend.sample_rate
    extent = (first - 0.5 * hop, first + (values.shape[-1] - 0.5) * hop, -0.5, len(rows) - 0.5)
    image = ax.imshow(to_array(values), extent=extent, origin="lower", aspect="auto", **style)
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02)
    label_filters(ax.yaxis, frontend, rows, 5)
    ax.set_xlabel("time (s)")


def check_frontend(name: str, frontend: object) -> None:
    """Raise an error unless an argument is a front-end."""
    if not isinstance(frontend, Frontend):
        raise TypeError(f"{name} must be a Frontend such as CosGaussFilterbank, got {type(frontend).__name__}")


def check_heads(frontend: object) -> None:
    """Raise an error unless ``frontend`` has relevance heads."""
    if not isinstance(frontend, MultiHeadRelevance):
        name = type(frontend).__name__
        raise TypeError(f"frontend must be a MultiHeadRelevance, got {name} (MultiHeadRelevance(frontend) adds heads)")


def check_clip(name: str, values: Tensor, frontend: Frontend) -> None:
    """Raise an error unless features or masks are those of one clip with at least one frame."""
    floating_tensor(name, values)
    shape = tuple(values.shape)
    if values.dim() != 2 or values.shape[0] != frontend.n_filters:
        raise ValueError(f"{name} must have shape ({frontend.n_filters}, frames), one clip, got shape {shape}")
    if not values.shape[1]:
        raise ValueError(f"{name} must have at least one frame, got shape {shape}")
