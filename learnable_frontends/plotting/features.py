"""A plot of the features of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from learnable_frontends.frontend import Frontend
from learnable_frontends.plotting.drawing import (
    FEATURE_MAP,
    check_clip,
    check_frontend,
    draw_image,
    feature_label,
    make_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_features"]


def plot_features(
    features: Tensor, frontend: Frontend, *, hop_length: int | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw the features of one clip as an image over time; the rows are labeled with their center frequencies.

    Args:
        features: Shape ``(n_filters, frames)``, from ``frontend`` or a later stage.
        frontend: The front-end, which defines the sample rate, the hop and the centers.
        hop_length: Samples from frame to frame, if a later stage such as pooling has changed it; ``None`` means the hop
            of ``frontend``.
        ax: Axes to draw into; ``None`` makes a figure.

    Returns:
        The figure and its axes.

    Raises:
        TypeError: If ``features`` is not a floating-point tensor, or ``frontend`` is not a front-end.
        ValueError: If ``features`` is not one clip of ``n_filters`` filters, or has no frames.

    Example:
        >>> import torch
        >>> from learnable_frontends import CosGaussFilterbank
        >>> frontend = CosGaussFilterbank(16000, 40)
        >>> fig, ax = plot_features(frontend(torch.randn(16000)), frontend)
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('time (s)', 'center frequency (Hz)')
    """
    check_frontend("frontend", frontend)
    check_clip("features", features, frontend)
    fig, ax = make_axes(ax, (7.0, 3.5))
    rows, label = range(frontend.n_filters), feature_label(frontend)
    draw_image(ax, features, frontend, rows, hop_length, label=label, cmap=FEATURE_MAP)
    ax.set_title("Features")
    return fig, ax
