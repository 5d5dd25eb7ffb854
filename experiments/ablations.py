"""Measure the effect of each choice about relevance heads: the factors of the paper's Table 3, one at a time.

The base is the best model of the paper: two heads, on the lower and the upper half of a cos-Gauss filterbank, with 10
frames of context, a linear first layer, a skip connection, and masks and crops that are aligned between the bands. Each
variant changes one of these. Writes ablations.md, .csv, .json and .png to --out. Run the command again to resume it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from experiments.figures import save
from experiments.frontends import frontend_settings
from experiments.grid import Variant
from experiments.options import build_parser, conduct, model_settings
from experiments.reporting import by_variant, report_variants, summarize
from experiments.runs import Result, instantiate
from experiments.statistics import mean_and_spread, percent
from experiments.tables import Column, Row, standard_columns
from learnable_frontends import Frontend
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ablations; see the module's docstring and ``--help``."""
    parser = build_parser(__doc__, "runs/ablations")
    parser.add_argument_group("ablations").add_argument(
        "--factors",
        nargs="+",
        default=list(LEVELS),
        choices=LEVELS,
        metavar="FACTOR",
        help=f"factors to vary: {', '.join(LEVELS)} (default: all)",
    )
    return conduct("experiments.ablations", parser.parse_args(argv), make_variants, _report)


def levels_of(name: str) -> dict[str, str]:
    """Return the level of each factor in a variant: ``base``, or ``<factor>-<level>``."""
    changed = {factor: name.removeprefix(f"{factor}-") for factor in LEVELS if name.startswith(f"{factor}-")}
    return {**BASE, **changed}


def make_variants(args: argparse.Namespace, n_classes: int) -> list[Variant]:
    """Make the base and the variants of the factors that were asked for."""
    # Of a whole clip, or of a window of a long one.
    frontend: Frontend = instantiate(Frontend, frontend_settings("cos-gauss", args, seed=0))
    samples = round((args.windows or args.seconds) * args.sample_rate)
    frames = int(frontend.output_lengths(torch.tensor(samples)))

    def settings(name: str, seed: int, _: str) -> dict[str, Any]:
        levels = levels_of(name)
        n_heads = {"none": 1, "all": args.n_filters}.get(levels["heads"]) or int(levels["heads"])
        heads = {
            "n_heads": n_heads,
            "context": int(levels["context"]),
            "split": levels["split"],
            "first_layer": levels["first-layer"],
            "skip": levels["skip"] == "yes",
        }
        # The published code's 12 of 40 filters of each band, 39 of 431 frames and a crop to 400 of 431, as shares; a
        # band of fewer than four filters loses none.
        augmentation = {
            "mask_filters": 12 * (args.n_filters // n_heads) // 40,
            "mask_frames": 39 * frames // 431,
            "crop": max(1, 400 * frames // 431),
            "aligned": levels["augmentation"] == "aligned",
        }
        training = {} if levels["augmentation"] == "none" else augmentation
        frontend = "cos-gauss" if levels["heads"] == "none" else "cos-gauss+heads"
        return {"model": model_settings(frontend, args, n_classes, seed, heads=heads, **training)}

    names = ["base"]
    names += [f"{factor}-{x}" for factor in args.factors for x in LEVELS[factor] if x != BASE[factor]]
    return [Variant(name, partial(settings, name)) for name in names]


def _report(results: Sequence[Result], out: Path) -> str:
    rows = summarize(results, "base")
    for row in rows:
        known = PAPER.get(row["variant"])
        row |= levels_of(row["variant"]) | {"paper_accuracy": None if known is None else known / 100}
    standard = standard_columns("base")
    columns: dict[str, Column] = {factor: partial(_level, factor) for factor in LEVELS}  # those of the paper's Table 3
    columns |= {title: standard[title] for title in ("accuracy %", "minus base", "p", "q", "front-end par.")}
    columns["paper %"] = lambda row: percent(row["paper_accuracy"])
    _draw_factors(results, out / "ablations.png")
    paper = "paper: on DCASE2020 Task 1A with another classifier, where its text has the number"
    return report_variants(out / "ablations", rows, columns, results, "base", paper)


def _level(factor: str, row: Row) -> str:
    """Return the level, a dot where a line is like the base."""
    return str(row[factor]) if row["variant"] == "base" or row[factor] != BASE[factor] else "·"


def _draw_factors(results: Sequence[Result], path: Path) -> None:
    """Draw accuracy against each factor: every run as a dot, mean and standard deviation beside them."""
    accuracies = {name: [100 * result.accuracy for result in own] for name, own in by_variant(results).items()}
    panels: dict[str, dict[str, str]] = {}
    for factor, levels in LEVELS.items():
        names = {x: "base" if x == BASE[factor] else f"{factor}-{x}" for x in levels}
        if len(ran := {x: name for x, name in names.items() if name in accuracies}) > 1:
            panels[factor] = ran
    widths = [len(names) + 0.6 for names in panels.values()]
    fig = Figure(figsize=(1.5 + sum(0.55 * width + 0.17 for width in widths), 4), layout="constrained")
    all_axes = fig.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)
    for ax, (factor, names) in zip(all_axes[0], panels.items(), strict=True):
        for i, name in enumerate(names.values()):
            values, color = accuracies[name], COLORS[name == "base"]
            ax.plot([i - 0.12] * len(values), values, "o", color=color, alpha=0.35, markersize=4)
            marker = "D" if name == "base" else "s"
            ax.errorbar(i + 0.12, *mean_and_spread(values), fmt=marker, color=color, markersize=6, capsize=3)
        ax.set_xticks(range(len(names)), list(names), rotation=35 if max(map(len, names)) > 3 else 0)
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.set_title(factor, fontsize=10)
        ax.grid(axis="y", alpha=0.3)
    all_axes[0][0].set_ylabel("accuracy on held-out folds, %")
    title = "One factor at a time; diamond: the base; dots: folds and seeds; bars: standard deviation"
    fig.suptitle(title, fontsize=10)
    save(fig, path)


if __name__ == "__main__":
    sys.exit(main())
