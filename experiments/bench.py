"""Compare the front-ends that one would consider, on four sets, with few and with many filters.

DATA holds the folders esc10, urbansound_part, insects and keywords. The tiers are trained in turn. After each one,
bench.md, .csv, .json and .png are written to --out. Run the command again to resume it; --report reports finished runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from experiments.arguments import make_parser, not_negative_int, positive_int
from experiments.figures import save
from experiments.files import BadDataError, check_among, check_different, command, read_table, write_rows
from experiments.lever_variants import INFORMED, make_variants
from experiments.options import build_parser, open_sounds, train_all
from experiments.probe import read_clips
from experiments.reporting import describe_runs, summarize
from experiments.runs import RESULT, read_results
from experiments.statistics import corrected, points
from experiments.tables import Row, Table, comparison_of, make_table, plain_table, standard_columns, write_tables
from learnable_frontends.analysis import band_information
from learnable_frontends.plotting.drawing import COLORS

REFERENCE = "mel"
Place = tuple[str, int, str]  # set, number of filters, front-end
Runs = dict[Place, dict[tuple[str, int, str], float]]  # accuracies by fold, seed and test clips
OF_RUN = ("variant", "seed", "fold", "test_clips", "accuracy")  # columns of bench_runs.csv
# Frames of 46 ms for general sounds, 23 ms for insects, and 32 ms, every 10 ms, for speech.
SETS: dict[str, dict[str, Any]] = {
    "insects": {"sample_rate": 44100, "win_length": 1024, "hop_length": 512},
    "keywords": {"sample_rate": 16000, "win_length": 512, "hop_length": 160},
    "esc10": {"sample_rate": 22050, "win_length": 1024, "hop_length": 512},
    "urbansound_part": {"sample_rate": 22050, "win_length": 1024, "hop_length": 512},
}
FIRST = ("mel", "linear, fixed", "linear, learned", "learnable mel", "information, fixed")
FRONTENDS = (
    *FIRST,
    "ERB, fixed",
    "mel, PCEN",
    "mel, clip normalization",
    "mel, two windows",
    "mel, long window",
    "Gaussian",
    "cos-gauss, learned from spacing, unit gain",
    "sinc, unit gain",
    "Gabor",
    "mel, heads",
    "linear, heads",
)


# Weights are averaged over the last tenth of a training, and test clips heard from four places: less noise.
AVERAGE, ROTATIONS = 0.1, 4


# Fixed banks that a probe compares too, for experiments.prediction: its scale, and how often a window is the set's.
PROBED = {
    "mel": ("mel", 1),
    "ERB, fixed": ("erb", 1),
    "linear, fixed": ("linear", 1),
    "information, fixed": ("information", 1),
    "mel, long window": ("mel", 2),
}


class Tier(NamedTuple):
    """A part of the grid: which sets and front-ends, with how many filters, and how many seeds."""

    sets: tuple[str, ...]
    frontends: tuple[str, ...]
    n_filters: int
    seeds: int


TIERS = {
    "1": Tier(("insects", "keywords"), FIRST, 16, 10),
    "2": Tier(tuple(SETS), FRONTENDS, 16, 3),
    "3": Tier(tuple(SETS), FRONTENDS, 64, 3),
    "4": Tier(tuple(SETS), tuple(PROBED), 8, 1),
    "5": Tier(tuple(SETS), tuple(PROBED), 32, 1),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train and report; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.bench", __doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds the sets")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="output folder (default: %(default)s)")
    parser.add_argument("--tiers", nargs="+", default=list(TIERS), metavar="TIER", help=f"(default: {' '.join(TIERS)})")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only these sets (default: those of a tier)")
    parser.add_argument(
        "--frontends", nargs="+", metavar="NAME", help="only these front-ends (default: those of a tier)"
    )
    parser.add_argument("--seeds", type=positive_int, help="number of seeds, from 0 (default: that of a tier)")
    parser.add_argument(
        "--first-seed", type=not_negative_int, default=0, metavar="SEED",
        help="without the seeds before it, which another machine has (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--epochs", type=positive_int, default=20, help="passes over the clips (default: %(default)s)")
    parser.add_argument("--batch-size", type=positive_int, default=16, help="clips per step (default: %(default)s)")
    parser.add_argument("--jobs", type=positive_int, default=1, help="runs at the same time (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="report finished runs without training")
    args = parser.parse_args(argv)
    return command(lambda: _work(args), "experiments.bench")


def _work(args: argparse.Namespace) -> None:
    check_among("--tiers", args.tiers, list(TIERS))
    check_among("--sets", args.sets or [], list(SETS))
    check_among("--frontends", args.frontends or [], list(FRONTENDS))
    for what in ("tiers", "sets", "frontends"):
        check_different(f"--{what}", getattr(args, what) or [])
    fewest = min(args.seeds or TIERS[name].seeds for name in args.tiers)
    if args.first_seed >= fewest:
        raise BadDataError(f"--first-seed must be less than the number of seeds, {fewest}, got {args.first_seed}")
    for name in () if args.report else args.tiers:
        tier = TIERS[name]
        for sounds in (s for s in tier.sets if s in (args.sets or SETS)):
            _train(args, tier, sounds)
    print(report(args.out))


def _train(args: argparse.Namespace, tier: Tier, sounds: str) -> None:
    """Train the runs of a tier on one of the sets."""
    given = build_parser(None, "bench").parse_args([])
    seeds = list(range(args.first_seed, args.seeds or tier.seeds))
    vars(given).update(out=args.out / f"{sounds}-{tier.n_filters}", data=args.data / sounds, seeds=seeds)
    vars(given).update({name: getattr(args, name) for name in ("jobs", "epochs", "batch_size")})
    vars(given).update(n_filters=tier.n_filters, average=AVERAGE, rotations=ROTATIONS, **SETS[sounds])
    names = [name for name in tier.frontends if name in (args.frontends or FRONTENDS)]
    placed = _informed(given) if INFORMED.keys() & set(names) else {}
    train_all(given, lambda given, n_classes: make_variants(names, given, n_classes, placed))


def _informed(given: argparse.Namespace) -> dict[str, list[float]]:
    """Place filters by the clips of all folds but one, for each."""
    store, _ = open_sounds(given, given.out / "cache")
    found = {}
    for fold in store.catalog.folds:
        clips, labels = read_clips(store, given.seconds, without=fold)
        information = band_information(
            clips, labels, store.sample_rate, win_length=given.win_length, hop_length=given.hop_length
        )
        found[fold] = [round(center, 3) for center in information.centers(given.n_filters).tolist()]
    return found


def finished(out: Path) -> dict[tuple[str, int], Path]:
    """Return the folders of a bench that have finished runs, by set and number of filters, in this order."""
    found = {}
    for sounds in SETS:
        ends = (path.name.removeprefix(f"{sounds}-") for path in out.glob(f"{sounds}-*"))
        for count in sorted(int(end) for end in ends if end.isdigit()):
            folder = out / f"{sounds}-{count}"
            if any(folder.glob(f"*/*/{RESULT}")):
                found[sounds, count] = folder
    return found


def order(place: Place) -> tuple[int, int, int]:
    """Return the key that sorts as a bench does: by set, number of filters and front-end."""
    sounds, n_filters, name = place
    return list(SETS).index(sounds), n_filters, FRONTENDS.index(name)


def read_runs(path: Path) -> Runs:
    """Read bench_runs.csv, which `report` writes.

    Raises:
        BadDataError: If the file cannot be read or lacks a column, or a run is not one of a bench or there twice.
    """
    found: Runs = {}
    for line, run in read_table(path, ("sounds", "n_filters", *OF_RUN)):
        check_among(f"sounds of {line},", [run["sounds"]], list(SETS))
        check_among(f"variant of {line},", [run["variant"]], list(FRONTENDS))
        try:
            n_filters, seed, accuracy = int(run["n_filters"]), int(run["seed"]), float(run["accuracy"])
        except ValueError as error:
            raise BadDataError(f"n_filters, seed and accuracy of {line}, must be numbers: {error}") from error
        if not 0 <= accuracy <= 1:
            raise BadDataError(f"accuracy of {line}, must be between 0 and 1, got {accuracy}")
        place, key = (run["sounds"], n_filters, run["variant"]), (run["fold"], seed, run["test_clips"])
        own = found.setdefault(place, {})
        if key in own:
            raise BadDataError(f"each run must stand once in {path}, got {line}, again: {place}, {key}")
        own[key] = accuracy
    return found


def report(out: Path) -> str:
    """Report what is finished: write the table and the picture, and return what the screen shows.

    Raises:
        BadDataError: If nothing is.
    """
    rows: list[Row] = []
    runs: list[Row] = []
    for (sounds, n_filters), folder in finished(out).items():
        results, place = read_results(folder), {"sounds": sounds, "n_filters": n_filters}
        own = summarize(results, REFERENCE)
        own.sort(key=lambda row: FRONTENDS.index(row["variant"]))
        rows += [{**place, **row} for row in own]
        runs += [{**place, **{name: run[name] for name in OF_RUN}} for run in describe_runs(results)]
    if not rows:
        raise BadDataError(f"{out} has no finished run of a bench")
    long = tabulate(rows)
    files = write_tables(out / "bench", rows, [_wide(rows), long], reference=REFERENCE)
    runs.sort(key=lambda run: (list(SETS).index(run["sounds"]), *(run[name] for name in ("n_filters", *OF_RUN))))
    write_rows(out / "bench_runs.csv", runs)
    draw(rows, out / "bench.png")
    text = (
        f"minus {REFERENCE}: on the same folds, seeds and test clips, with its 95 % interval; q: p of a paired t-test, "
        "corrected for all lines (false discovery rate); detectable: the difference that so many runs show four times "
        "in five."
    )
    return f"{plain_table(long)}\n\n{text}\nTables and picture: {files}, .png; every run: bench_runs.csv"


def tabulate(rows: Sequence[Row]) -> Table:
    """Return a line for each row, and correct p for the number of all: ``"q"`` of a row."""
    for row, q in zip(rows, corrected(map(comparison_of, rows)), strict=True):
        row["q"] = q
    columns = {
        "sounds": lambda row: row["sounds"],
        "filters": lambda row: str(row["n_filters"]),
        **standard_columns(REFERENCE),
        "detectable": _points_or_dash,
    }
    chosen = ("sounds", "filters", "front-end", "accuracy %", f"minus {REFERENCE}", "p", "q", "detectable", "runs")
    return make_table(rows, {title: columns[title] for title in chosen})


def _points_or_dash(row: Row) -> str:
    comparison = comparison_of(row)
    found = None if comparison is None else comparison.detectable
    return "-" if found is None else f"{100 * found:.1f}"


def _wide(rows: Sequence[Row]) -> Table:
    """A line for each front-end, a column for each set and number of filters: the difference and its interval."""
    places = list(dict.fromkeys((row["sounds"], row["n_filters"]) for row in rows))
    names = list(dict.fromkeys(row["variant"] for row in rows))
    found = {(row["variant"], row["sounds"], row["n_filters"]): row for row in rows}
    lines = [[name, *(_cell(found.get((name, *place))) for place in places)] for name in names]
    return [["front-end", *(f"{sounds}, {n}" for sounds, n in places)], *lines]


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    if row["variant"] == REFERENCE:
        return f"{100 * row['accuracy']:.1f} %"
    return points(comparison_of(row))


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the differences from the reference with their intervals, a panel for each set, two in a line."""
    kinds = list(dict.fromkeys(row["sounds"] for row in rows))
    names = [name for name in FRONTENDS if name != REFERENCE and any(row["variant"] == name for row in rows)]
    counts = sorted({row["n_filters"] for row in rows})
    lines, height = -(-len(kinds) // 2), 0.7 + len(names) * max(0.22, 0.08 * len(counts))
    fig = Figure(figsize=(6.5, 0.8 + lines * height), layout="constrained")
    axes = fig.subplots(lines, 2, sharey=True, squeeze=False)
    for ax in axes.flat[len(kinds) :]:
        ax.set_visible(False)
    for ax, kind in zip(axes.flat, kinds, strict=False):
        ax.axvline(0, color="0.5", linewidth=1)
        for row in rows:
            if row["sounds"] == kind and row["low"] is not None:
                k = counts.index(row["n_filters"])
                y = names.index(row["variant"]) + 0.8 * ((k + 0.5) / len(counts) - 0.5)
                middle, low, high = (100 * row[key] for key in ("difference", "low", "high"))
                filled = row["q"] is not None and row["q"] < 0.05
                ax.errorbar(
                    middle, y, xerr=[[middle - low], [high - middle]], fmt="os^D"[k % 4], markersize=4,
                    color=COLORS[k % len(COLORS)], linewidth=1, markerfacecolor=None if filled else "white",
                    label=f"{counts[k]} filters",
                )  # fmt: skip
        ax.set_title(kind, fontsize=11)
        ax.set_xlabel(f"minus {REFERENCE} (points)")
        ax.set_yticks(range(len(names)), [fill(name, 26) for name in names])
        ax.set_ylim(max(1, len(names)) - 0.5, -0.5)  # mel alone has no line
        ax.grid(axis="x", alpha=0.3)
    labels: dict[str, Any] = {}
    for ax in axes.flat:
        labels |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if labels:
        chosen = [label for count in counts if (label := f"{count} filters") in labels]
        fig.legend([labels[label] for label in chosen], chosen, loc="outside lower center", ncols=len(labels))
    known = [row["q"] for row in rows if row["q"] is not None]
    clear = sum(q < 0.05 for q in known)
    fig.suptitle(
        f"{clear} of {len(known)} differences from {REFERENCE} beyond chance (filled; 95 % intervals)", fontsize=11
    )
    save(fig, path)


if __name__ == "__main__":
    sys.exit(main())
