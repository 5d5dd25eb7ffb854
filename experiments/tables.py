"""Rows of numbers as tables: on the screen, as Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.files import write_rows, write_whole
from experiments.statistics import Comparison, chance, percent, points

Row = dict[str, Any]
Column = Callable[[Row], str]
Table = list[list[str]]


def standard_columns(reference: str) -> dict[str, Column]:
    """Return columns that experiments choose from, by their titles, for rows of `experiments.reporting.summarize`."""
    return {
        "front-end": lambda row: row["variant"],
        "accuracy %": lambda row: percent(row["accuracy"], row["spread"]),
        f"minus {reference}": lambda row: points(comparison_of(row)),
        "p": lambda row: chance(row["p"]),
        "q": lambda row: chance(row["q"]),
        "moved": lambda row: "-" if row["moved_bandwidths"] is None else f"{row['moved_bandwidths']:.2f}",
        "front-end par.": lambda row: f"{row['frontend_parameters']:,}",
        "all par.": lambda row: f"{row['parameters']:,}",
        "s/epoch": lambda row: "-" if row["seconds_per_epoch"] is None else f"{row['seconds_per_epoch']:.1f}",
        "runs": lambda row: f"{row['runs']}",
    }


def comparison_of(row: Row) -> Comparison | None:
    """Return the comparison whose fields a row has."""
    return Comparison(*(row[name] for name in Comparison._fields)) if row["pairs"] else None


def make_table(rows: Sequence[Row], columns: Mapping[str, Column]) -> Table:
    """Return the head and a line for each row."""
    return [list(columns), *([text(row) for text in columns.values()] for row in rows)]


def plain_table(table: Table) -> str:
    """Format head and lines for the screen."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in table]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(table: Table) -> str:
    """Format head and lines as Markdown."""
    lines = ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in table]
    return "\n".join([lines[0], "|---" + "|---:" * (len(table[0]) - 1) + "|", *lines[1:]]) + "\n"


def write_tables(stem: Path, rows: Sequence[Row], tables: Sequence[Table], **more: Any) -> str:
    """Write STEM.md of tables, STEM.csv of the rows of numbers, and STEM.json of these and more; return their names."""
    write_whole(Path(f"{stem}.md"), "\n".join(map(markdown_table, tables)))
    write_rows(Path(f"{stem}.csv"), rows)
    write_whole(Path(f"{stem}.json"), json.dumps({"rows": rows, **more}, indent=1, allow_nan=False) + "\n")
    return f"{stem}.md, .csv, .json"
