"""Does the probe predict training? Banks ranked by both, on every set and number of filters of a bench.

DATA holds the sets, and --out is the output folder of experiments.bench. Of each of its folders, such as insects-16,
the fixed banks that were trained are compared by the probe too. Writes prediction.md, .csv, .json and .png into --out,
and what the probe found into probe.json of each folder; nothing is trained.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from experiments.arguments import make_parser
from experiments.bench import PROBED, REFERENCE, SETS, finished
from experiments.data.folds import find_sources
from experiments.figures import save
from experiments.files import BadDataError, command, write_whole
from experiments.options import build_parser, open_sounds
from experiments.probe import probe_store
from experiments.runs import read_json, read_results
from experiments.tables import Row, plain_table, write_tables
from learnable_frontends.plotting.drawing import COLORS

DRAWS = 10_000  # of the bootstrap over sets and numbers of filters
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
            place = {"sounds": sounds, "n_filters": n_filters}
            rows += [{**place, "bank": b, "probe": probed[b], "training": share} for b, share in trained.items()]
    if not rows:
        banks = f"{FEWEST} of the banks {', '.join(PROBED)}"
        raise BadDataError(f"{out} must have runs of {banks} on a set, {REFERENCE} among them, got none")
    return _report(rows, out)


def _trained(folder: Path) -> dict[str, float]:
    """Return the mean accuracy after training of each probed bank, over the folds and seeds that all of them have."""
    found: dict[str, dict[Hashable, float]] = {}
    for result in read_results(folder):
        if result.variant in PROBED:
            found.setdefault(result.variant, {})[result.key] = result.accuracy
    keys = set.intersection(*map(set, found.values())) if found else set()
    return {name: fmean(own[key] for key in keys) for name, own in found.items()} if keys else {}


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


def _report(rows: list[Row], out: Path) -> str:
    """Write the tables and the picture."""
    places: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        places.setdefault((row["sounds"], row["n_filters"]), []).append(row)
    correlations, best = [], []
    lines = []
    for (sounds, n_filters), own in places.items():
        reference = next(row for row in own if row["bank"] == REFERENCE)
        for row in own:
            row |= {f"{what}_difference": row[what] - reference[what] for what in ("probe", "training")}
        correlations.append(_correlation(own))
        chosen = max(own, key=lambda row: row["probe"])
        best.append(chosen["training"] - reference["training"])
        shown = ", ".join(row["bank"] for row in sorted(own, key=lambda row: -row["training"]))
        lines.append(
            [sounds, f"{n_filters}", f"{correlations[-1]:+.2f}", chosen["bank"], f"{100 * best[-1]:+.1f}", shown]
        )
    middle, low, high = _bootstrap(np.array(correlations))
    gain = _bootstrap(100 * np.array(best))
    head = [
        "sounds",
        "filters",
        "rank correlation",
        "best of the probe",
        f"minus {REFERENCE}",
        "by training, best first",
    ]
    summary = {"correlation": [middle, low, high], "gain": list(gain), "places": len(places)}
    files = write_tables(out / "prediction", rows, [[head, *lines]], **summary)
    _draw(rows, out / "prediction.png", f"Rank correlation {middle:+.2f} [{low:+.2f}, {high:+.2f}]")
    text = (
        f"{len(places)} sets and numbers of filters, means; brackets: 95 % intervals of a bootstrap over these\n"
        f"rank correlation: {middle:+.2f} [{low:+.2f}, {high:+.2f}]\n"
        f"after training, the probe's best bank minus {REFERENCE}, in points: "
        f"{gain[0]:+.1f} [{gain[1]:+.1f}, {gain[2]:+.1f}]"
    )
    return f"{plain_table([head, *lines])}\n\n{text}\nTables and picture: {files}, .png"


def _correlation(rows: Sequence[Row]) -> float:
    """Return Spearman's rank correlation of probe and training; zero if one of them has a tie of all."""
    columns = [[round(row[what], 9) for row in rows] for what in ("probe", "training")]
    return 0.0 if any(len(set(column)) == 1 for column in columns) else float(spearmanr(*columns).statistic)


def _bootstrap(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % interval."""
    draws = np.random.default_rng(0).choice(values, (DRAWS, len(values))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _draw(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw the differences from the reference after training against those of the probe."""
    fig = Figure(figsize=(6, 4.5), layout="constrained")
    ax = fig.subplots()
    for i, sounds in enumerate(dict.fromkeys(row["sounds"] for row in rows)):
        own = [row for row in rows if row["sounds"] == sounds and row["bank"] != REFERENCE]
        x, y = ([100 * row[f"{what}_difference"] for row in own] for what in ("probe", "training"))
        ax.scatter(x, y, color=COLORS[i], marker="os^D"[i % 4], label=sounds)
    ax.axhline(0, color="0.6", linewidth=1)
    ax.axvline(0, color="0.6", linewidth=1)
    ax.set(
        xlabel=f"probe, minus {REFERENCE} (points)", ylabel=f"after training, minus {REFERENCE} (points)", title=title
    )
    ax.legend()
    save(fig, path)


if __name__ == "__main__":
    sys.exit(main())
