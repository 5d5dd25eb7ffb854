"""Report finished runs in tables, on the screen and as Markdown, CSV and JSON.

    python -m experiments.reporting RUNS

reports the finished runs of a comparison that is still being trained, or was interrupted.
"""

from __future__ import annotations

import re
import statistics
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from experiments.arguments import make_parser
from experiments.conclusions import conclude
from experiments.figures import draw_confusion, save
from experiments.files import BadDataError, command, write_table
from experiments.runs import Result, read_results
from experiments.statistics import compare, corrected, fields, mean_and_spread, percent
from experiments.tables import Column, Row, Table, make_table, plain_table, standard_columns, write_tables


def by_variant(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Group results, variants in the order in which they come."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.variant, []).append(result)
    return found


def summarize(results: Sequence[Result], reference: str) -> list[Row]:
    """Return a row of numbers for each variant, ``None`` for what is not known; see `standard_columns`."""
    groups = by_variant(results)
    accuracies = {name: {result.key: result.accuracy for result in own} for name, own in groups.items()}
    against = accuracies.get(reference, {})
    compared = [None if name == reference else compare(own, against) for name, own in accuracies.items()]
    rows: list[Row] = []
    for (name, own), comparison, q in zip(groups.items(), compared, corrected(compared), strict=True):
        accuracy, spread = mean_and_spread([result.accuracy for result in own])
        medians = [statistics.median(map(abs, result.values["moved_bandwidths"])) for result in own]
        times = [time for result in own if (time := result.values["seconds_per_epoch"]) is not None]
        row = {"variant": name, "accuracy": accuracy, "spread": spread, **fields(comparison), "q": q}
        row |= {"moved_bandwidths": statistics.fmean(medians), "runs": len(own)}
        row |= {key: own[0].values[key] for key in ("frontend_parameters", "parameters")}
        rows.append(row | {"seconds_per_epoch": mean_and_spread(times)[0]})
    return rows


def share_table(title: str, results: Sequence[Result], shares: Callable[[Result], Mapping[str, float]]) -> Table:
    """Tabulate shares of clips by name, in percent, a column for each variant: means over the runs that have any."""
    groups = by_variant(results)
    names = {name for result in results for name in shares(result)}
    lines = []
    for name in sorted(names, key=lambda name: re.sub(r"\d+", lambda digits: digits[0].zfill(9), name)):
        of_name = [[shares(result)[name] for result in own if name in shares(result)] for own in groups.values()]
        lines.append([name, *(percent(mean_and_spread(values)[0]) for values in of_name)])
    return [[title, *groups], *lines]


def report_variants(
    stem: Path,
    rows: Sequence[Row],
    columns: Mapping[str, Column],
    results: Sequence[Result],
    reference: str,
    *meanings: str,
) -> str:
    """Write the tables of an experiment that draws STEM.png, and return them and what they mean for the screen."""
    table = make_table(rows, columns)
    files = write_tables(stem, rows, [table], reference=reference, runs=describe_runs(results))
    known = [
        f"{len(results)} runs (folds x seeds x variants); accuracy of the last epoch on held-out folds, mean and "
        "standard deviation",
        f"minus {reference}: on the same folds, seeds and test clips, with its 95 % interval",
        "p: paired t-test",
        "q: p corrected for the number of lines (false discovery rate)",
    ]
    text = textwrap.fill("; ".join([*known, *meanings]) + ".", 110)
    return f"{plain_table(table)}\n\n{text}\nTables and picture: {files}, .png"


def describe_runs(results: Iterable[Result]) -> list[Row]:
    """Return what tables are made of, for each run."""
    keys = ("fold", "seed", "test_clips", "accuracy", "centers")
    return [{"variant": result.variant, **{key: result.values[key] for key in keys}} for result in results]


def report_comparison(results: Sequence[Result], out: Path, reference: str = "mel") -> str:
    """Write tables and pictures of a comparison into ``out``, and return what the screen shows of it."""
    from experiments.paper_figures import draw, first_clip  # here: slow to load, and refusals need none of it

    rows = summarize(results, reference)
    table = _write_comparison(results, rows, out, reference)[0]
    first = [own[0].folder for own in by_variant(results).values()]  # of the first fold and seed, not the best
    try:
        draw(first, out / "figures", first_clip(results[0].folder))
        pictures = f"Pictures: {out / 'figures'}."
    except (BadDataError, OSError) as problem:  # tables are worth more
        pictures = f"No pictures of front-ends: {problem}."
    where = f"Tables: {out / 'results'}.md, .csv and .json, per_class.csv, confusion_*.csv. {pictures}"
    models = f"Front-ends and networks: {out / 'VARIANT' / 'foldK-seedN'}."
    conclusions = [textwrap.fill(sentence, 110) for sentence in conclude(rows, results, reference)]
    return "\n".join([plain_table(table), "", *conclusions, where, models])


def report_recipe(results: Sequence[Result], out: Path, reference: str = "mel") -> str:
    """Write the tables of a recipe into ``out``, and return them for the screen."""
    tables = _write_comparison(results, summarize(results, reference), out, reference)
    return "\n\n".join([*map(plain_table, tables), f"Tables and pictures: {out}"])


def _write_comparison(results: Sequence[Result], rows: Sequence[Row], out: Path, reference: str) -> list[Table]:
    """Write tables by variant, fold, class and device, and confusion matrices; return the tables."""
    columns = standard_columns(reference)
    tables = [
        make_table(rows, {title: column for title, column in columns.items() if title not in ("p", "q")}),
        share_table("fold", results, lambda result: {result.key[0]: result.accuracy}),
        share_table("class", results, lambda result: result.values["per_class"]),
    ]
    if any(result.values["per_device"] for result in results):
        tables.append(share_table("device", results, lambda result: result.values["per_device"]))
    write_tables(out / "results", rows, tables, reference=reference, runs=describe_runs(results))
    write_table(out / "per_class.csv", tables[2])
    for name, own in by_variant(results).items():
        classes = own[0].values["classes"]
        counts = Counter((line["label"], line["prediction"]) for result in own for line in result.predictions())
        lines = [[true, *(counts[true, other] for other in classes)] for true in classes]
        write_table(out / f"confusion_{name}.csv", [["true", *classes], *lines])
        pairs = [(classes.index(true), classes.index(other)) for true, other in counts.elements()]
        figure = draw_confusion(pairs, classes, f"{name}: test clips of {len(own)} run{'s' * (len(own) > 1)}")
        save(figure, out / "figures" / f"confusion_{name}.png")
    return tables


def main(argv: Sequence[str] | None = None) -> int:
    """Report a comparison again; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.reporting", __doc__)
    parser.add_argument("runs", type=Path, help="output folder of a comparison")
    parser.add_argument(
        "--reference", default="mel", metavar="NAME", help="variant to compare with (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    return command(
        lambda: print(report_comparison(read_results(args.runs), args.runs, args.reference)), "experiments.reporting"
    )


if __name__ == "__main__":
    sys.exit(main())
