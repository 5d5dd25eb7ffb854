"""A plot of where classes differ in frequency, with the filters of filterbanks above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from learnable_frontends.analysis import BandInformation
from learnable_frontends.frontend import Frontend
from learnable_frontends.plotting.drawing import COLORS, MARKERS, check_frontend, import_matplotlib, make_axes, to_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_band_information"]


def plot_band_information(
    information: BandInformation,
    frontends: Mapping[str, Frontend] | None = None,
    *,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw how much classes differ at each frequency, and above that a row with the centers of each front-end.

    Args:
        information: The result of `analysis.band_information`.
        frontends: Front-ends by label, for comparison; ``None`` means none.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``information`` is not an `analysis.BandInformation`, or one of ``frontends`` is not a front-end.

    Example:
        >>> import torch
        >>> from learnable_frontends import MelFrontend
        >>> information = BandInformation(torch.linspace(0, 8000, 257), torch.ones(257))
        >>> fig, ax = plot_band_information(information, {"mel": MelFrontend(16000, 16)})
        >>> ax.get_ylabel()
        'variance ratio (between / within classes)'
    """
    if not isinstance(information, BandInformation):
        raise TypeError(f"information must be a BandInformation, got {type(information).__name__}")
    frontends = {} if frontends is None else frontends
    for name, frontend in frontends.items():
        check_frontend(f"frontends[{name!r}]", frontend)
    fig, ax = make_axes(ax, (7.0, 3.6 + 0.2 * len(frontends)))
    frequencies, ratio = (to_array(values)[1:] for values in information)
    ax.fill_between(frequencies, ratio, color="0.75", linewidth=0)
    ax.plot(frequencies, ratio, color="0.25", linewidth=1.2)
    top = max(float(ratio.max()), 1e-9)
    for row, (name, frontend) in enumerate(frontends.items()):
        centers, height = to_array(frontend.center_frequencies), top * (1.08 + 0.1 * row)
        marker, color = MARKERS[row % len(MARKERS)], COLORS[row % len(COLORS)]
        ax.plot(centers, [height] * len(centers), marker, color=color, markersize=4, label=name)
    lowest = min(
        [max(frequencies[0], 40.0), *(float(to_array(f.center_frequencies).min()) for f in frontends.values())]
    )
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(import_matplotlib().ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    ax.set(xlabel="frequency (Hz)", ylabel="variance ratio (between / within classes)")
    ax.set_title(f"Classes differ most near {float(f'{frequencies[ratio.argmax()]:.2g}'):,.0f} Hz")
    ax.set(xlim=(0.9 * lowest, frequencies[-1]), ylim=(0, top * (1.1 + 0.1 * len(frontends))))
    ax.grid(alpha=0.3)
    if frontends:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True, fontsize=9)
    return fig, ax
