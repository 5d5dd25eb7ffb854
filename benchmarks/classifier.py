"""Time of the experiments' small classifier by its number of filters: what does a bank with fewer filters save?

The classifier alone takes features of random numbers, as many frames as 16 clips of each set of experiments.bench have.
Rounds are interleaved, and ratios are medians over them, as in benchmarks/frontends.py. Prints the table; writes
classifier.json and classifier.md to --out.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in benchmarks/frontends.py

import torch

from benchmarks import measuring
from benchmarks.measuring import MODES, Report, call, interleave, milliseconds, ratio, spread, table, threads
from experiments.training.networks import SmallCNN

BATCH, FACTOR = 16, 4
COUNTS = (8, 16, 32, 64)
# Classes and frames.
SIZES = {"insects": (22, 431), "words": (10, 101), "ESC-10": (10, 216), "UrbanSound8K part": (10, 173)}


def measure(n_threads: int, rounds: int, sizes: dict[str, tuple[int, int]]) -> list[Report]:
    """Return a row for each set and number of filters."""
    torch.set_num_threads(n_threads)
    rows: list[Report] = []
    for name, (n_classes, frames) in sizes.items():
        found: dict[int, Report] = {n: {"set": name, "threads": n_threads, "filters": n} for n in COUNTS}
        for mode in MODES:
            networks = {n: SmallCNN(n_classes, n).train(mode == MODES[1]) for n in COUNTS}
            calls = {str(n): call(network, torch.randn(BATCH, n, frames), mode) for n, network in networks.items()}
            times = interleave(calls, rounds)
            for n, row in found.items():
                row[mode] = {"ms": milliseconds(times, str(n))}
                if FACTOR * n in COUNTS:
                    row[mode]["ratio"] = ratio(times, str(n), str(FACTOR * n))
        rows += found.values()
    return rows


def tables(report: Report) -> str:
    """The table as Markdown."""
    head = ["set", "filters", "classify, ms", "train, ms", f"classify / {FACTOR} x", f"train / {FACTOR} x"]
    parts = []
    for n in dict.fromkeys(row["threads"] for row in report["rows"]):
        body = [
            [row["set"], str(row["filters"])]
            + [spread(row[mode]["ms"]) for mode in MODES]
            + [f"{row[mode]['ratio']:.2f}" if "ratio" in row[mode] else "-" for mode in MODES]
            for row in report["rows"]
            if row["threads"] == n
        ]
        parts.append(f"{threads(n)}:\n\n{table(head, body)}")
    parts.append(
        f"Times of {BATCH} clips, a pass or a step of training: medians and quartiles. The last two columns: over the "
        f"time with {FACTOR} times as many filters.\n"
    )
    return "\n".join([*parts, measuring.described(report["machine"]) + "\n"])


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write."""
    options = measuring.arguments(__doc__, rounds=101).parse_args(argv)
    sizes, rounds = ({"tiny": (2, 20)}, 2) if options.quick else (SIZES, options.rounds)
    rows = [row for n in options.threads for row in measure(n, rounds, sizes)]
    report = {"machine": measuring.machine(), "rounds": rounds, "rows": rows}
    measuring.write(options.out, "classifier", report, tables(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
