"""What holds across runs? Lines of several experiments, each compared with the same other line, and all runs together.

Takes the output folders of levers.py, of other sounds or other numbers of filters, finished or not.

Writes to --out: across.md, .csv and .json, and across.png, the difference against the number of filters.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from checkpoints import FileError, finished_cells, read_checkpoint, read_settings
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from paired import Comparison, compare, fields, interval_text, p_text
from reporting import Accuracies, accuracy_of, markdown_table, plain_table, write_csv

from learnable_frontends.plotting.drawing import COLORS

ALL = "all"


def main(argv: list[str] | None = None) -> int:
    """Compare; see the module's docstring and ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="output folders of experiments")
    parser.add_argument("--variants", nargs="+", required=True, metavar="NAME", help="lines of their tables")
    parser.add_argument("--reference", default="mel", metavar="NAME", help="compared with (default: mel)")
    parser.add_argument("--out", type=Path, default=Path("runs/across"), help="output folder (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        found = {run: _accuracies(run, {*args.variants, args.reference}) for run in args.runs}
        settings = {run: read_settings(run) for run in args.runs}
    except FileError as problem:
        print(f"across_runs.py: {problem}", file=sys.stderr)
        return 2
    seen = {name for of in found.values() for name in of}
    if unknown := [name for name in (*args.variants, args.reference) if name not in seen]:
        print(f"across_runs.py: no run has a finished cell of {', '.join(unknown)}", file=sys.stderr)
        return 2
    rows = _rows(found, settings, args.variants, args.reference)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "across.json").write_text(json.dumps({"reference": args.reference, "rows": rows}, indent=2) + "\n")
    write_csv(args.out / "across.csv", rows)
    table = _table(rows, args.reference)
    (args.out / "across.md").write_text(markdown_table(table))
    _figure(rows, args.variants, args.reference, args.out / "across.png")
    print(plain_table(table))
    print(f"\nbrackets: 95 % intervals over folds and seeds; p: paired t-test. Tables and picture: {args.out}")
    return 0


def _accuracies(run: Path, names: set[str]) -> dict[str, Accuracies]:
    """Accuracy of each finished cell of these variants."""
    found: dict[str, Accuracies] = {}
    for path in finished_cells(run):
        if path.name.rpartition("-fold")[0] in names:
            result, _ = read_checkpoint(path, ("variant", "fold", "seed", "targets", "predictions"))
            # The run is a part of the key, so that cells of several runs go into one comparison.
            found.setdefault(result["variant"], {})[f"{run}, {result['fold']}", result["seed"]] = accuracy_of(result)
    return found


def _rows(
    found: dict[Path, dict[str, Accuracies]], settings: dict[Path, dict[str, Any]], variants: list[str], reference: str
) -> list[dict[str, Any]]:
    """Compare each variant in each run where it and the reference ran, and in all of them."""
    rows = []
    for name in variants:
        values: Accuracies = {}
        references: Accuracies = {}
        for run, of in found.items():
            data = settings[run]["data"]
            where = {
                "run": run.name,
                "sounds": settings[run]["synthetic"] if data is None else Path(data).name,
                "n_filters": settings[run]["n_filters"],
            }
            rows.append(_row(name, where, of.get(name, {}), of.get(reference, {})))
            values |= of.get(name, {})
            references |= of.get(reference, {})
        rows.append(_row(name, {"run": ALL, "sounds": "", "n_filters": None}, values, references))
    return [row for row in rows if row["cells"]]


def _row(name: str, where: dict[str, Any], values: Accuracies, references: Accuracies) -> dict[str, Any]:
    both = values.keys() & references.keys()
    return {"variant": name, **where, **fields(compare(values, references)), "cells": len(both)}


def _comparison(row: dict[str, Any]) -> Comparison | None:
    return None if row["difference"] is None else Comparison(*(row[field] for field in Comparison._fields))


def _table(rows: list[dict[str, Any]], reference: str) -> list[list[str]]:
    """Head and lines."""
    lines = [
        [row["variant"], row["run"], interval_text(_comparison(row)), p_text(row["p"]), str(row["cells"])]
        for row in rows
    ]
    return [["front-end", "run", f"minus {reference}", "p", "cells"], *lines]


def _figure(rows: list[dict[str, Any]], variants: list[str], reference: str, path: Path) -> None:
    """Draw a panel for each kind of sounds: the difference against the number of filters, with its interval."""
    drawn = [row for row in rows if row["run"] != ALL and row["difference"] is not None]
    kinds = list(dict.fromkeys(row["sounds"] for row in drawn))
    fig = Figure(figsize=(1.5 + 3.7 * max(1, len(kinds)), 4.0), layout="constrained")
    axes = fig.subplots(1, max(1, len(kinds)), sharex=True, sharey=True, squeeze=False)[0]
    for ax, kind in zip(axes, kinds, strict=False):
        ax.axhline(0, color="0.3", linewidth=1)
        for i, name in enumerate(variants):
            own = sorted(
                (row for row in drawn if (row["sounds"], row["variant"]) == (kind, name)), key=lambda r: r["n_filters"]
            )
            # Side by side, so that intervals do not hide each other.
            places = [row["n_filters"] * 1.05 ** (i - (len(variants) - 1) / 2) for row in own]
            middle = [100 * row["difference"] for row in own]
            bars = [
                [100 * (row["difference"] - row["low"]) for row in own],
                [100 * (row["high"] - row["difference"]) for row in own],
            ]
            ax.errorbar(
                places, middle, bars, fmt="osD^v"[i % 5] + "-", color=COLORS[i % len(COLORS)], capsize=3, label=name
            )
        ticks = sorted({row["n_filters"] for row in drawn})
        ax.set(title=kind, xlabel="filters", xscale="log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel(f"accuracy minus {reference}, points")
    axes[-1].legend(fontsize=8)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
