"""Draw what changing one factor of the relevance heads does on ESC-10, from docs/evidence/ablations.csv.

python docs/pictures/ablations.py
"""

import re
from pathlib import Path

import matplotlib.pyplot as plt

from experiments.files import read_table
from learnable_frontends.plotting.drawing import COLORS

DOCS = Path(__file__).parents[1]
BLUE, ORANGE = COLORS[:2]
FACTORS = ("heads", "context", "augmentation", "first-layer", "split", "skip")
NAMES = {
    ("heads", "none"): "no heads",
    ("heads", "1"): "1 head",
    ("heads", "all"): "80 heads",
    ("augmentation", "none"): "no masks and crops",
    ("augmentation", "non-aligned"): "masks not aligned",
    ("first-layer", "conv"): "conv first layer",
    ("split", "even-odd"): "even-odd split",
    ("skip", "no"): "no skip connection",
}


def main() -> None:
    """Draw a row for each variant: its difference from the base with its standard error."""
    path = DOCS / "evidence" / "ablations.csv"
    rows = [row for _, row in read_table(path, (*FACTORS, "minus base"))][1:]  # the first is the base
    plt.rcParams["font.size"] = 11
    fig, ax = plt.subplots(figsize=(6, 5), layout="constrained", facecolor="white")
    labels = []
    for i, row in enumerate(rows):
        factor = next(factor for factor in FACTORS if row[factor] != "·")
        labels.append(
            NAMES.get((factor, row[factor]), f"{row[factor]} heads" if factor == "heads" else f"context {row[factor]}")
        )
        middle, error = map(float, re.findall(r"[+-]?[\d.]+", row["minus base"]))
        color = ORANGE if middle > 3 else BLUE
        ax.errorbar(middle, i, xerr=error, fmt="o", color=color, capsize=3)
    ax.axvline(0, color="0.3", linewidth=1)
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel="accuracy minus the base's (points, ± standard error)", ylim=(len(labels) - 0.4, -0.6))
    ax.set_title("Only leaving masks and crops out is clearly better", fontsize=12)
    ax.grid(axis="x", color="0.9")
    fig.savefig(DOCS / "_static" / "esc10_ablations.png", dpi=110)


if __name__ == "__main__":
    main()
