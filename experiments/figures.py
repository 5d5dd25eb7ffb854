"""Plots that several experiments share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure


def save(fig: Figure, path: Path, dpi: int = 110) -> None:
    """Write a picture, make its folder, and free what pyplot keeps of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=dpi)
    plt.close(fig)


def draw_confusion(pairs: Iterable[tuple[int, int]], classes: Sequence[str], title: str) -> Figure:
    """Draw pairs of true and predicted class: the color is the share of the true class, the number counts clips."""
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, tuple(np.array(list(pairs)).T), 1)
    size = min(20.0, 3.5 + 0.4 * len(classes))
    fig = Figure(figsize=(size + 1, size), layout="constrained")
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
