"""Can fewer filters do? Front-ends of a bench against mel with four times as many filters.

--out is the output folder of experiments.bench. Wherever mel was trained with four times as many filters as a
front-end, the two are compared on the same folds, seeds and test clips. Writes fewer_filters.md, .csv and .json into
--out; nothing is trained. python -m benchmarks.classifier measures what fewer filters save.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from experiments.arguments import make_parser
from experiments.bench import FRONTENDS, REFERENCE, finished
from experiments.files import BadDataError, command
from experiments.reporting import by_variant
from experiments.runs import read_results
from experiments.statistics import Comparison, compare, corrected, fields
from experiments.tables import Row, comparison_of, make_table, plain_table, standard_columns, write_tables

FACTOR = 4
MARGIN = 0.03  # a loss of accuracy that is still a match


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and report; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.fewer_filters", __doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of a bench (default: %(default)s)")
    args = parser.parse_args(argv)
    return command(lambda: print(_report(args.out)), "experiments.fewer_filters")


def _compare(out: Path) -> list[Row]:
    """Return a row for each front-end that can be compared, ordered by set, number of filters and front-end."""
    runs = {place: by_variant(read_results(folder)) for place, folder in finished(out).items()}
    rows: list[Row] = []
    for (sounds, n_filters), groups in runs.items():
        against = {run.key: run.accuracy for run in runs.get((sounds, FACTOR * n_filters), {}).get(REFERENCE, [])}
        for name in sorted(groups, key=FRONTENDS.index):
            own = {run.key: run.accuracy for run in groups[name] if run.key in against}
            if (comparison := compare(own, against)) is not None:
                accuracies = {"accuracy": fmean(own.values()), "of_more": fmean(against[key] for key in own)}
                place = {"sounds": sounds, "n_filters": n_filters, "variant": name}
                rows.append({**place, **accuracies, **fields(comparison), "match": _judge(comparison)})
    return rows


def _judge(comparison: Comparison) -> str:
    """Say whether the interval has no loss beyond ``MARGIN``, has nothing but losses, or neither."""
    if comparison.low is None or comparison.high is None:
        return "cannot be told"
    if comparison.low > -MARGIN:
        return "yes"
    return "no" if comparison.high < 0 else "cannot be told"


def _report(out: Path) -> str:
    """Write the table and return what the screen shows.

    Raises:
        BadDataError: If no two runs can be compared.
    """
    rows = _compare(out)
    if not rows:
        raise BadDataError(
            f"{out} must have runs of {REFERENCE} with {FACTOR} times as many filters as other runs of the same set, "
            f"folds and seeds, got none"
        )
    for row, q in zip(rows, corrected(map(comparison_of, rows)), strict=True):
        row["q"] = q
    standard = standard_columns(REFERENCE)
    table = make_table(
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
    files = write_tables(out / "fewer_filters", rows, [table], reference=REFERENCE, factor=FACTOR, margin=MARGIN)
    text = (
        f"match: yes, if the 95 % interval has no loss of {100 * MARGIN:g} points; no, if it has nothing but losses; "
        "q: p of a paired\nt-test, corrected for all lines (false discovery rate)."
    )
    return f"{plain_table(table)}\n\n{text}\nTables: {files}"


if __name__ == "__main__":
    sys.exit(main())
