r"""Draw where filters ended on planted sounds: centers and bandwidths after training, a row for each front-end.

for task in planted-high planted-low; do
    python -m experiments.levers --synthetic $task --out runs/$task --folds 1 --seeds 0 \
        --variants mel cos-gauss "cos-gauss, wide to narrow" "learnable mel"
done
python docs/pictures/planted.py runs/planted-high runs/planted-low
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from experiments.data.planted import TASKS
from learnable_frontends.plotting.drawing import COLORS
from learnable_frontends.pretrained import from_pretrained

ROWS = {
    "mel": "mel, fixed",
    "cos-gauss": "cos-Gauss, default width",
    "cos-gauss, wide to narrow": "cos-Gauss, wide to narrow",
    "learnable mel": "learnable mel",
}
TICKS = {"planted-high": (200, 500, 1000, 2000, 4000, 7200), "planted-low": (50, 120, 250, 500, 1000, 2000, 5000)}
LIMITS = {"planted-high": (80, 9000), "planted-low": (40, 9000)}
BLUE, ORANGE = COLORS[:2]


def main(runs: Path, task_name: str, path: Path) -> None:
    """Draw one run of each front-end; a bar is as long as the filter is wide, a gray tick is where it started."""
    task = TASKS[task_name]
    plt.rcParams["font.size"] = 11
    fig, ax = plt.subplots(figsize=(6, 4), layout="constrained", facecolor="white")
    low, high = task.target - task.width / 2, task.target + task.width / 2
    ax.axvspan(low, high, color=ORANGE, alpha=0.5, linewidth=0, zorder=0)
    for row, (name, title) in enumerate(ROWS.items()):
        folder = runs / name / "fold1-seed0"
        accuracy = json.loads((folder / "result.json").read_text("utf-8"))["accuracy"]
        bank = from_pretrained(folder / "frontend")
        centers, widths = bank.center_frequencies.detach(), bank.bandwidths.detach()
        places = [row + 0.06 * (-1) ** i for i in range(len(centers))]  # so that the bars of neighbors do not touch
        starts = bank.as_initialized().center_frequencies.detach()
        ax.plot(starts, [row] * len(centers), "|", color="0.5", markersize=17)
        ax.hlines(places, (centers - widths / 2).clamp(min=25), centers + widths / 2, color=BLUE, linewidth=3)
        ax.plot(centers, places, "o", color=BLUE, markersize=6)
        ax.text(0.02, row - 0.3, f"{title}: {100 * accuracy:.0f} % of clips right", transform=ax.get_yaxis_transform())
    ax.set(xlabel="frequency (Hz)", xscale="log", yticks=[], ylim=(len(ROWS) - 0.6, -0.65), xlim=LIMITS[task_name])
    ax.set_xticks(TICKS[task_name], [f"{tick}" for tick in TICKS[task_name]])
    ax.set_xticks([], minor=True)
    ax.set_title(f"Filters that hear the band at {task.target:g} Hz move into it", fontsize=12)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    for task_name, runs in zip(TASKS, sys.argv[1:], strict=True):
        picture = f"{task_name.replace('-', '_')}.png"
        main(Path(runs), task_name, Path(__file__).parents[1] / "_static" / "learning" / picture)
