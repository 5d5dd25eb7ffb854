"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def draw_confusion(counts: np.ndarray[Any, Any], classes: Sequence[str], title: str) -> Figure:
    """Draw counts, shape ``(true, predicted)``: color for the share of the true class, numbers for clips."""
    fig = Figure(figsize=(7.5, 6.5), layout="constrained")
    ax = fig.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    image = ax.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for i, j in np.argwhere(counts):
        color = "black" if shares[i, j] > 0.5 else "white"
        ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=color, fontsize=8)
    ax.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    fig.colorbar(image, ax=ax, label="share of the true class")
    return fig
