"""What holds across runs? Lines of several experiments, each compared with the same other line, and all runs together.

Takes the output folders of levers.py, of other sounds or other numbers of filters, finished or not.

Writes to --out: across.md, .csv and .json, and across.png, the difference against the number of filters.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from checkpoints import FileError, finished_cells, read_saved, read_settings
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from paired import Comparison, compare, fields, interval_text, p_text
from reporting import Accuracies, accuracy_of, markdown_table, plain_table, write_csv

from learnable_frontends.plotting.drawing import COLORS, MARKERS

ALL = "all"


class Line(NamedTuple):
    """A variant against the reference: in one run, or in all."""

    variant: str
    run: str
    sounds: str
    n_filters: int | None
    comparison: Comparison | None
    cells: int


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
    lines = _lines(found, settings, args.variants, args.reference)
    rows = [_record(line) for line in lines]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "across.json").write_text(json.dumps({"reference": args.reference, "rows": rows}, indent=2) + "\n")
    write_csv(args.out / "across.csv", rows)
    table = _table(lines, args.reference)
    (args.out / "across.md").write_text(markdown_table(table))
    _figure(lines, args.variants, args.reference, args.out / "across.png")
    print(plain_table(table))
    print(f"\nbrackets: 95 % intervals over folds and seeds; p: paired t-test. Tables and picture: {args.out}")
    return 0


def _accuracies(run: Path, names: set[str]) -> dict[str, Accuracies]:
    """Accuracy of each finished cell of these variants."""
    found: dict[str, Accuracies] = {}
    for path in finished_cells(run):
        if path.name.rpartition("-fold")[0] in names:
            saved = read_saved(path, ("variant", "fold", "seed", "targets", "predictions"))
            # The run is a part of the key, so that cells of several runs go into one comparison.
            found.setdefault(saved["variant"], {})[f"{run}, {saved['fold']}", saved["seed"]] = accuracy_of(saved)
    return found


def _lines(
    found: dict[Path, dict[str, Accuracies]], settings: dict[Path, dict[str, Any]], variants: list[str], reference: str
) -> list[Line]:
    """Compare each variant in each run where it and the reference ran, and in all of them."""
    lines = []
    for name in variants:
        values: Accuracies = {}
        references: Accuracies = {}
        for run, of in found.items():
            data, n_filters = settings[run]["data"], settings[run]["n_filters"]
            sounds = settings[run]["synthetic"] if data is None else Path(data).name
            lines.append(_line((name, run.name, sounds, n_filters), of.get(name, {}), of.get(reference, {})))
            values |= of.get(name, {})
            references |= of.get(reference, {})
        lines.append(_line((name, ALL, "", None), values, references))
    return [line for line in lines if line.cells]


def _line(place: tuple[str, str, str, int | None], values: Accuracies, references: Accuracies) -> Line:
    return Line(*place, compare(values, references), len(values.keys() & references.keys()))


def _record(line: Line) -> dict[str, Any]:
    """Give a line as the columns of a file."""
    columns = line._asdict()
    comparison, cells = columns.pop("comparison"), columns.pop("cells")
    return {**columns, **fields(comparison), "cells": cells}


def _table(lines: list[Line], reference: str) -> list[list[str]]:
    """Head and lines."""
    body = [
        [
            line.variant,
            line.run,
            interval_text(line.comparison),
            p_text(line.comparison and line.comparison.p),
            str(line.cells),
        ]
        for line in lines
    ]
    return [["front-end", "run", f"minus {reference}", "p", "cells"], *body]


def _figure(lines: list[Line], variants: list[str], reference: str, path: Path) -> None:
    """Draw a panel for each kind of sounds: the difference against the number of filters, with its interval."""
    drawn = [
        (line.sounds, line.variant, line.n_filters, line.comparison)
        for line in lines
        if line.n_filters is not None and line.comparison is not None
    ]
    kinds = list(dict.fromkeys(sounds for sounds, *_ in drawn))
    ticks = sorted({n_filters for _, _, n_filters, _ in drawn})
    fig = Figure(figsize=(1.5 + 3.7 * max(1, len(kinds)), 4.0), layout="constrained")
    axes = fig.subplots(1, max(1, len(kinds)), sharex=True, sharey=True, squeeze=False)[0]
    for ax, kind in zip(axes, kinds, strict=False):
        ax.axhline(0, color="0.3", linewidth=1)
        for i, name in enumerate(variants):
            own = sorted((n, *c[:3]) for sounds, variant, n, c in drawn if (sounds, variant) == (kind, name))
            # Side by side, so that intervals do not hide each other.
            places = [n * 1.05 ** (i - (len(variants) - 1) / 2) for n, *_ in own]
            middle = [100 * difference for _, difference, _, _ in own]
            bars = [[100 * (d - low) for _, d, low, _ in own], [100 * (high - d) for _, d, _, high in own]]
            marker, color = MARKERS[i % len(MARKERS)], COLORS[i % len(COLORS)]
            ax.errorbar(places, middle, bars, fmt=marker + "-", color=color, capsize=3, label=name)
        ax.set(title=kind, xlabel="filters", xscale="log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel(f"accuracy minus {reference}, points")
    axes[-1].legend(fontsize=8)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
