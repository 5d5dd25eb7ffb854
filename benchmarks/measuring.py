"""What the benchmarks share: interleaved rounds, ratios, peak memory, tables and targets."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from learnable_frontends import __version__

MODES = ("forward", "forward+backward")
# Environment in which glibc keeps freed memory for the process.
RETAINING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
Calls = dict[str, Callable[[], object]]
Times = dict[str, list[float]]
Report = dict[str, Any]


def arguments(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """Make a parser with what every benchmark takes; ``rounds`` is the default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("docs/_static/benchmark"), help="folder (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds of each measurement (default: %(default)s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--quick", action="store_true", help="tiny clips and 2 rounds: shows that it runs, no more")
    return parser


def call(module: nn.Module, inputs: Tensor, mode: str) -> Callable[[], object]:
    """One pass to be measured. A module without parameters has no backward pass, unless ``inputs`` have a gradient."""

    def run() -> None:
        module.zero_grad(set_to_none=True)
        inputs.grad = None
        with torch.set_grad_enabled(mode == "forward+backward"):
            loss = module(inputs).sum()
            if loss.requires_grad:
                loss.backward()

    return run


def interleave(
    calls: Calls, rounds: int, rare: str = "", rare_rounds: int = 0, clock: Callable[[], float] = time.perf_counter
) -> Times:
    """Seconds of every call in every round; ``rare``, too slow for all rounds, runs at the end of the last few."""
    times: Times = {name: [] for name in calls}
    often, shuffle = [name for name in calls if name != rare], random.Random(0).shuffle
    for i in range(-2, rounds):  # two rounds to warm up
        shuffle(often)
        for name in often + [rare] * (rounds - i <= rare_rounds):
            start = clock()
            calls[name]()
            if i >= 0:
                times[name].append(clock() - start)
        if rounds - i <= rare_rounds:
            calls[often[0]]()  # finds the caches emptied: not counted
    return times


def ratio(times: Times, name: str, to: str) -> float:
    """Median over the rounds, or of medians where one of the two did not run in all of them."""
    a, b = times[name], times[to]
    return float(np.median(np.divide(a, b)) if len(a) == len(b) else np.median(a) / np.median(b))


def milliseconds(times: Times, name: str) -> list[float]:
    """Quartiles over the rounds."""
    quartiles: list[float] = (np.quantile(times[name], [0.25, 0.5, 0.75]) * 1e3).tolist()
    return quartiles


def against_first(calls: Calls, rounds: int) -> dict[str, float]:
    """Time of each call as a ratio to the first."""
    times = interleave(calls, rounds)
    return {name: ratio(times, name, next(iter(calls))) for name in calls}


def peak_bytes(run: Callable[[], object]) -> int:
    """Largest sum of live torch allocations while ``run`` runs."""
    profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    profiler.start()
    run()
    profiler.stop()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    steps = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    return int(max(np.cumsum([size for _, size in steps])))


def target(name: str, where: str, value: float, limit: float, *, at_least: bool = False) -> dict[str, Any]:
    """Say what was measured and whether it is met."""
    met = value >= limit if at_least else value <= limit
    sign = ">=" if at_least else "<="
    return {"target": f"{name} {sign} {limit:g}", "where": where, "value": value, "met": bool(met)}


def table(head: list[str], body: list[list[str]]) -> str:
    """Format a Markdown table that also reads well as it is."""
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [head, ["-" * (w - 1) + (":" if i else "-") for i, w in enumerate(widths)], *body]
    cells = [[c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(x, widths, strict=True))] for x in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def target_table(targets: list[dict[str, Any]]) -> str:
    """Tabulate what `target` says of each target."""
    body = [[t["target"], t["where"], f"{t['value']:.3g}", "yes" if t["met"] else "NO"] for t in targets]
    return table(["target", "where", "measured", "met"], body)


def threads(n: int) -> str:
    """Write a number of threads."""
    return f"{n} thread{'s' * (n > 1)}"


def spread(quartiles: list[float]) -> str:
    """Write a median with its quartiles."""
    return "{1:.4g} ({0:.4g} to {2:.4g})".format(*quartiles)


def machine() -> dict[str, Any]:
    """Describe what the numbers were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "learnable_frontends": __version__,
        "omp_wait_policy": os.environ["OMP_WAIT_POLICY"],
        "date": datetime.date.today().isoformat(),
    }


def described(machine: dict[str, Any], **versions: str) -> str:
    """Write what `machine` says in a sentence, with the versions of libraries besides torch."""
    libraries = "".join(f", {name} {version}" for name, version in versions.items())
    return f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}{libraries}, {machine['date']}."


def write(out: Path, name: str, report: Report, text: str, plot: Callable[[Report, Path], None] | None = None) -> None:
    """Print the tables and write them, the report and its picture, if there is one, to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    print(text)
    (out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / f"{name}.md").write_text(text)
    if plot is not None:
        plot(report, out / f"{name}.svg")
    kinds = ("json", "md") if plot is None else ("json", "md", "svg")
    print(f"wrote {', '.join(f'{name}.{kind}' for kind in kinds)} to {out}", file=sys.stderr)
