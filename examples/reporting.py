"""From the results of a comparison to tables, figures and checkpoints."""

from __future__ import annotations

import csv
import json
import math
import shutil
import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from confusion import draw_confusion
from frontends import restore_frontend
from sklearn.metrics import confusion_matrix
from sound_folders import SoundSet
from torch import Tensor

from learnable_frontends import MultiHeadRelevance, plotting
from learnable_frontends.analysis import movement

Results = dict[str, list[dict[str, Any]]]
Accuracies = dict[tuple[int | str, int], float]


def report(results: list[dict[str, Any]], sounds: SoundSet, out: Path) -> str:
    """Write everything but the cells into ``out``.

    Args:
        results: What `training.train` returned, any number of folds and seeds per front-end.
        sounds: The clips, for the pictures of one.
        out: Output folder.

    Returns:
        The table and where the files are, for the screen.
    """
    by_name: Results = {}
    for result in results:
        by_name.setdefault(result["frontend"], []).append(result)
    rows = [_summary(name, by_name) for name in by_name]
    (out / "results.json").write_text(json.dumps({"rows": rows, "cells": [_cell(r) for r in results]}, indent=2) + "\n")
    write_csv(out / "results.csv", [{k: v for k, v in row.items() if k != "per_class"} for row in rows])
    table, per_class = _table(rows), _per_class(rows, sounds.classes)
    write_csv(out / "per_class.csv", [dict(zip(per_class[0], line, strict=True)) for line in per_class[1:]])
    (out / "results.md").write_text(markdown_table(table) + "\n" + markdown_table(per_class))
    checkpoints, figures = out / "checkpoints", out / "figures"
    checkpoints.mkdir(exist_ok=True)
    figures.mkdir(exist_ok=True)
    for name, cells in by_name.items():
        first = cells[0]  # of the first fold and seed, not the best
        shutil.copyfile(
            out / "cells" / f"{name}-fold{first['fold']}-seed{first['seed']}.pt", checkpoints / f"{name}.pt"
        )
        _confusion(cells, sounds.classes, name, out)
    _figures(by_name, sounds, figures)
    return "\n".join(
        [
            plain_table(table),
            "",
            f"{len(results)} cells (folds x seeds x front-ends); accuracy of the last epoch on held-out folds, mean",
            "and standard deviation over cells; minus mel: on the same folds and seeds, with its standard error;",
            "moved: how far the median filter is from where it started, in its own bandwidths.",
            f"Pictures: {figures}",
            f"Tables: {', '.join(str(out / name) for name in ('results.csv', 'results.md', 'per_class.csv'))}",
            f"Checkpoints: {checkpoints}",
        ]
    )


def accuracy_of(result: dict[str, Any]) -> float:
    """Share of a cell's held-out clips that are classified right."""
    return float((result["targets"] == result["predictions"]).double().mean())


def _cell(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("frontend", "fold", "seed", "seconds_per_epoch")
    return {**{key: result[key] for key in keys}, "accuracy": accuracy_of(result)}


def mean_and_spread(values: list[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation, ``None`` where there are too few values."""
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def accuracies(cells: list[dict[str, Any]]) -> Accuracies:
    """Accuracy of each cell by its fold and seed."""
    return {(cell["fold"], cell["seed"]): accuracy_of(cell) for cell in cells}


def paired_difference(values: Accuracies, reference: Accuracies) -> tuple[float | None, float | None]:
    """Mean difference from ``reference`` where both ran, and its standard error; ``None`` where there are too few."""
    paired = [value - reference[cell] for cell, value in values.items() if cell in reference]
    difference, deviation = mean_and_spread(paired)
    return difference, None if deviation is None else deviation / math.sqrt(len(paired))


def _summary(name: str, by_name: Results) -> dict[str, Any]:
    cells = by_name[name]
    accuracy, spread = mean_and_spread([accuracy_of(cell) for cell in cells])
    targets = torch.cat([cell["targets"] for cell in cells])
    right = targets == torch.cat([cell["predictions"] for cell in cells])
    # Against mel on the same folds and seeds, where both ran: folds differ far more than front-ends.
    difference, error = paired_difference(accuracies(cells), accuracies(by_name.get("mel", [])))
    return {
        "frontend": name,
        "accuracy": accuracy,
        "spread": spread,
        "minus_mel": difference,
        "minus_mel_standard_error": error,
        "moved_bandwidths": mean_and_spread([_moved(cell) for cell in cells])[0],
        "cells": len(cells),
        "test_clips": len(targets),
        "frontend_parameters": cells[0]["frontend_parameters"],
        "parameters": cells[0]["parameters"],
        "seconds_per_epoch": mean_and_spread([cell["seconds_per_epoch"] for cell in cells])[0],
        "per_class": [float(right[targets == label].double().mean()) for label in range(len(cells[0]["classes"]))],
    }


def _moved(result: dict[str, Any]) -> float:
    """How far the filters of a cell moved, in their own bandwidths: the median."""
    return float(movement(restore_frontend(result)).bandwidths.abs().median())


def _table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Head and lines of the table of results."""
    head = ["front-end", "accuracy %", "minus mel", "moved", "front-end par.", "all par.", "s/epoch"]
    lines = [
        [
            row["frontend"],
            plus_minus(row["accuracy"], row["spread"]),
            plus_minus(row["minus_mel"], row["minus_mel_standard_error"], sign="+"),
            f"{row['moved_bandwidths']:.2f}",
            f"{row['frontend_parameters']:,}",
            f"{row['parameters']:,}",
            f"{row['seconds_per_epoch']:.1f}",
        ]
        for row in rows
    ]
    return [head, *lines]


def plus_minus(value: float | None, spread: float | None, sign: str = "") -> str:
    """Percent with its spread, a dash for what is not known."""
    if value is None:
        return "-"
    return f"{100 * value:{sign}.1f} ± {'-' if spread is None else f'{100 * spread:.1f}'}"


def _per_class(rows: list[dict[str, Any]], classes: list[str]) -> list[list[str]]:
    """Head and lines of the table of recall in percent."""
    lines = [[name, *(f"{100 * row['per_class'][i]:.1f}" for row in rows)] for i, name in enumerate(classes)]
    return [["class", *(row["frontend"] for row in rows)], *lines]


def plain_table(table: list[list[str]]) -> str:
    """Format head and lines for the screen."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in table]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(table: list[list[str]]) -> str:
    """Format head and lines as Markdown."""
    lines = ["| " + " | ".join(line) + " |" for line in table]
    return "\n".join([lines[0], "|---" + "|---:" * (len(table[0]) - 1) + "|", *lines[1:]]) + "\n"


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows that share their keys."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _confusion(cells: list[dict[str, Any]], classes: list[str], name: str, out: Path) -> None:
    targets, predictions = (torch.cat([cell[key] for cell in cells]).numpy() for key in ("targets", "predictions"))
    counts = confusion_matrix(targets, predictions, labels=range(len(classes)))
    write_csv(
        out / f"confusion_{name}.csv",
        [
            {"true": true, **dict(zip(classes, row.tolist(), strict=True))}
            for true, row in zip(classes, counts, strict=True)
        ],
    )
    fig = draw_confusion(counts, classes, f"{name}: held-out clips")
    fig.savefig(out / "figures" / f"confusion_{name}.png", dpi=110)


def _figures(by_name: Results, sounds: SoundSet, folder: Path) -> None:
    trained = {name: restore_frontend(cells[0]) for name, cells in by_name.items()}
    bare = {name: frontend for name, frontend in trained.items() if "+" not in name} or trained
    fig, _ = plotting.plot_center_frequencies(bare, initial=_initial(by_name, bare))
    fig.savefig(folder / "center_frequencies.png", dpi=110)
    plt.close(fig)
    for name, frontend in bare.items():
        fig, ax = plotting.plot_frequency_responses(frontend)
        ax.set_title(f"{name}: {ax.get_title().lower()}")
        fig.savefig(folder / f"responses_{name}.png", dpi=110)
        plt.close(fig)
    clip = _clip_for_pictures(by_name, sounds)
    for name, frontend in trained.items():
        if isinstance(frontend, MultiHeadRelevance):
            fig, _ = plotting.plot_relevance(frontend, clip, mel=trained.get("mel"))
            fig.suptitle(name)
            fig.savefig(folder / f"relevance_{name}.png", dpi=110)
            plt.close(fig)


def _initial(by_name: Results, frontends: dict[str, Any]) -> dict[str, Tensor]:
    return {name: by_name[name][0]["initial_centers"] for name in frontends if by_name[name][0]["frontend_parameters"]}


def _clip_for_pictures(by_name: Results, sounds: SoundSet) -> Tensor:
    """The first held-out clip of the first cell."""
    first = next(iter(by_name.values()))[0]
    return sounds.waveforms[sounds.folds == first["fold"]][0]
