"""Draw the masks of trained heads: contours over the features of one clip, and the mean mask of each class.

python -m experiments.compare --data esc10 --out runs/esc10 --folds 1 --epochs 30 \
    --win-length 1024 --hop-length 512 --frontends mel+heads cos-gauss+heads
python docs/pictures/masks.py runs/esc10 baby_cry/1-187207-A.ogg
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from palette import reduce_colors

from experiments.masks import HeadsRun, measure
from learnable_frontends.plotting import plot_masks, plot_mean_masks

STATIC = Path(__file__).parents[1] / "_static"
TITLES = {
    "mel": ("Mel: the lower head follows the voice", "Mel: steady sounds get the largest weights"),
    "cos-gauss": ("Cos-Gauss: the upper mask is nearly flat", "Cos-Gauss: the upper head treats classes alike"),
}


def main(runs: Path, clip: str) -> None:
    """Draw both pictures of the first fold for each filterbank."""
    plt.rcParams["font.size"] = 10
    for name, (title, mean_title) in TITLES.items():
        folder = runs / f"{name}+heads" / "fold1-seed0"
        run = HeadsRun(folder, name)
        frontend, (features, labels) = run.frontend, run.features()
        means = measure(frontend.relevance, features, labels)[1]
        classes = [run.classes[label].replace("_", " ") for label in labels.unique().tolist()]

        fig, ax = plt.subplots(figsize=(6, 4), layout="constrained", facecolor="white")
        plot_mean_masks(dict(zip(classes, means, strict=True)), frontend, ax=ax)
        ax.set_ylabel("")
        ax.set_title(mean_title, fontsize=12)
        fig.savefig(STATIC / f"masks_mean_{name}.png", dpi=110)

        drawn = features[run.names.index(clip)]
        fig, axes = plt.subplots(2, 1, figsize=(6, 5), sharex=True, layout="constrained", facecolor="white")
        for ax, head in zip(axes, (1, 0), strict=True):
            plot_masks(frontend.relevance.masks(drawn), frontend, head=head, features=drawn, ax=ax)
            ax.set_title(ax.get_title(), fontsize=10)
            ax.set_ylabel("center (Hz)")
            ax.label_outer()
        fig.suptitle(title, fontsize=12)
        fig.savefig(path := STATIC / f"masks_over_{name}.png", dpi=110)
        reduce_colors(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
