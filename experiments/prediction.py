"""Does the probe predict training? Banks ranked by both, on every set and number of filters of a bench.

DATA holds the sets, and --out is the output folder of experiments.bench. Of each of its folders, such as insects-16,
the fixed banks that were trained are compared by the probe too. Their order after training is compared with that of
the probe and with that of the probe's mean over all numbers of filters of the set. How well half of the folds tell
the order on the other half shows how well the order is known at all. Writes prediction.md, .csv, .json and .png into
--out, and what the probe found into probe.json of each folder; nothing is trained.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from experiments.arguments import make_parser
from experiments.bench import PROBED, REFERENCE, SETS, finished
from experiments.data.folds import find_sources
from experiments.figures import save
from experiments.files import BadDataError, command, write_whole
from experiments.options import build_parser, open_sounds
from experiments.probe import probe_store
from experiments.runs import read_json, read_results
from experiments.statistics import interval
from experiments.tables import Row, Table, plain_table, write_tables
from learnable_frontends.plotting.drawing import COLORS

Key = tuple[str, int, str]  # of a run
DRAWS = 10_000  # of the bootstrap over sets
FEWEST = 3  # banks that can be ranked


def main(argv: Sequence[str] | None = None) -> int:
    """Probe and compare; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.prediction", __doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the folders of the sets")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of a bench (default: %(default)s)")
    args = parser.parse_args(argv)
    return command(lambda: print(_work(args.data, args.out)), "experiments.prediction")


def _work(data: Path, out: Path) -> str:
    rows: list[Row] = []
    for (sounds, n_filters), folder in finished(out).items():
        trained = _trained(folder)
        if REFERENCE in trained and len(trained) >= FEWEST:
            probed = _probed(data / sounds, folder, SETS[sounds], n_filters)
            halves, place = _halves(trained), {"sounds": sounds, "n_filters": n_filters}
            rows += [
                {**place, "bank": bank, "probe": probed[bank], "training": fmean(own.values()), "halves": halves}
                for bank, own in trained.items()
            ]
    if not rows:
        banks = f"{FEWEST} of the banks {', '.join(PROBED)}"
        raise BadDataError(f"{out} must have runs of {banks} on a set, {REFERENCE} among them, got none")
    return report(rows, out)


def _trained(folder: Path) -> dict[str, dict[Key, float]]:
    """Return the accuracies after training of each probed bank, over the folds and seeds that all of them have."""
    found: dict[str, dict[Key, float]] = {}
    for result in read_results(folder):
        if result.variant in PROBED:
            found.setdefault(result.variant, {})[result.key] = result.accuracy
    keys = set.intersection(*map(set, found.values())) if found else set()
    return {name: {key: own[key] for key in keys} for name, own in found.items()} if keys else {}


def _halves(trained: Mapping[str, Mapping[Key, float]]) -> float | None:
    """Return the rank correlation of two halves of the folds, the mean over all such halves; ``None`` of one fold."""
    folds = sorted({key[0] for own in trained.values() for key in own})
    found = []
    for half in combinations(folds, len(folds) // 2) if len(folds) > 1 else ():
        parts = [
            [fmean(value for key, value in own.items() if (key[0] in half) == here) for own in trained.values()]
            for here in (True, False)
        ]
        found.append(_correlation(*parts))
    return fmean(found) if found else None


def _probed(sounds: Path, folder: Path, lengths: Mapping[str, Any], n_filters: int) -> dict[str, float]:
    """Return the accuracy of the probe for each bank, from ``probe.json`` if it is there."""
    path = folder / "probe.json"
    if not path.exists():
        args = build_parser(None, "prediction").parse_args([])
        vars(args).update(data=sounds, sample_rate=lengths["sample_rate"])
        store, _ = open_sounds(args, folder / "cache")
        store.claim(folder / "clips.csv")  # those that were trained on
        sources, _ = find_sources([store.catalog.name(i) for i in range(len(store))], None)
        windows = [factor * lengths["win_length"] for factor in (1, 2)]
        banks = {"n_filters": [n_filters], "win_length": windows, "hop_length": lengths["hop_length"]}
        candidates = probe_store(store, args.seconds, sources, **banks).candidates
        found = {(c.scale, c.win_length // lengths["win_length"]): c.accuracy for c in candidates}
        write_whole(path, json.dumps({name: found[place] for name, place in PROBED.items()}) + "\n")
    return read_json(path)


def report(rows: list[Row], out: Path) -> str:
    """Rank the banks of each set and number of filters, and write the tables and the picture.

    Args:
        rows: ``sounds``, ``n_filters``, ``bank``, the accuracies ``probe`` and ``training``, and for each place
            ``halves``. Differences are added.
        out: Folder to write to.

    Returns:
        What the screen shows.
    """
    places: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        places.setdefault((row["sounds"], row["n_filters"]), []).append(row)
    for own in places.values():
        reference = next(row for row in own if row["bank"] == REFERENCE)
        for row in own:
            row |= {f"{what}_difference": row[what] - reference[what] for what in ("probe", "training")}
    for row in rows:
        own = [other for other in rows if (other["sounds"], other["bank"]) == (row["sounds"], row["bank"])]
        row["mean_difference"] = fmean(other["probe_difference"] for other in own)
    lines: Table = []
    names = ("probe", "mean", "halves", "gain", "gain_of_mean")
    found: dict[str, list[tuple[str, float | None]]] = {name: [] for name in names}
    for (sounds, n_filters), own in places.items():
        line = [sounds, f"{n_filters}"]
        found["halves"].append((sounds, own[0]["halves"]))
        for what, gain in (("probe", "gain"), ("mean", "gain_of_mean")):
            correlation = _correlation(*([row[name] for row in own] for name in (f"{what}_difference", "training")))
            chosen = max(own, key=lambda row: row[f"{what}_difference"])
            gained = 100 * chosen["training_difference"]
            found[what].append((sounds, correlation))
            found[gain].append((sounds, gained))
            line += [f"{correlation:+.2f}", chosen["bank"], f"{gained:+.1f}"]
        halves = own[0]["halves"]
        lines.append([*line, "-" if halves is None else f"{halves:+.2f}"])
    titles = ["rank correlation", "first", f"minus {REFERENCE}"]
    head = ["sounds", "filters", *titles, *(f"mean: {title}" for title in titles), "halves of folds"]
    summary = {name: _bootstrap(values) for name, values in found.items()}
    files = write_tables(out / "prediction", rows, [[head, *lines]], **summary, places=len(places))
    known = {name: interval(*ends, digits=1 if "gain" in name else 2) for name, ends in summary.items()}
    _draw(rows, out / "prediction.png", known)
    text = (
        f"{len(places)} sets and numbers of filters, means; brackets: 95 % intervals of a bootstrap over sets\n"
        f"rank correlation with training: {known['probe']}, of the probe's mean over numbers of filters: "
        f"{known['mean']}\nof training on half of the folds with the other half: {known['halves']}\n"
        f"after training, the probe's first bank minus {REFERENCE}, in points: {known['gain']}, "
        f"the mean's: {known['gain_of_mean']}"
    )
    return f"{plain_table([head, *lines])}\n\n{text}\nTables and picture: {files}, .png"


def _correlation(*columns: Sequence[float]) -> float:
    """Return Spearman's rank correlation of two columns; zero if one of them has a tie of all."""
    rounded = [[round(value, 9) for value in column] for column in columns]
    return 0.0 if any(len(set(column)) == 1 for column in rounded) else float(spearmanr(*rounded).statistic)


def _bootstrap(values: Sequence[tuple[str, float | None]]) -> tuple[float | None, float | None, float | None]:
    """Return the mean of values by set, and the ends of its 95 % interval over sets; ``None`` for what is unknown."""
    of_set: dict[str, list[float]] = {}
    for sounds, value in values:
        if value is not None:
            of_set.setdefault(sounds, []).append(value)
    if not of_set:
        return None, None, None
    mean = fmean(value for own in of_set.values() for value in own)
    if len(of_set) == 1:
        return mean, None, None
    sums, sizes = (np.array([part(own) for own in of_set.values()]) for part in (sum, len))
    drawn = np.random.default_rng(0).integers(len(of_set), size=(DRAWS, len(of_set)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    return mean, float(low), float(high)


def _draw(rows: Sequence[Row], path: Path, known: Mapping[str, str]) -> None:
    """Draw the differences from the reference after training against those of the probe, and against their means."""
    fig = Figure(figsize=(6.5, 3.9), layout="constrained")
    axes = fig.subplots(1, 2, sharey=True)
    for ax, what, title in zip(axes, ("probe", "mean"), ("one number of filters", "mean over all"), strict=True):
        for i, sounds in enumerate(dict.fromkeys(row["sounds"] for row in rows)):
            own = [row for row in rows if row["sounds"] == sounds and row["bank"] != REFERENCE]
            x, y = ([100 * row[f"{name}_difference"] for row in own] for name in (what, "training"))
            ax.scatter(x, y, color=COLORS[i], marker="os^D"[i % 4], label=sounds)
        ax.axhline(0, color="0.6", linewidth=1)
        ax.axvline(0, color="0.6", linewidth=1)
        ax.set_xlabel(f"probe, minus {REFERENCE} (points)")
        ax.set_title(f"{title}:\n{known[what]}", fontsize=10)
    axes[0].set_ylabel(f"after training, minus {REFERENCE} (points)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10)
    fig.suptitle("Rank correlation of the probe with training", fontsize=11)
    save(fig, path)


if __name__ == "__main__":
    sys.exit(main())
