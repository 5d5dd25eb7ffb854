"""What makes filters learn, and what is it worth? Each lever alone, on sounds whose answer is known, or on yours.

Without --data the class lies in one narrow band (--synthetic planted-high or planted-low), and the table says how many
filters ended there and how far those moved. With --data DIR it says how far the median filter moved. Everything but the
front-end is the same in each line.

Everything goes to --out: levers.md, .csv, .json and .png, and the cells. The same command run again goes on where it
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
from experiment import Variant, build_parser, conduct, fill
from frontends import restore_frontend
from lever_variants import VARIANTS
from matplotlib.figure import Figure
from paired import Comparison, compare, corrected, fields, interval_text, p_text
from planted_sounds import TASKS, Task
from reporting import accuracies, accuracy_of, markdown_table, mean_and_spread, plain_table, plus_minus, write_csv
from sound_folders import SoundSet

from learnable_frontends.analysis import movement
from learnable_frontends.plotting.drawing import COLORS

PLANTED = {"seconds": 1.0, "limit": 100, "epochs": 30, "n_filters": 8, "sample_rate": 16000, "mixup": 0.0}


def main(argv: list[str] | None = None) -> int:
    """Train every variant and report; see the module's docstring and ``--help``."""
    parser = build_parser(__doc__, "runs/levers")
    parser.set_defaults(synthetic="planted-high", frontend_lr=0.03, mixup=None)
    parser.add_argument(
        "--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, metavar="NAME", help="; ".join(VARIANTS)
    )
    parser.add_argument("--reference", default="mel", choices=VARIANTS, metavar="NAME", help="compared with (mel)")
    args = parser.parse_args(argv)
    task = None if args.data is not None else TASKS.get(args.synthetic)
    if task is not None:
        rate = args.sample_rate or PLANTED["sample_rate"]
        lengths = {
            name: 2 * (int(seconds * rate) // 2) + (name == "kernel_size") for name, seconds in task.lengths.items()
        }
        fill(args, **PLANTED, **lengths)
    fill(args, mixup=0.4)

    def variants(args: argparse.Namespace) -> list[Variant]:
        return [VARIANTS[name] for name in args.variants]

    def report(results: list[dict[str, Any]], sounds: SoundSet, out: Path) -> str:
        del sounds
        return _report(results, args.reference, task, out)

    return conduct("levers.py", args, variants, report)


def _report(results: list[dict[str, Any]], reference: str, task: Task | None, out: Path) -> str:
    """Write everything but the cells into ``out``, and give the table for the screen."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_name.setdefault(result["variant"], []).append(result)
    compared = [compare(accuracies(own), accuracies(by_name.get(reference, []))) for own in by_name.values()]
    cells = [_cell(result, task) for result in results]
    rows = [
        _row(name, [c for c in cells if c["variant"] == name], comparison, q)
        for name, comparison, q in zip(by_name, compared, corrected(compared), strict=True)
    ]
    (out / "levers.json").write_text(
        json.dumps({"reference": reference, "rows": rows, "cells": cells}, indent=2) + "\n"
    )
    write_csv(out / "levers.csv", rows)
    table = _table(rows, compared, reference, planted=task is not None)
    (out / "levers.md").write_text(markdown_table(table))
    _figure(cells, task, out / "levers.png")
    moved = "moved: how far the median filter is from where it started, in bandwidths that it has now"
    if task is not None:
        moved = (
            f"in band: filters of a cell with a center within {task.width:g} Hz of {task.target:g} Hz; moved: how far\n"
            "those are from where they started, in bandwidths that they have now, median over all cells"
        )
    return "\n".join(
        [
            plain_table(table),
            "",
            f"{len(cells)} cells (folds x seeds x variants); accuracy of the last epoch on held-out folds, mean and",
            f"standard deviation; minus {reference}: on the same folds and seeds, with its 95 % interval; p: paired",
            "t-test; q: p corrected for the number of lines (false discovery rate);",
            f"{moved}.",
            f"Tables and picture: {', '.join(str(out / f'levers.{x}') for x in ('md', 'csv', 'json', 'png'))}",
        ]
    )


def _cell(result: dict[str, Any], task: Task | None) -> dict[str, Any]:
    moved = movement(restore_frontend(result))
    if task is None:
        shifts = [float(moved.bandwidths.abs().median())]
    else:
        shifts = moved.bandwidths[(moved.current - task.target).abs() < task.width].abs().tolist()
    return {
        "variant": result["variant"],
        "fold": result["fold"],
        "seed": result["seed"],
        "accuracy": accuracy_of(result),
        "centers": moved.current.tolist(),
        "moved_bandwidths": shifts,
    }


def _row(name: str, cells: list[dict[str, Any]], comparison: Comparison | None, q: float | None) -> dict[str, Any]:
    accuracy, spread = mean_and_spread([cell["accuracy"] for cell in cells])
    shifts = [shift for cell in cells for shift in cell["moved_bandwidths"]]
    return {
        "variant": name,
        "accuracy": accuracy,
        "spread": spread,
        **fields(comparison),
        "q": q,
        "filters_in_band": float(np.mean([len(cell["moved_bandwidths"]) for cell in cells])),
        "moved_bandwidths": float(np.median(shifts)) if shifts else None,
        "cells": len(cells),
    }


def _table(
    rows: list[dict[str, Any]], compared: list[Comparison | None], reference: str, *, planted: bool
) -> list[list[str]]:
    """Head and lines."""
    lines = [
        [
            row["variant"],
            plus_minus(row["accuracy"], row["spread"]),
            interval_text(comparison),
            p_text(row["p"]),
            p_text(row["q"]),
            *([f"{row['filters_in_band']:.1f}"] if planted else []),
            "-" if row["moved_bandwidths"] is None else f"{row['moved_bandwidths']:.1f}",
        ]
        for row, comparison in zip(rows, compared, strict=True)
    ]
    in_band = ["in band"] if planted else []
    return [["front-end", "accuracy %", f"minus {reference}", "p", "q", *in_band, "moved"], *lines]


def _figure(cells: list[dict[str, Any]], task: Task | None, path: Path) -> None:
    """Every center of every cell, a row a front-end, the color its cell's accuracy; and the target."""
    names = list(dict.fromkeys(cell["variant"] for cell in cells))
    lowest = 100 * min(cell["accuracy"] for cell in cells)
    fig = Figure(figsize=(8.0, 1.4 + 0.32 * len(names)), layout="constrained")
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
                vmin=lowest,
                vmax=100,
            )
    title = "Where filters went"
    if task is not None:
        low, high = task.target - task.width / 2, task.target + task.width / 2
        ax.axvspan(low, high, color=COLORS[1], alpha=0.5, linewidth=0, zorder=0)
        title += f"; the class lies in the band at {task.target:g} Hz"
    ax.set(xlabel="center frequency after training (Hz)", xscale="log", yticks=range(len(names)), yticklabels=names)
    ax.set_xticks(ticks := [50, 100, 200, 500, 1000, 2000, 5000, 10000], [f"{tick}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(min(min(cell["centers"]) for cell in cells) / 1.2, 1.2 * max(max(cell["centers"]) for cell in cells))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_title(title, fontsize=10)
    fig.colorbar(dots, label="accuracy, %")
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
