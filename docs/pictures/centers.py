"""Draw how far centers moved in a comparison, over where they started.

python -m experiments.compare --data esc10 --out runs/esc10 --folds 1 --epochs 30 \
    --win-length 1024 --hop-length 512 --frontends sinc cos-gauss
python docs/pictures/centers.py runs/esc10 "ESC-10" center_frequencies.png

The runs of the recipe have folders of the same form: runs/recipe-esc10 in docs/evidence/results.md.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from learnable_frontends.analysis import movement
from learnable_frontends.plotting.drawing import COLORS, MARKERS
from learnable_frontends.pretrained import from_pretrained

LABELS = {"sinc": "sinc", "cos-gauss": "cos-Gauss", "cos-gauss-heads": "cos-Gauss, heads"}


def main(runs: Path, sounds: str, path: Path) -> None:
    """Draw the shift of each filter of the first fold in percent of its first center."""
    plt.rcParams["font.size"] = 11
    fig, ax = plt.subplots(figsize=(6, 4), layout="constrained", facecolor="white")
    ax.axhline(0, color="0.3", linewidth=1)
    medians = []
    trained = [(name, label) for name, label in LABELS.items() if (runs / name).is_dir()]
    for i, (name, label) in enumerate(trained):
        moved = movement(from_pretrained(runs / name / "fold1-seed0" / "frontend"))
        percent = 100 * moved.hz / moved.initial
        medians.append(f"{percent.abs().median():.1f}")
        ax.plot(moved.initial, percent, MARKERS[i], color=COLORS[i], label=label, markersize=5, alpha=0.8)
    ax.set(xscale="log", xlabel="center before training (Hz)", ylabel="shift (% of the center)")
    ax.set_yscale("symlog", linthresh=10)
    ticks = [-50, -20, -10, -5, 0, 5, 10, 20, 50]
    ax.set_yticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    moves = f"{', '.join(medians[:-1])} and {medians[-1]}"
    ax.set_title(f"{sounds}: the median filter moved by {moves} %", fontsize=12)
    ax.grid(color="0.9")
    fig.legend(fontsize=10, loc="outside lower center", ncols=len(trained))
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(__file__).parents[1] / "_static" / sys.argv[3])
