"""Draw accuracy minus that of mel against the number of filters, from docs/evidence/by_filters.csv.

python docs/pictures/by_filters.py
"""

import re
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import NullLocator

from experiments.files import read_table
from learnable_frontends.plotting.drawing import COLORS, MARKERS

DOCS = Path(__file__).parents[1]
LABELS = {
    "mel, heads": "mel with heads (withdrawn)",
    "cos-gauss, fixed": "cos-Gauss, fixed",
    "cos-gauss": "cos-Gauss, learned",
    "cos-gauss, wide to narrow": "cos-Gauss, wide to narrow",
}


def main() -> None:
    """Draw a panel for each set, one above the other."""
    path = DOCS / "evidence" / "by_filters.csv"
    rows = [row for _, row in read_table(path, ("set", "filters", "front-end", "minus mel"))]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    plt.rcParams["font.size"] = 11
    fig, axes = plt.subplots(len(sets), 1, figsize=(6, 6.4), sharey=True, layout="constrained", facecolor="white")
    for ax, kind in zip(axes, sets, strict=True):
        ax.axhline(0, color="0.3", linewidth=1)
        for i, (name, label) in enumerate(LABELS.items()):
            own = [row for row in rows if (row["set"], row["front-end"]) == (kind, name)]
            # Side by side, so that intervals do not hide each other.
            places = [int(row["filters"]) * 1.05 ** (i - 1.5) for row in own]
            middle, low, high = zip(
                *(map(float, re.findall(r"[+-][\d.]+", row["minus mel"])) for row in own), strict=True
            )
            below = [a - b for a, b in zip(middle, low, strict=True)]
            above = [a - b for a, b in zip(high, middle, strict=True)]
            style = {"fmt": MARKERS[i], "color": COLORS[i], "capsize": 3, "label": label}
            ax.errorbar(places, middle, [below, above], **style)
        ticks = sorted({int(row["filters"]) for row in rows if row["set"] == kind})
        ax.set(title=kind, xscale="log", xlim=(6.5, 98), ylabel="accuracy minus mel (points)")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[-1].set_xlabel("number of filters")
    fig.suptitle("No learned filterbank is reliably above mel", fontsize=12)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=10)
    fig.savefig(DOCS / "_static" / "learning" / "by_filters.png", dpi=110)


if __name__ == "__main__":
    main()
