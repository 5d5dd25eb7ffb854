"""Compare variants with a reference in each of several experiments, and over the runs of all experiments together.

Takes output folders of levers, compare or ablations, which may differ in sounds or numbers of filters, finished or not.
Writes to --out: across.md, .csv and .json, and across.png, which shows the difference over the number of filters.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.arguments import make_parser
from experiments.figures import save
from experiments.files import BadDataError, check_different, command
from experiments.runs import CONFIG, read_json, read_results
from experiments.statistics import compare, fields
from experiments.tables import Row, make_table, plain_table, standard_columns, write_tables
from learnable_frontends.plotting.drawing import COLORS, MARKERS

ALL = "all"


def main(argv: Sequence[str] | None = None) -> int:
    """Compare; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.across_runs", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="output folders of experiments")
    parser.add_argument("--variants", nargs="+", required=True, metavar="NAME", help="variants to compare")
    parser.add_argument(
        "--reference", default="mel", metavar="NAME", help="variant to compare with (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/across"), help="output folder (default: %(default)s)")
    args = parser.parse_args(argv)

    def work() -> None:
        rows = compare_all(args.folders, args.variants, args.reference)
        columns = standard_columns(args.reference)
        columns["experiment"] = lambda row: row["experiment"]
        chosen = ("front-end", "experiment", f"minus {args.reference}", "p", "runs")
        table = make_table(rows, {title: columns[title] for title in chosen})
        files = write_tables(args.out / "across", rows, [table], reference=args.reference)
        _draw(rows, args.variants, args.reference, args.out / "across.png")
        print(plain_table(table))
        print(f"\nbrackets: 95 % intervals over folds and seeds; p: paired t-test. Tables and picture: {files}, .png")

    return command(work, "experiments.across_runs")


def compare_all(folders: Sequence[Path], variants: Sequence[str], reference: str) -> list[Row]:
    """Compare each variant in each experiment where it and the reference ran, and in all of them.

    Raises:
        BadDataError: If an experiment has no finished run, none has one of a variant or of the reference, or something
            is given twice.
    """
    check_different("folders", [folder.resolve() for folder in folders])
    check_different("--variants", variants)
    # The folder is a part of the key, so that runs of several experiments go into one comparison.
    accuracies: dict[str, dict[tuple[Path, Hashable], float]] = {name: {} for name in (*variants, reference)}
    about: dict[Path, Row] = {}
    for folder in folders:
        results = read_results(folder)
        data = read_json(results[0].folder / CONFIG)["data"]
        n_filters = len(results[0].values["centers"])
        about[folder] = {"experiment": folder.name, "sounds": Path(data["root"]).name, "n_filters": n_filters}
        for result in results:
            if result.variant in accuracies:
                accuracies[result.variant][folder, result.key] = result.accuracy
    if missing := [name for name, found in accuracies.items() if not found]:
        raise BadDataError(f"no folder has a finished run of {', '.join(missing)}")
    rows: list[Row] = []
    everything = {"experiment": ALL, "sounds": "", "n_filters": None}
    for name in variants:
        for place in [*about.values(), everything]:
            own, others = (
                {key: value for key, value in accuracies[which].items() if place in (about[key[0]], everything)}
                for which in (name, reference)
            )
            if (comparison := compare(own, others)) is not None:
                rows.append({"variant": name, **place, **fields(comparison), "runs": comparison.pairs})
    if not rows:
        raise BadDataError(f"no run of {', '.join(variants)} has the fold, seed and test clips of one of {reference}")
    return rows


def _draw(rows: Sequence[Row], variants: Sequence[str], reference: str, path: Path) -> None:
    """Draw a panel for each kind of sounds: the difference against the number of filters, with its interval."""
    drawn = [row for row in rows if row["n_filters"] is not None and row["low"] is not None]
    kinds = list(dict.fromkeys(row["sounds"] for row in drawn))
    ticks = sorted({row["n_filters"] for row in drawn})
    fig = Figure(figsize=(1.5 + 3.7 * max(1, len(kinds)), 4.0), layout="constrained")
    axes = fig.subplots(1, max(1, len(kinds)), sharex=True, sharey=True, squeeze=False)[0]
    for ax, kind in zip(axes, kinds, strict=False):
        ax.axhline(0, color="0.3", linewidth=1)
        for i, name in enumerate(variants):
            own = [row for row in drawn if (row["sounds"], row["variant"]) == (kind, name)]
            own.sort(key=lambda row: row["n_filters"])
            # Side by side, so that intervals do not hide each other.
            places = [row["n_filters"] * 1.05 ** (i - (len(variants) - 1) / 2) for row in own]
            middle, low, high = (np.array([100 * row[key] for row in own]) for key in ("difference", "low", "high"))
            marker, color = MARKERS[i % len(MARKERS)], COLORS[i % len(COLORS)]
            ax.errorbar(
                places, middle, [middle - low, high - middle], fmt=marker + "-", color=color, capsize=3, label=name
            )
        ax.set(title=kind, xlabel="filters", xscale="log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel(f"accuracy minus {reference}, points")
    if kinds:
        axes[-1].legend(fontsize=8)
    save(fig, path)


if __name__ == "__main__":
    sys.exit(main())
