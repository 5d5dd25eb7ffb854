"""Time and memory of every front-end as ratios to a mel spectrogram with a trainable matrix, in one interleaved run.

Every round runs all candidates once, in random order, so that a machine that is busy for a while slows all of them; a
ratio is the median over the rounds. Peak memory is the largest sum of live torch allocations in one forward and
backward pass, from the profiler: it does not depend on the allocator or the load, but leaves out what the FFT, matrix
and convolution libraries take for themselves. Prints the tables and the targets; writes frontends.json, frontends.md
(the tables, for the docs) and frontends.svg to --out.
"""

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
from typing import Any, NamedTuple

# With one core busy, threads that spin while they wait make two threads up to 30 times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from learnable_frontends import CosGaussFilterbank, Log, MelFrontend, MultiHeadRelevance, SincFilterbank, __version__
from learnable_frontends.functional import conv_energies, frame

REFERENCE, LITERAL, HEADS = "reference mel", "literal convolution", "cos-Gauss + 2 heads"
TAPS = (705, 1001, 1501, 2001, 3001, 4001)
MODES = ("forward", "forward+backward")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # Okabe and Ito
Calls = dict[str, Callable[[], object]]
Times = dict[str, list[float]]


class Workload(NamedTuple):
    """Sizes of one measurement."""

    batch: int
    samples: int
    sample_rate: int
    n_filters: int
    win_length: int
    hop_length: int
    kernel_size: int

    def waveform(self) -> Tensor:
        """White noise, the same in each run."""
        return torch.randn(self.batch, self.samples, generator=torch.Generator().manual_seed(0))

    def __str__(self) -> str:
        return (
            f"{self.batch} clips of {self.samples / self.sample_rate:g} s at {self.sample_rate} Hz, {self.n_filters} "
            f"filters, window {self.win_length}, hop {self.hop_length}, {self.kernel_size} taps"
        )


WORKLOADS = {
    "W1": Workload(8, 16000, 16000, 40, 400, 160, 401),
    "W2": Workload(2, 441000, 44100, 80, 2048, 1024, 705),
}


class TrainableMel(nn.Module):
    """Power spectrogram of `torch.stft` times a trainable matrix that starts as mel triangles.

    ``squares`` takes the power as the sum of two squares, not as torchaudio does by the squared magnitude.
    """

    window: Tensor

    def __init__(self, size: Workload, n_fft: int, *, log: bool = True, squares: bool = False) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.log, self.squares = n_fft, size.hop_length, log, squares
        self.register_buffer("window", torch.hann_window(size.win_length))
        self.matrix = nn.Parameter(MelFrontend(size.sample_rate, size.n_filters).power_response(n_fft))

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute ``(batch, n_filters, frames)``."""
        spectrum = torch.stft(waveform, self.n_fft, self.hop_length, len(self.window), self.window, return_complex=True)
        if self.squares:
            real, imag = torch.view_as_real(spectrum).unbind(-1)
            power = real.square() + imag.square()
        else:
            power = spectrum.abs().square()
        energies = self.matrix @ power
        return torch.log(energies + 1e-3) if self.log else energies


class LiteralConvolution(nn.Module):
    """The layer as written in the paper: every windowed frame convolved with every trainable kernel."""

    window: Tensor

    def __init__(self, size: Workload, kernels: Tensor) -> None:
        super().__init__()
        self.hop_length, self.compression = size.hop_length, Log()
        self.register_buffer("window", torch.hamming_window(size.win_length))
        self.kernels = nn.Parameter(kernels.detach().clone())

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute ``(batch, n_filters, frames)``."""
        half, length = len(self.window) // 2, len(self.window)
        frames = frame(waveform, length, self.hop_length, padding=(half, length - half)) * self.window
        features: Tensor = self.compression(conv_energies(frames, self.kernels, "full"))
        return features


def cos_gauss(size: Workload) -> CosGaussFilterbank:
    """Build the front-end that all further measurements are about."""
    return CosGaussFilterbank(
        size.sample_rate,
        size.n_filters,
        win_length=size.win_length,
        hop_length=size.hop_length,
        kernel_size=size.kernel_size,
    )


def candidates(size: Workload) -> dict[str, nn.Module]:
    """Everything that the tables compare, by name."""
    bank = cos_gauss(size)
    lengths: dict[str, Any] = {"win_length": size.win_length, "hop_length": size.hop_length}
    return {
        REFERENCE: TrainableMel(size, size.win_length),
        "reference mel, real² + imag²": TrainableMel(size, size.win_length, squares=True),
        "floor": TrainableMel(size, bank.n_fft, log=False),
        "mel": MelFrontend(size.sample_rate, size.n_filters, **lengths),
        "cos-Gauss": bank,
        "sinc": SincFilterbank(size.sample_rate, size.n_filters, kernel_size=size.kernel_size, **lengths),
        HEADS: MultiHeadRelevance(cos_gauss(size), n_heads=2),
        LITERAL: LiteralConvolution(size, bank.kernels()),
    }


def call(module: nn.Module, waveform: Tensor, mode: str) -> Callable[[], object]:
    """One pass to be measured. A front-end without parameters has no backward pass."""

    def run() -> None:
        module.zero_grad(set_to_none=True)
        with torch.set_grad_enabled(mode == "forward+backward"):
            loss = module(waveform).sum()
            if loss.requires_grad:
                loss.backward()

    return run


def interleave(calls: Calls, rounds: int, rare: str = "", rare_rounds: int = 0) -> Times:
    """Seconds of every call in every round; ``rare``, too slow for all rounds, runs at the end of the last few."""
    times: Times = {name: [] for name in calls}
    often, shuffle = [name for name in calls if name != rare], random.Random(0).shuffle
    for i in range(-2, rounds):  # two rounds to warm up
        shuffle(often)
        for name in often + [rare] * (rounds - i <= rare_rounds):
            start = time.perf_counter()
            calls[name]()
            if i >= 0:
                times[name].append(time.perf_counter() - start)
        if rounds - i <= rare_rounds:
            calls[often[0]]()  # finds the caches emptied: not counted
    return times


def ratio(times: Times, name: str, to: str) -> float:
    """Median over the rounds, or of medians where one of the two did not run in all of them."""
    a, b = times[name], times[to]
    return float(np.median(np.divide(a, b)) if len(a) == len(b) else np.median(a) / np.median(b))


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


def compare(label: str, size: Workload, threads: list[int], rounds: int, rare_rounds: int) -> list[dict[str, Any]]:
    """Rows of the tables of one workload."""
    modules, waveform, rows = candidates(size), size.waveform(), []
    calls = {mode: {name: call(module, waveform, mode) for name, module in modules.items()} for mode in MODES}
    peaks = {name: peak_bytes(run) for name, run in calls["forward+backward"].items()}
    for n in threads:
        torch.set_num_threads(n)
        times = {mode: interleave(calls[mode], rounds, LITERAL, rare_rounds) for mode in MODES}
        for name in modules:
            row: dict[str, Any] = {"workload": label, "threads": n, "frontend": name, "peak_mib": peaks[name] / 2**20}
            row["memory_ratio"] = peaks[name] / peaks[REFERENCE]
            for mode in MODES:
                quartiles = np.quantile(times[mode][name], [0.25, 0.5, 0.75]) * 1e3
                row[mode] = {"ratio": ratio(times[mode], name, REFERENCE), "ms": quartiles.tolist()}
            if name == HEADS:
                row["heads_share"] = 1 - 1 / ratio(times["forward+backward"], HEADS, "cos-Gauss")
            rows.append(row)
    return rows


def against_first(sizes: dict[str, Workload], rounds: int) -> dict[str, float]:
    """Forward and backward time of the cos-Gauss filterbank at each size, as ratios to the first."""
    calls: Calls = {name: call(cos_gauss(size), size.waveform(), MODES[1]) for name, size in sizes.items()}
    times = interleave(calls, rounds)
    return {name: ratio(times, name, next(iter(sizes))) for name in sizes}


def judge(rows: list[dict[str, Any]], taps: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Say of each target what was measured and whether it is met."""
    targets: list[dict[str, Any]] = []

    def add(name: str, where: str, value: float, limit: float, at_least: bool = False) -> None:
        met = value >= limit if at_least else value <= limit
        sign = ">=" if at_least else "<="
        targets.append({"target": f"{name} {sign} {limit:g}", "where": where, "value": value, "met": bool(met)})

    for row in rows:
        where, seconds = f"{row['workload']}, threads: {row['threads']}", row["forward+backward"]["ratio"]
        if row["frontend"] in ("cos-Gauss", "sinc"):
            add(f"{row['frontend']}: time / reference", where, seconds, 1.6)
            add(f"{row['frontend']}: peak memory / reference", where, row["memory_ratio"], 2.0)
        if row["frontend"] == "cos-Gauss":
            cheap = seconds
        if row["frontend"] == LITERAL and row["workload"] == "W2":
            add("literal convolution: time / cos-Gauss", where, seconds / cheap, 300, at_least=True)
    for n, ratios in taps.items():
        add(f"taps {TAPS[0]} to {TAPS[-1]}: time", f"W2, threads: {n}", ratios[str(TAPS[-1])], 2.0)
    return targets


def table(head: list[str], body: list[list[str]]) -> str:
    """Format a Markdown table that also reads well as it is."""
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [head, ["-" * (w - 1) + (":" if i else "-") for i, w in enumerate(widths)], *body]
    cells = [[c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(x, widths, strict=True))] for x in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def tables(report: dict[str, Any]) -> str:
    """All tables as Markdown: ratios first, then milliseconds and memory."""
    machine, parts = report["machine"], []
    for (workload, size), n in ((item, n) for item in report["workloads"].items() for n in report["threads"]):
        rows = [row for row in report["rows"] if (row["workload"], row["threads"]) == (workload, n)]
        head = [
            "front-end",
            *(f"{mode}, ratio" for mode in MODES),
            "memory, ratio",
            *(f"{m}, ms" for m in MODES),
            "MiB",
        ]
        body = []
        for row in rows:
            ms = ["{1:.4g} ({0:.4g} to {2:.4g})".format(*row[mode]["ms"]) for mode in MODES]
            ratios = [f"{value:.3g}" for value in (*(row[mode]["ratio"] for mode in MODES), row["memory_ratio"])]
            body.append([row["frontend"], *ratios, *ms, f"{row['peak_mib']:.3g}"])
        parts.append(f"**{workload}, {n} thread{'s' * (n > 1)}**: {size}\n\n{table(head, body)}")
        share = next(row["heads_share"] for row in rows if row["frontend"] == HEADS)
        parts.append(f"The two heads take {share:.0%} of the forward and backward time of {HEADS}.\n")
    for name, title in (("taps", "Taps"), ("doubled", "Twice as much")):
        head = [title, *(f"{n} thread{'s' * (n > 1)}, ratio" for n in report["threads"])]
        keys = list(report[name][str(report["threads"][0])])
        body = [[key, *(f"{report[name][str(n)][key]:.3g}" for n in report["threads"])] for key in keys]
        parts.append(f"Forward and backward time of cos-Gauss at W2, relative to the first line\n\n{table(head, body)}")
    body = [[t["target"], t["where"], f"{t['value']:.3g}", "yes" if t["met"] else "NO"] for t in report["targets"]]
    parts.append(table(["target", "where", "measured", "met"], body))
    parts.append(
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, {machine['date']}. A ratio is the "
        "median over rounds in which all ran in turn; milliseconds are medians with quartiles; memory is the peak of "
        "live torch allocations in forward+backward. The floor is the reference at the transform length of cos-Gauss, "
        "without logarithm; mel has nothing to learn and so no backward pass.\n"
    )
    return "\n".join(parts)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the ratios of time and of memory, and time against the number of taps."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(3, 1), layout="constrained")
    names = [name for name in dict.fromkeys(row["frontend"] for row in report["rows"]) if name != LITERAL]
    groups = [(workload, n) for workload in report["workloads"] for n in report["threads"]]
    for i, name in enumerate(names):
        rows = [row for row in report["rows"] if row["frontend"] == name]
        places = np.arange(len(groups)) + 0.8 * (i / len(names) - 0.5)
        heights = [row["forward+backward"]["ratio"] for row in rows]
        left.bar(places, heights, 0.8 / len(names), align="edge", color=COLORS[i], edgecolor="white", label=name)
    left.axhline(1.6, color="0.3", linestyle="--", linewidth=1)
    left.set_xticks(range(len(groups)), [f"{workload}, {n} thread{'s' * (n > 1)}" for workload, n in groups])
    left.set(ylabel="forward + backward time / reference mel", title="Dashed: the target for cos-Gauss and sinc, 1.6")
    left.legend(fontsize=8)
    for i, n in enumerate(report["threads"]):
        ratios = report["taps"][str(n)]
        right.plot([int(k) for k in ratios], list(ratios.values()), "os"[i % 2] + "-", color=COLORS[i], label=f"{n}")
    right.set(xlabel="taps", ylabel="time / time at 705 taps", ylim=(0, None), title="cos-Gauss at W2")
    right.legend(title="threads", fontsize=8)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


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


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; see the module's docstring and ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("docs/_static/benchmark"), help="folder (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each measurement (default: %(default)s)")
    parser.add_argument("--literal-rounds", type=int, default=1, help="those with the literal convolution (default: 1)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--quick", action="store_true", help="tiny clips and 2 rounds: shows that it runs, no more")
    args = parser.parse_args(argv)
    workloads, rounds = WORKLOADS, args.rounds
    if args.quick:
        short = {"W1": {"batch": 1, "samples": 1600}, "W2": {"batch": 1, "samples": 3072}}
        workloads, rounds = {label: size._replace(**short[label]) for label, size in workloads.items()}, 2
    # A network behind the front-end frees larger tensors than these, and from then on glibc keeps blocks below 32 MiB.
    # Do the same here: else it is luck whether a tensor's pages are given back and zeroed anew in each step.
    torch.zeros(31 * 2**18)
    base = workloads["W2"]
    double = {key: base._replace(**{key: 2 * getattr(base, key)}) for key in ("samples", "n_filters", "batch")}
    report: dict[str, Any] = {"machine": machine(), "threads": args.threads, "rounds": rounds, "quick": args.quick}
    report |= {"workloads": {k: str(v) for k, v in workloads.items()}, "rows": [], "taps": {}, "doubled": {}}
    for label, size in workloads.items():
        print(f"measuring {label}: {size}", file=sys.stderr)
        report["rows"] += compare(label, size, args.threads, rounds, min(args.literal_rounds, rounds))
    for n in args.threads:
        print(f"measuring taps and doubled sizes with {n} threads", file=sys.stderr)
        torch.set_num_threads(n)
        report["taps"][str(n)] = against_first({str(k): base._replace(kernel_size=k) for k in TAPS}, rounds)
        report["doubled"][str(n)] = against_first({"nothing": base, **double}, rounds)
    report["targets"] = judge(report["rows"], report["taps"])
    args.out.mkdir(parents=True, exist_ok=True)
    text = tables(report)
    print(text)
    (args.out / "frontends.json").write_text(json.dumps(report, indent=1) + "\n")
    (args.out / "frontends.md").write_text(text)
    plot(report, args.out / "frontends.svg")
    print(f"wrote frontends.json, frontends.md and frontends.svg to {args.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
