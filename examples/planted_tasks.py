"""Can a front-end find what is known to be there? Sounds with the class in one narrow band, few filters.

Everything but the front-end is the same in each line of the table: mel; cos-Gauss with its centers fixed on the mel
scale, learned, and learned together with its widths from kernels of half a period; sinc. The table says how many
filters ended in the target's band and how far those moved.

Everything goes to --out: planted.md, .csv, .json and .png, and the cells. The same command run again goes on where it
was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import _environment  # noqa: F401 - before torch
import numpy as np
from experiment import Variant, build_parser, conduct
from matplotlib.figure import Figure
from planted_sounds import TASKS, Task
from reporting import (
    Accuracies,
    accuracies,
    accuracy_of,
    markdown_table,
    mean_and_spread,
    paired_difference,
    plain_table,
    plus_minus,
    write_csv,
)
from scipy.stats import ttest_rel
from sound_folders import SoundSet
from training import load_model

from learnable_frontends.movement import movement
from learnable_frontends.plotting.drawing import COLORS

WIDE = {"width": 0.5}
VARIANTS = [
    Variant("mel", "mel", {}),
    Variant("sinc", "sinc", {}),
    Variant("cos-gauss, fixed", "cos-gauss", {}, frontend_lr=0.0),
    Variant("cos-gauss", "cos-gauss", {}),
    Variant("cos-gauss, wide", "cos-gauss", {}, settings=WIDE),
    Variant("cos-gauss, wide to narrow", "cos-gauss", {}, settings={**WIDE, "learn_width": True}),
]


def main(argv: list[str] | None = None) -> int:
    """Run the tasks; see the module's docstring and ``--help``."""
    parser = build_parser(__doc__, "runs/planted")
    parser.set_defaults(
        synthetic="planted-high", seconds=1.0, limit=100, n_filters=8, epochs=30, frontend_lr=0.03, mixup=0.0
    )
    args = parser.parse_args(argv)
    if args.data is not None or args.synthetic not in TASKS:
        parser.error(f"--synthetic must be one of {', '.join(TASKS)}, without --data (their answer is known)")
    task = TASKS[args.synthetic]
    args.sample_rate = args.sample_rate or 16000
    for name, seconds in task.lengths.items():
        if getattr(args, name) is None:
            setattr(args, name, 2 * (int(seconds * args.sample_rate) // 2) + (name == "kernel_size"))

    def report(results: list[dict[str, Any]], sounds: SoundSet, out: Path) -> str:
        del sounds
        return _report(results, task, out)

    return conduct("planted_tasks.py", args, _variants, report)


def _variants(args: argparse.Namespace) -> list[Variant]:
    del args
    return VARIANTS


def _report(results: list[dict[str, Any]], task: Task, out: Path) -> str:
    """Write everything but the cells into ``out``, and give the table for the screen."""
    cells = [_cell(result, task) for result in results]
    by_name = {name: accuracies([r for r in results if r["variant"] == name]) for name in dict.fromkeys(_names(cells))}
    rows = []
    for name, values in by_name.items():
        own = [cell for cell in cells if cell["variant"] == name]
        accuracy, spread = mean_and_spread(list(values.values()))
        difference, error = paired_difference(values, by_name["mel"])
        moved = [shift for cell in own for shift in cell["moved_bandwidths"]]
        rows.append(
            {
                "front-end": name,
                "accuracy": accuracy,
                "spread": spread,
                "minus_mel": difference,
                "minus_mel_standard_error": error,
                "p": _p_value(values, by_name["mel"]),
                "filters_in_band": float(np.mean([len(cell["moved_bandwidths"]) for cell in own])),
                "their_median_shift": float(np.median(np.abs(moved))) if moved else None,
                "cells": len(own),
            }
        )
    (out / "planted.json").write_text(json.dumps({"rows": rows, "cells": cells}, indent=2) + "\n")
    write_csv(out / "planted.csv", rows)
    table = _table(rows)
    (out / "planted.md").write_text(markdown_table(table))
    _figure(cells, task, out / "planted.png")
    return "\n".join(
        [
            plain_table(table),
            "",
            f"{len(cells)} cells (folds x seeds x front-ends); accuracy of the last epoch on held-out folds. In band:",
            f"filters with a center within {task.width:g} Hz of {task.target:g} Hz; their shift from where they began,",
            "in bandwidths that they have now, median over filters and cells. p: paired t-test against mel.",
            f"Tables and picture: {', '.join(str(out / f'planted.{x}') for x in ('md', 'csv', 'json', 'png'))}",
        ]
    )


def _names(cells: list[dict[str, Any]]) -> list[str]:
    return [cell["variant"] for cell in cells]


def _p_value(values: Accuracies, reference: Accuracies) -> float | None:
    """Of a paired t-test over folds and seeds; ``None`` where differences do not vary or there are too few."""
    paired = [(value, reference[cell]) for cell, value in values.items() if cell in reference]
    if len({round(value - other, 9) for value, other in paired}) < 2:
        return None
    return float(ttest_rel(*zip(*paired, strict=True)).pvalue)


def _cell(result: dict[str, Any], task: Task) -> dict[str, Any]:
    moved = movement(load_model(result)[0])
    inside = (moved.current - task.target).abs() < task.width
    return {
        "variant": result["variant"],
        "fold": result["fold"],
        "seed": result["seed"],
        "accuracy": accuracy_of(result),
        "centers": moved.current.tolist(),
        "moved_bandwidths": moved.bandwidths[inside].tolist(),
    }


def _table(rows: list[dict[str, Any]]) -> list[list[str]]:
    lines = [
        [
            row["front-end"],
            plus_minus(row["accuracy"], row["spread"]),
            plus_minus(row["minus_mel"], row["minus_mel_standard_error"], sign="+"),
            "-" if row["p"] is None else f"{row['p']:.1g}",
            f"{row['filters_in_band']:.1f}",
            "-" if row["their_median_shift"] is None else f"{row['their_median_shift']:.1f}",
        ]
        for row in rows
    ]
    return [["front-end", "accuracy %", "minus mel", "p", "in band", "their shift"], *lines]


def _figure(cells: list[dict[str, Any]], task: Task, path: Path) -> None:
    """Every center of every cell against the target, a row a front-end, the color its cell's accuracy."""
    names = list(dict.fromkeys(_names(cells)))
    fig = Figure(figsize=(7.0, 1.4 + 0.5 * len(names)), layout="constrained")
    ax = fig.add_subplot()
    for row, name in enumerate(names):
        own = [cell for cell in cells if cell["variant"] == name]
        for i, cell in enumerate(own):
            place = row + 0.7 * ((i + 0.5) / len(own) - 0.5)
            dots = ax.scatter(
                cell["centers"],
                [place] * len(cell["centers"]),
                c=[100 * cell["accuracy"]] * len(cell["centers"]),
                s=14,
                cmap="cividis",
                vmin=25,
                vmax=100,
            )
    low, high = task.target - task.width / 2, task.target + task.width / 2
    ax.axvspan(low, high, color=COLORS[1], alpha=0.5, linewidth=0, zorder=0)
    ax.set(xlabel="center frequency after training (Hz)", xscale="log", yticks=range(len(names)), yticklabels=names)
    ax.set_xticks(ticks := [100, 200, 500, 1000, 2000, 5000], [f"{tick}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(min(min(cell["centers"]) for cell in cells) / 1.2, 1.2 * max(max(cell["centers"]) for cell in cells))
    ax.invert_yaxis()
    ax.set_title(f"Where filters went; the class lies in the band at {task.target:g} Hz", fontsize=10)
    fig.colorbar(dots, label="accuracy, %")
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
