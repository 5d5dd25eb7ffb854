"""Draw the picture of the start page: eight filters that start as mel, before and after training on planted sounds.

python -m experiments.levers --out runs/planted-high --variants mel "learnable mel" --folds 1
python docs/pictures/learned_band.py runs/planted-high
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from learnable_frontends.plotting.drawing import COLORS
from learnable_frontends.pretrained import from_pretrained

BLUE, ORANGE = COLORS[:2]
BAND = 7100.0, 7300.0  # experiments.data.planted


def main(runs: Path, path: Path) -> None:
    """Draw the gains of the filters before training above those after training."""
    learned = from_pretrained(runs / "learnable mel" / "fold1-seed0" / "frontend")
    kilohertz = torch.linspace(0, 8, 2049)
    plt.rcParams["font.size"] = 11
    fig, axes = plt.subplots(2, 1, figsize=(6, 4.4), sharex=True, layout="constrained", facecolor="white")
    for ax, bank, color, title in (
        (axes[0], learned.as_initialized(), "0.45", "Eight mel filters blur the band of the class"),
        (axes[1], learned, BLUE, "After training, one filter covers just that band"),
    ):
        gains = bank.power_response(4096).detach()
        ax.plot(kilohertz, gains.mT, color=color, linewidth=1.5)
        ax.axvspan(*(edge / 1000 for edge in BAND), color=ORANGE, alpha=0.6, linewidth=0)
        ax.set(ylabel="gain", ylim=(0, 1.1 * float(gains.max())))
        ax.set_title(title, fontsize=12)
    arrow = {"arrowstyle": "->", "color": ORANGE}
    axes[1].annotate("band of\nthe class", (7.1, 0.85), (5.5, 0.72), color=ORANGE, arrowprops=arrow)
    axes[1].set(xlabel="frequency (kHz)", xlim=(0, 8))
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parents[1] / "_static" / "learned_band.png")
