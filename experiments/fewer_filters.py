"""Can fewer filters do? Front-ends of a bench against mel with four times as many filters.

--out is the output folder of experiments.bench. Wherever mel was trained with four times as many filters as a
front-end, the two are compared on the same folds, seeds and test clips. Writes fewer_filters.md, .csv and .json into
--out; nothing is trained. --runs takes the bench_runs.csv of another machine in place of the runs in --out.
python -m benchmarks.classifier measures what fewer filters save.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from experiments.arguments import make_parser
from experiments.bench import REFERENCE, Runs, finished, order, read_runs
from experiments.files import BadDataError, check_folder, command
from experiments.reporting import by_variant
from experiments.runs import read_results
from experiments.statistics import Comparison, compare, corrected, fields
from experiments.tables import Row, Table, comparison_of, make_table, plain_table, standard_columns, write_tables

FACTOR = 4
MARGIN = 0.03  # a loss of accuracy that is still a match


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and report; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.fewer_filters", __doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of a bench (default: %(default)s)")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="bench_runs.csv of a bench (default: runs in --out)")
    args = parser.parse_args(argv)
    return command(lambda: print(_work(args.out, args.runs)), "experiments.fewer_filters")


def _work(out: Path, runs: Path | None) -> str:
    if runs is None:
        return _report(_finished_runs(out), out, out)
    found = read_runs(runs)
    check_folder("--out", out)
    return _report(found, runs, out)


def _finished_runs(out: Path) -> Runs:
    """Return the accuracies of a bench, as `experiments.bench.read_runs` does."""
    return {
        (*place, name): {run.key: run.accuracy for run in own}
        for place, folder in finished(out).items()
        for name, own in by_variant(read_results(folder)).items()
    }


def comparisons(runs: Runs) -> list[Row]:
    """Return a row for each front-end that can be compared, ordered by set, number of filters and front-end."""
    rows: list[Row] = []
    for sounds, n_filters, name in sorted(runs, key=order):
        against = runs.get((sounds, FACTOR * n_filters, REFERENCE), {})
        own = {key: value for key, value in runs[sounds, n_filters, name].items() if key in against}
        if (comparison := compare(own, against)) is not None:
            accuracies = {"accuracy": fmean(own.values()), "of_more": fmean(against[key] for key in own)}
            place = {"sounds": sounds, "n_filters": n_filters, "variant": name}
            rows.append({**place, **accuracies, **fields(comparison), "match": _judge(comparison)})
    for row, q in zip(rows, corrected(map(comparison_of, rows)), strict=True):
        row["q"] = q
    return rows


def _judge(comparison: Comparison) -> str:
    """Say whether the interval has no loss beyond ``MARGIN``, has nothing but losses, or neither."""
    if comparison.low is None or comparison.high is None:
        return "cannot be told"
    if comparison.low > -MARGIN:
        return "yes"
    return "no" if comparison.high < 0 else "cannot be told"


def tabulate(rows: Sequence[Row]) -> Table:
    """Return head and lines of the table."""
    standard = standard_columns(REFERENCE)
    return make_table(
        rows,
        {
            "sounds": lambda row: row["sounds"],
            "filters": lambda row: str(row["n_filters"]),
            "front-end": standard["front-end"],
            "accuracy %": lambda row: f"{100 * row['accuracy']:.1f}",
            f"{REFERENCE}, {FACTOR} times as many": lambda row: f"{100 * row['of_more']:.1f}",
            "difference": standard[f"minus {REFERENCE}"],
            "q": standard["q"],
            "match": lambda row: row["match"],
            "runs": lambda row: str(row["pairs"]),
        },
    )


def _report(runs: Runs, source: Path, out: Path) -> str:
    """Write the table and return what the screen shows.

    Raises:
        BadDataError: If no two runs can be compared.
    """
    rows = comparisons(runs)
    if not rows:
        raise BadDataError(
            f"{source} must have runs of {REFERENCE} with {FACTOR} times as many filters as other runs of the same "
            "set, folds and seeds, got none"
        )
    table = tabulate(rows)
    files = write_tables(out / "fewer_filters", rows, [table], reference=REFERENCE, factor=FACTOR, margin=MARGIN)
    text = (
        f"match: yes, if the 95 % interval has no loss of {100 * MARGIN:g} points; no, if it has nothing but losses; "
        "q: p of a paired\nt-test, corrected for all lines (false discovery rate)."
    )
    return f"{plain_table(table)}\n\n{text}\nTables: {files}"


if __name__ == "__main__":
    sys.exit(main())
