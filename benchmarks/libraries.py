"""Compare this package with others that turn waveforms into features: what each has, how it deploys, what it costs.

Every cell comes from a probe, a small function for each row, in benchmarks/probes.py; how each library is used is in
benchmarks/adapters.py. A library that does not import is left out and the reason printed. Prints the tables; writes
libraries.json and libraries.md to --out.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in benchmarks/frontends.py

import torch
from torch import nn

from benchmarks import measuring
from benchmarks.adapters import LIBRARIES, W1, WINDOW, Library
from benchmarks.frontends import TrainableMel
from benchmarks.measuring import MODES, call, interleave, milliseconds, ratio, table
from benchmarks.probes import DEPLOYMENT, FEATURES, INSTALLED, ask, quiet

PLAIN = "torch: stft and a matrix"
PROBES = {"installed": INSTALLED, "features": FEATURES, "deployment": DEPLOYMENT}


def importable() -> tuple[dict[str, Library], dict[str, str]]:
    """Part the libraries into those that import and the reasons of those that do not."""
    made, skipped = {}, {}
    for name, library in LIBRARIES.items():
        try:
            with quiet():
                library.learned()
            made[name] = library
        except Exception as error:
            skipped[name] = f"{type(error).__name__}: {error}"
    return made, skipped


def costs(libraries: dict[str, Library], rounds: int) -> list[dict[str, Any]]:
    """Measure each learned bank on one thread, the slow ones apart; ratios to torchaudio's, where it imports.

    Measured is time of the processor: with one thread it differs from the clock's by what other programs take.
    """
    torch.set_num_threads(1)
    torch.zeros(31 * 2**18)  # as in benchmarks/frontends.py
    modules: dict[bool, dict[str, nn.Module]] = {False: {PLAIN: TrainableMel(W1, WINDOW, log=False)}, True: {}}
    for name, library in libraries.items():
        modules[library.slow] |= {f"{name}: {what}": make() for what, make in library.cost.items()}
    reference = next((name for name in modules[False] if name.startswith("torchaudio")), PLAIN)
    times: dict[str, measuring.Times] = {mode: {} for mode in MODES}
    for slow, few in ((False, rounds), (True, max(2, rounds // 20))):
        for mode in MODES:
            calls = {name: call(module, W1.waveform(), mode) for name, module in modules[slow].items()}
            times[mode] |= interleave(calls, few, clock=time.process_time)
    rows: list[dict[str, Any]] = []
    for name in times[MODES[0]]:
        row: dict[str, Any] = {"bank": name, "rounds": len(times[MODES[0]][name])}
        for mode in MODES:
            row[mode] = {"ratio": ratio(times[mode], name, reference), "ms": milliseconds(times[mode], name)}
        rows.append(row)
    return rows


def tables(report: dict[str, Any]) -> str:
    """All tables and notes as Markdown, each between comments that name it."""
    names, notes, parts = report["libraries"], [], {}
    for title in PROBES:
        rows = report[title]
        parts[title] = table(["", *names], [[row, *(cells[n][0] for n in names)] for row, cells in rows.items()])
        notes += [f"- {row}, {n}: {cell[1]}" for row, cells in rows.items() for n, cell in cells.items() if cell[1]]
    body = [[row["bank"], *(f"{row[mode]['ratio']:.3g}" for mode in MODES)] for row in report["cost"]]
    parts["cost"] = table(["learned bank", *MODES], body)
    for row in report["cost"]:
        notes.append(f"- {row['bank']}: {' and '.join(measuring.spread(row[mode]['ms']) for mode in MODES)} ms")
    notes += [f"- left out, {name}: {reason}" for name, reason in report["skipped"].items()]
    parts["notes"] = "\n".join(notes) + "\n"
    rounds = " and ".join(str(n) for n in dict.fromkeys(row["rounds"] for row in report["cost"]))
    parts["machine"] = (
        f"{measuring.described(report['machine'])} {W1}, 1 thread. A ratio of processor time is the median over "
        f"{rounds} rounds in which all ran in turn.\n"
    )
    return "\n".join(f"<!-- {title} -->\n\n{part}\n<!-- end of {title} -->\n" for title, part in parts.items())


def main(argv: list[str] | None = None) -> int:
    """Probe, measure, print and write."""
    options = measuring.arguments(__doc__, rounds=200).parse_args(argv)
    libraries, skipped = importable()
    report: dict[str, Any] = {"machine": measuring.machine(), "libraries": list(libraries), "skipped": skipped}
    report |= {
        title: {
            row: {name: ask(probe, library) for name, library in libraries.items()}
            for row, probe in probes.items()
            if not (options.quick and row == "compiles to one graph")  # takes a minute
        }
        for title, probes in PROBES.items()
    }
    report["cost"] = costs(libraries, 2 if options.quick else options.rounds)
    measuring.write(options.out, "libraries", report, tables(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
