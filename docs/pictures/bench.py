"""Put the runs of the bench that are at hand and the rows of those that are gone into one table, and draw it.

python -m experiments.bench DATA --out runs/bench --tiers 2 --first-seed 1 \
    --sets keywords esc10 urbansound_part
tail -n +2 runs/bench/bench_runs.csv >> docs/evidence/bench_runs.csv  # without its head
python docs/pictures/bench.py

bench_first.csv has the rows of a machine whose folders are lost, rounded to tenths of a point; bench_runs.csv has every
run since, of other seeds. Means and deviations of both give those of all. Writes bench.csv, bench.png and, from the
later runs alone, fewer_filters_later.csv, and prints the tables of docs/evidence/results.md.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palette import reduce_colors

from experiments import fewer_filters
from experiments.bench import FRONTENDS, REFERENCE, SETS, Place, draw, order, read_runs, tabulate
from experiments.files import read_table, write_table
from experiments.statistics import Comparison, compare, fields, mean_and_spread, percent, points, pool
from experiments.tables import Row, comparison_of, markdown_table

DOCS = Path(__file__).parents[1]
EVIDENCE = DOCS / "evidence"
TITLES = {"insects": "insects", "keywords": "words", "esc10": "ESC-10", "urbansound_part": "UrbanSound"}
SHORT = {
    "information, fixed": "by information",
    "mel, clip normalization": "mel, clip norm.",
    "cos-gauss, learned from spacing, unit gain": "cos-Gauss",
    "sinc, unit gain": "sinc",
}


def read(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    return [line for _, line in read_table(path, [])]


def first_rows() -> dict[Place, Row]:
    """Read the rows whose runs are gone."""
    found = {}
    for line in read(EVIDENCE / "bench_first.csv"):
        runs, comparison = int(line["runs"]), None
        if line["minus mel"]:
            difference, low, high = (float(text) / 100 for text in re.findall(r"[-+.\d]+", line["minus mel"]))
            comparison = Comparison(difference, low, high, float(line["p"]), runs)
        accuracy, spread = (float(text) / 100 for text in line["accuracy %"].split(" ± "))
        place = line["set"], int(line["filters"]), line["front-end"]
        found[place] = row_of(place, accuracy, spread, comparison, runs, seeds_of(line["seeds"]))
    return found


def later_rows() -> dict[Place, Row]:
    """Compare the runs at hand."""
    groups, found = read_runs(EVIDENCE / "bench_runs.csv"), {}
    for place, own in groups.items():
        comparison = None if place[2] == REFERENCE else compare(own, groups[(*place[:2], REFERENCE)])
        accuracy, spread = mean_and_spread(list(own.values()))
        found[place] = row_of(place, accuracy, spread, comparison, len(own), {seed for _, seed, _ in own})
    return found


def row_of(place: Place, accuracy: Any, spread: Any, comparison: Any, runs: int, seeds: set[int]) -> Row:
    """Return a row as `experiments.bench` has it, and its seeds."""
    known: Row = dict(zip(("sounds", "n_filters", "variant"), place, strict=True))
    return {**known, "accuracy": accuracy, "spread": spread, **fields(comparison), "runs": runs, "seeds": seeds}


def seeds_of(text: str) -> set[int]:
    """Read seeds such as 0-2."""
    first, _, last = text.partition("-")
    return set(range(int(first), int(last or first) + 1))


def text_of(seeds: set[int]) -> str:
    """Write seeds so."""
    if seeds != set(range(min(seeds), max(seeds) + 1)):
        raise ValueError(f"seeds must follow one another, got {sorted(seeds)}")
    return f"{min(seeds)}-{max(seeds)}" if len(seeds) > 1 else f"{min(seeds)}"


def together(first: Mapping[Place, Row], later: Mapping[Place, Row]) -> list[Row]:
    """Pool the rows of each place, ordered as a bench is.

    Of mel, which others are compared with on their own machine, runs of both machines count, of the same seed too.

    Raises:
        ValueError: If a seed of another front-end would be counted twice.
    """
    rows = []
    for place in sorted({*first, *later}, key=order):
        known = [rows_of[place] for rows_of in (first, later) if place in rows_of]
        if len(known) == 1:
            rows += known  # as it was rounded
            continue
        shared = set.intersection(*(row["seeds"] for row in known))
        if shared and place[2] != REFERENCE:
            raise ValueError(f"{place} must have seeds once, got {sorted(shared)} twice")
        accuracies = pool([Comparison.of(row["accuracy"], row["spread"], row["runs"]) for row in known])
        compared = [comparison for row in known if (comparison := comparison_of(row)) is not None]
        seeds = set.union(*(row["seeds"] for row in known))
        differences = pool(compared) if compared else None
        rows.append(row_of(place, accuracies.difference, accuracies.deviation, differences, accuracies.pairs, seeds))
    return rows


def difference_tables(rows: list[Row]) -> str:
    """Return the tables of the page: of 16 and of 64 filters."""
    tables = []
    for n_filters in (16, 64):
        found = {(row["variant"], row["sounds"]): cell(row) for row in rows if row["n_filters"] == n_filters}
        lines = [[SHORT.get(name, name), *(found[name, sounds] for sounds in SETS)] for name in FRONTENDS]
        lines[0][0] = f"{REFERENCE}, accuracy %"
        tables.append(markdown_table([[f"minus {REFERENCE}", *(TITLES[sounds] for sounds in SETS)], *lines]))
    return "\n".join(tables)


def cell(row: Row) -> str:
    """Return the difference with its interval, bold where it is beyond chance after correction."""
    comparison = comparison_of(row)
    if comparison is None:
        return percent(row["accuracy"], row["spread"])
    return f"**{points(comparison)}**" if row["q"] < 0.05 else points(comparison)


def evidence_table(rows: list[Row]) -> list[list[str]]:
    """Return head and lines of bench.csv, and correct p for their number."""
    head, *lines = tabulate(rows)
    table = [["set", *head[1:-1], "seeds", head[-1]]]
    for line, row in zip(lines, rows, strict=True):
        table.append(["" if text == "-" else text for text in (*line[:-1], text_of(row["seeds"]), line[-1])])
    return table


def fewer_table() -> list[list[str]]:
    """Return head and lines of fewer_filters_later.csv."""
    head, *lines = fewer_filters.tabulate(fewer_filters.comparisons(read_runs(EVIDENCE / "bench_runs.csv")))
    return [["set", *head[1:]], *lines]


def main() -> None:
    """Write tables and picture, and print the tables of the page."""
    rows = together(first_rows(), later_rows())
    write_table(EVIDENCE / "bench.csv", evidence_table(rows))
    write_table(EVIDENCE / "fewer_filters_later.csv", fewer_table())
    draw(rows, path := DOCS / "_static" / "bench.png")
    reduce_colors(path)
    print(difference_tables(rows))


if __name__ == "__main__":
    main()
