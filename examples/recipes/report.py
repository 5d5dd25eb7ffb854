"""From the predictions of finished runs to the paper's tables: by class, by device, and with what came from mel."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reporting import Accuracies, markdown_table, mean_and_spread, paired_difference, plain_table, plus_minus

from recipes.files import PREDICTIONS

Prediction = dict[str, str]


class Run(NamedTuple):
    """A finished run: the fold it was tested on and, for each test clip, a line of its ``predictions.csv``."""

    fold: str
    predictions: list[Prediction]

    def accuracy(self, column: str = "", value: str = "") -> float | None:
        """Share of clips classified right, of those with a value in a column if given; ``None`` of no clips."""
        lines = [line for line in self.predictions if not column or line[column] == value]
        hits = [line["prediction"] == line["label"] for line in lines]
        return sum(hits) / len(hits) if hits else None


def read_run(folder: Path) -> Run:
    """Read the predictions that a run's test wrote into its folder.

    Raises:
        ValueError: If they are not whole; the message names the file.
    """
    path = folder / PREDICTIONS
    with path.open(newline="", encoding="utf-8") as file:
        predictions = list(csv.DictReader(file))
    if not predictions or not {"label", "prediction", "fold"} <= predictions[0].keys():
        raise ValueError(f"{path} must have columns label, prediction and fold and a line a clip (test the run again)")
    folds = sorted({line["fold"] for line in predictions}, key=lambda fold: (len(fold), fold))
    return Run("+".join(folds), predictions)


def summary_table(runs: Mapping[str, Sequence[Run]], reference: str = "mel") -> list[list[str]]:
    """Head and lines: accuracy, mean and deviation over folds, and the paired difference from ``reference``."""
    lines = []
    for name, of_name in runs.items():
        accuracy, spread = mean_and_spread(_present([run.accuracy() for run in of_name]))
        difference = paired_difference(_by_fold(of_name), _by_fold(runs.get(reference, [])))
        clips = sum(len(run.predictions) for run in of_name)
        row = [name, plus_minus(accuracy, spread), plus_minus(*difference, sign="+"), str(len(of_name)), f"{clips:,}"]
        lines.append(row)
    return [["front-end", "accuracy %", f"minus {reference}", "folds", "test clips"], *lines]


def share_table(runs: Mapping[str, Sequence[Run]], column: str, names: Sequence[str]) -> list[list[str]]:
    """Head and lines: accuracy in percent of clips with each value of a column, mean over the folds that have any."""
    lines = []
    for value in names:
        cells = []
        for of_name in runs.values():
            mean, _ = mean_and_spread(_present([run.accuracy(column, value) for run in of_name]))
            cells.append("-" if mean is None else f"{100 * mean:.1f}")
        lines.append([value, *cells])
    return [["class" if column == "label" else column, *runs], *lines]


def write_report(runs: Mapping[str, Sequence[Run]], out: Path, reference: str = "mel") -> str:
    """Write ``results.md`` and ``results.json`` and give the text for the screen.

    Args:
        runs: Finished runs of each front-end, by its name.
        out: Folder to write to.
        reference: The front-end that others are compared with, on the same folds.

    Returns:
        The tables: accuracy, by class, and by device where clips have one.
    """
    lines = [line for of_name in runs.values() for run in of_name for line in run.predictions]
    tables = [summary_table(runs, reference), share_table(runs, "label", sorted({line["label"] for line in lines}))]
    if devices := sorted({line.get("device", "") for line in lines} - {""}):
        tables.append(share_table(runs, "device", devices))
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.md").write_text("\n".join(markdown_table(table) for table in tables), encoding="utf-8")
    values: dict[str, Any] = {name: _by_fold(of_name) for name, of_name in runs.items()}
    cells = {name: {fold: value for (fold, _), value in folds.items()} for name, folds in values.items()}
    (out / "results.json").write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")
    return "\n\n".join(plain_table(table) for table in tables)


def _present(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _by_fold(runs: Sequence[Run]) -> Accuracies:
    return {(run.fold, 0): accuracy for run in runs if (accuracy := run.accuracy()) is not None}
