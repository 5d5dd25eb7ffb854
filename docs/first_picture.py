"""Draw the picture of the README: filters that started as mel, and what a planted task made of them.

python -m experiments.levers --out runs/planted-high --variants mel "learnable mel" --folds 1
python docs/first_picture.py runs/planted-high
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from learnable_frontends.pretrained import from_pretrained

BLUE, ORANGE = "#0072B2", "#D55E00"
BAND = 7100.0, 7300.0  # experiments.data.planted


def main(runs: Path, path: Path) -> None:
    """Draw the gains before and after, with the accuracy of each."""
    accuracies = {
        name: json.loads((runs / name / "fold1-seed0" / "result.json").read_text("utf-8"))["accuracy"]
        for name in ("mel", "learnable mel")
    }
    learned = from_pretrained(runs / "learnable mel" / "fold1-seed0" / "frontend")
    kilohertz = torch.linspace(0, 8, 2049)
    fig, axes = plt.subplots(2, 1, figsize=(7.2, 4.2), sharex=True, layout="constrained")
    for ax, bank, color in (
        (axes[0], learned.as_initialized(), "0.45"),
        (axes[1], learned, BLUE),
    ):
        gains = bank.power_response(4096).detach()
        ax.plot(kilohertz, gains.mT, color=color, linewidth=1.5)
        ax.axvspan(*(edge / 1000 for edge in BAND), color=ORANGE, alpha=0.6, linewidth=0)
        ax.set_ylabel("gain")
        ax.set_ylim(0, 1.1 * float(gains.max()))
    axes[0].set_title(f"Eight mel filters: {100 * accuracies['mel']:.0f} % of clips right", fontsize=11)
    title = f"The same eight after training: {100 * accuracies['learnable mel']:.0f} %"
    axes[1].set_title(title, fontsize=11)
    arrow = {"arrowstyle": "->", "color": ORANGE}
    axes[1].annotate("the class lies\nin this band", (7.1, 0.8), (5.7, 0.72), color=ORANGE, arrowprops=arrow)
    axes[1].set(xlabel="frequency (kHz)", xlim=(0, 8))
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "_static" / "learned_band.png")
