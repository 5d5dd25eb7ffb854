"""Draw which classes cos-Gauss takes for which on ESC-10, all folds together.

python -m experiments.compare --data esc10 --out runs/esc10 --epochs 30 \
    --win-length 1024 --hop-length 512 --frontends cos-gauss
python docs/pictures/confusion.py runs/esc10/confusion_cos-gauss.csv
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from experiments.files import read_table


def main(source: Path, path: Path) -> None:
    """Draw counts of clips; the title names the two classes that are mistaken for each other most often."""
    rows = [row for _, row in read_table(source, ("true",))]
    names = [row.pop("true") for row in rows]
    counts = np.array([[int(row[name]) for name in names] for row in rows])
    both = np.triu(counts + counts.T, 1)
    one, other = (names[k].replace("_", " ") for k in np.unravel_index(both.argmax(), both.shape))
    wrong = counts.sum() - counts.trace()
    plt.rcParams["font.size"] = 11
    fig, ax = plt.subplots(figsize=(6, 5.4), layout="constrained", facecolor="white")
    ax.imshow(np.sqrt(counts), cmap="Blues")
    for i, j in np.argwhere(counts):
        color = "white" if counts[i, j] > 0.5 * counts.max() else "black"
        ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=color, fontsize=10)
    labels = [name.replace("_", " ") for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), labels)
    ax.set(xlabel="predicted", ylabel="true (clips)")
    ax.set_title(f"{both.max()} of {wrong} mistakes are between {one} and {other}", fontsize=12)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parents[1] / "_static" / "esc10_confusion_cos-gauss.png")
