"""Measure what makes filters learn, and what that gains, by changing one thing at a time.

Without --data the sounds are synthetic: classes differ in one narrow band, and the table states how many filters ended
in it and how far they moved. With --data DIR it states how far the median filter moved. Each variant differs from the
base in one thing. Writes levers.md, .csv, .json and .png to --out. Run the command again to resume it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.data.planted import TASKS, Task
from experiments.figures import save
from experiments.grid import Variant
from experiments.lever_variants import LEVERS, make_variants
from experiments.options import build_parser, conduct, fill
from experiments.reporting import by_variant, report_variants, summarize
from experiments.runs import Result
from experiments.tables import Row, standard_columns
from learnable_frontends.plotting.drawing import COLORS

# Of generated sounds, in place of those of other experiments; the lengths of frames are the task's.
GENERATED: dict[str, Any] = {
    "sample_rate": 16000, "seconds": 1.0, "limit": 100, "n_filters": 8, "epochs": 30, "mixup": 0.0
}  # fmt: skip
HELP = {
    "seconds": "clip length in s (default: fits 9 in 10, at most 10; generated: 1)",
    "limit": "clips per class (default: all; generated: 100)",
    "n_filters": "filters (default: 80 with --data, else 8)",
    "win_length": "samples per frame (default: 25 ms; planted-low: 100 ms)",
    "hop_length": "samples from frame to frame (default: 10 ms; planted-low: 25 ms)",
    "kernel_size": "sinc, cos-gauss: taps, odd (default: 16 ms; planted-low: 63 ms)",
    "epochs": "passes over the clips (default: 25 with --data, else 30)",
    "mixup": "Beta parameter, 0: none (default: 0.4 with --data, else 0)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train every variant and report; see the module's docstring and ``--help``."""
    parser = build_parser(__doc__, "runs/levers")
    parser.set_defaults(synthetic="planted-high", frontend_lr=0.03, mixup=None)
    for action in parser._actions:
        action.help = HELP.get(action.dest, action.help)
    group = parser.add_argument_group("compared")
    group.add_argument(
        "--variants",
        nargs="+",
        default=list(LEVERS),
        choices=LEVERS,
        metavar="NAME",
        help="variants to train (default: all of --list)",
    )
    group.add_argument(
        "--reference",
        default="mel",
        choices=LEVERS,
        metavar="NAME",
        help="variant to compare with (default: %(default)s)",
    )
    group.add_argument("--list", action="version", version="\n".join(LEVERS), help="list the variants and exit")
    args = parser.parse_args(argv)
    task = None if args.data is not None else TASKS.get(args.synthetic)
    if args.data is None:
        rate = args.sample_rate or GENERATED["sample_rate"]
        lengths = {} if task is None else task.lengths
        samples = {name: 2 * (int(length * rate) // 2) + (name == "kernel_size") for name, length in lengths.items()}
        fill(args, **GENERATED, **samples)
    fill(args, mixup=0.4)

    def variants(args: argparse.Namespace, n_classes: int) -> list[Variant]:
        return make_variants(args.variants, args, n_classes)

    return conduct("experiments.levers", args, variants, partial(_report, reference=args.reference, task=task))


def _report(results: Sequence[Result], out: Path, *, reference: str, task: Task | None) -> str:
    rows = summarize(results, reference)
    columns = standard_columns(reference)
    chosen = ["front-end", "accuracy %", f"minus {reference}", "p", "q", "moved"]
    moved = ["moved: how far the median filter is from where it started, in bandwidths that it has now"]
    if task is not None:
        for row, own in zip(rows, by_variant(results).values(), strict=True):
            _look_at_band(row, own, task)
        chosen.insert(5, "in band")
        columns["in band"] = lambda row: f"{row['filters_in_band']:.1f}"
        moved = [
            f"in band: filters of a run with a center within {task.width:g} Hz of {task.target:g} Hz",
            "moved: how far those are from where they started, in bandwidths that they have now, median over all runs",
        ]
    _draw_centers(results, task, out / "levers.png")
    chosen_columns = {title: columns[title] for title in chosen}
    return report_variants(out / "levers", rows, chosen_columns, results, reference, *moved)


def _look_at_band(row: Row, own: Sequence[Result], task: Task) -> None:
    """Add the filters that ended in the band to a row, and count their movement alone."""
    shifts = [
        [
            abs(shift)
            for center, shift in zip(result.values["centers"], result.values["moved_bandwidths"], strict=True)
            if abs(center - task.target) < task.width
        ]
        for result in own
    ]
    together = [shift for of_run in shifts for shift in of_run]
    row["filters_in_band"] = statistics.fmean(map(len, shifts))
    row["moved_bandwidths"] = statistics.median(together) if together else None


def _draw_centers(results: Sequence[Result], task: Task | None, path: Path) -> None:
    """Draw every center of every run, a row a front-end, the color its run's accuracy; and the target."""
    groups = by_variant(results)
    lowest, centers = 100 * min(r.accuracy for r in results), [c for r in results for c in r.values["centers"]]
    fig = Figure(figsize=(8.0, 1.4 + 0.32 * len(groups)), layout="constrained")
    ax = fig.add_subplot()
    for row, own in enumerate(groups.values()):
        for i, result in enumerate(own):
            x = result.values["centers"]
            y, color = [row + 0.7 * ((i + 0.5) / len(own) - 0.5)] * len(x), [100 * result.accuracy] * len(x)
            dots = ax.scatter(x, y, c=color, s=14, cmap="cividis", vmin=lowest, vmax=100)
    title = "Where filters went"
    if task is not None:
        low, high = task.target - task.width / 2, task.target + task.width / 2
        ax.axvspan(low, high, color=COLORS[1], alpha=0.5, linewidth=0, zorder=0)
        title += f"; the class lies in the band at {task.target:g} Hz"
    ax.set(xlabel="center frequency after training (Hz)", xscale="log", yticks=range(len(groups)), yticklabels=groups)
    ax.set_xticks(ticks := [50, 100, 200, 500, 1000, 2000, 5000, 10000], [f"{tick}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(min(centers) / 1.2, 1.2 * max(centers))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_title(title, fontsize=10)
    fig.colorbar(dots, label="accuracy, %")
    save(fig, path)


if __name__ == "__main__":
    sys.exit(main())
