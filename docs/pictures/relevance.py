"""Draw the paper's Fig. 3 of a run with heads: one clip from its mel spectrogram to its weighted features.

python -m experiments.compare --data esc10 --out runs/esc10 --folds 1 --epochs 30 \
    --win-length 1024 --hop-length 512 --frontends mel+heads cos-gauss+heads
python docs/pictures/relevance.py "runs/esc10/mel+heads/fold1-seed0" \
    esc10/baby_cry/1-187207-A.ogg "TITLE" esc10_relevance_mel+heads.png

The commands that train the other runs stand below their tables in docs/evidence/results.md.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from palette import reduce_colors

from experiments.paper_figures import read_clip
from learnable_frontends.plotting import plot_relevance
from learnable_frontends.pretrained import from_pretrained

HEIGHTS = [1, 1, 0.6, 0.6, 1]


def main(run: Path, clip: Path, title: str, path: Path) -> None:
    """Draw the stages from top to bottom and write a picture of 256 colors."""
    frontend = from_pretrained(run / "frontend")
    plt.rcParams["font.size"] = 10
    fig, axes = plt.subplots(
        len(HEIGHTS), 1, figsize=(6, 7.6), sharex=True, height_ratios=HEIGHTS, layout="constrained", facecolor="white"
    )
    plot_relevance(frontend, read_clip(clip, run), axes=axes)
    for ax in axes:
        ax.set_title(ax.get_title(), fontsize=10)
        ax.label_outer()
    fig.suptitle(title, fontsize=12)
    fig.savefig(path, dpi=110)
    reduce_colors(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(__file__).parents[1] / "_static" / sys.argv[4])
