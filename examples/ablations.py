"""What each choice about relevance heads is worth: the factors of the paper's Table 3, one varied at a time.

The base is the paper's best: two heads on the lower and upper half of a cos-Gauss filterbank, 10 frames of context,
linear first layer, skip connection, masks and crops at the same place in both parts. Each variant changes one of these.

The sounds are those of compare_frontends.py: synthetic ones, or those of --data DIR. Everything goes to --out:
ablations.md, ablations.csv, ablations.json, ablations.png and the cells. The same command run again goes on where it
was stopped: finished cells are not run again, and a kill costs one epoch at most.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import _environment  # noqa: F401 - before torch
from experiment import Variant, build_parser, conduct
from matplotlib.figure import Figure
from reporting import (
    Accuracies,
    accuracies,
    markdown_table,
    mean_and_spread,
    paired_difference,
    plain_table,
    plus_minus,
    write_csv,
)
from sound_folders import SoundSet
from training import Recipe

from learnable_frontends.plotting.drawing import COLORS

# The levels of each factor, in the order of the figure, and the base.
LEVELS = {
    "heads": ("none", "1", "2", "3", "4", "all"),
    "context": ("0", "2", "5", "10", "20"),
    "augmentation": ("none", "aligned", "non-aligned"),
    "first-layer": ("linear", "conv"),
    "split": ("contiguous", "even-odd"),
    "skip": ("yes", "no"),
}
BASE = dict(zip(LEVELS, ("2", "10", "aligned", "linear", "contiguous", "yes"), strict=True))
# DCASE2020 Task 1A, development set, accuracy in percent: Table 1; and section 4.3, "the model gains by an absolute
# margin of 0.9 %" from alignment. The numbers of the other rows of Table 3 are not in the text that we have.
PAPER = {"base": 72.6, "heads-none": 71.1, "augmentation-non-aligned": 71.7}


def main(argv: list[str] | None = None) -> int:
    """Run the ablations; see the module's docstring and ``--help``."""
    parser = build_parser(__doc__, "runs/ablations")
    group = parser.add_argument_group("ablations")
    group.add_argument(
        "--factors",
        nargs="+",
        default=list(LEVELS),
        choices=list(LEVELS),
        metavar="FACTOR",
        help=f"what to vary: {', '.join(LEVELS)} (default: all)",
    )
    return conduct("ablations.py", parser.parse_args(argv), _variants, _report)


def _levels(name: str) -> dict[str, str]:
    """Level of each factor in a variant: ``base``, or ``<factor>-<level>``."""
    changed = {factor: name.removeprefix(f"{factor}-") for factor in LEVELS if name.startswith(f"{factor}-")}
    return {**BASE, **changed}


def _variants(args: argparse.Namespace) -> list[Variant]:
    names = ["base"]
    names += [f"{factor}-{x}" for factor in args.factors for x in LEVELS[factor] if x != BASE[factor]]
    return [_variant(name, args.n_filters) for name in names]


def _variant(name: str, n_filters: int) -> Variant:
    levels = _levels(name)
    recipe = Recipe(augment=levels["augmentation"])
    if levels["heads"] == "none":
        return Variant(name, "cos-gauss", {}, recipe=recipe)
    heads = {
        "n_heads": n_filters if levels["heads"] == "all" else int(levels["heads"]),
        "context": int(levels["context"]),
        "split": levels["split"],
        "first_layer": levels["first-layer"],
        "skip": levels["skip"] == "yes",
    }
    return Variant(name, "cos-gauss+heads", heads, recipe=recipe)


def _report(results: list[dict[str, Any]], sounds: SoundSet, out: Path) -> str:  # noqa: ARG001
    """Write everything but the cells into ``out``, and give the table for the screen."""
    parameters = {result["variant"]: result["frontend_parameters"] for result in results}
    by_name = {name: accuracies([r for r in results if r["variant"] == name]) for name in parameters}
    rows = [_row(name, by_name, parameters[name]) for name in by_name]
    cells = [
        {"variant": name, "fold": fold, "seed": seed, "accuracy": accuracy}
        for name, values in by_name.items()
        for (fold, seed), accuracy in values.items()
    ]
    (out / "ablations.json").write_text(json.dumps({"rows": rows, "cells": cells}, indent=2) + "\n")
    write_csv(out / "ablations.csv", rows)
    table = _table(rows)
    (out / "ablations.md").write_text(markdown_table(table))
    _figure(by_name, out / "ablations.png")
    return "\n".join(
        [
            plain_table(table),
            "",
            f"{len(results)} cells (folds x seeds x variants); accuracy of the last epoch on",
            "held-out folds, mean and standard deviation over cells; minus base: on the same folds and seeds, with its",
            "standard error; paper: on DCASE2020 Task 1A with another classifier, where its text gives the number.",
            f"Tables and picture: {', '.join(str(out / f'ablations.{x}') for x in ('md', 'csv', 'json', 'png'))}",
        ]
    )


def _row(name: str, by_name: dict[str, Accuracies], parameters: int) -> dict[str, Any]:
    accuracy, spread = mean_and_spread(list(by_name[name].values()))
    difference, error = paired_difference(by_name[name], by_name["base"])
    return {
        "variant": name,
        **_levels(name),
        "accuracy": accuracy,
        "spread": spread,
        "minus_base": difference,
        "minus_base_standard_error": error,
        "cells": len(by_name[name]),
        "frontend_parameters": parameters,
        "paper_accuracy": None if name not in PAPER else PAPER[name] / 100,
    }


def _table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Head and lines: the columns of the paper's Table 3, with a dot where a line is like the base, and the results."""
    lines = [
        [
            *(row[factor] if row["variant"] == "base" or row[factor] != BASE[factor] else "·" for factor in LEVELS),
            plus_minus(row["accuracy"], row["spread"]),
            plus_minus(row["minus_base"], row["minus_base_standard_error"], sign="+"),
            f"{row['frontend_parameters']:,}",
            "-" if row["paper_accuracy"] is None else f"{100 * row['paper_accuracy']:.1f}",
        ]
        for row in rows
    ]
    return [[*LEVELS, "accuracy %", "minus base", "front-end par.", "paper %"], *lines]


def _figure(by_name: dict[str, Accuracies], path: Path) -> None:
    """Accuracy against each factor: every cell as a dot, mean and standard deviation beside them."""
    panels: dict[str, dict[str, str]] = {}
    for factor, levels in LEVELS.items():
        names = {x: "base" if x == BASE[factor] else f"{factor}-{x}" for x in levels}
        ran = {x: name for x, name in names.items() if name in by_name}
        if len(ran) > 1:
            panels[factor] = ran
    fig = Figure(figsize=(1.5 + sum(0.55 * len(names) + 0.5 for names in panels.values()), 4), layout="constrained")
    all_axes = fig.subplots(
        1, len(panels), sharey=True, squeeze=False, width_ratios=[len(n) + 0.6 for n in panels.values()]
    )
    for ax, (factor, names) in zip(all_axes[0], panels.items(), strict=True):
        for i, name in enumerate(names.values()):
            values = [100 * value for value in by_name[name].values()]
            mean, spread = mean_and_spread(values)
            color = COLORS[name == "base"]
            ax.plot([i - 0.12] * len(values), values, "o", color=color, alpha=0.35, markersize=4)
            ax.errorbar(
                i + 0.12, mean, spread, fmt="D" if name == "base" else "s", color=color, markersize=6, capsize=3
            )
        ax.set_xticks(range(len(names)), list(names), rotation=35 if max(map(len, names)) > 3 else 0)
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.set_title(factor, fontsize=10)
        ax.grid(axis="y", alpha=0.3)
    all_axes[0][0].set_ylabel("accuracy on held-out folds, %")
    fig.suptitle(
        "One factor at a time; diamond: the base; dots: folds and seeds; bars: standard deviation", fontsize=10
    )
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
