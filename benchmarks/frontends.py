"""Time and memory of every front-end as ratios to a mel spectrogram with a trainable matrix, in one interleaved run.

Every round runs all candidates once, in random order, so that a machine that is busy for a while slows all of them; a
ratio is the median over the rounds. Peak memory is the largest sum of live torch allocations in one forward and
backward pass, from the profiler: it does not depend on the allocator or the load, but leaves out what the FFT, matrix
and convolution libraries take for themselves. Prints the tables and the targets; writes frontends.json, frontends.md
(the tables, for the docs) and frontends.svg to --out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

# With one core busy, threads that spin while they wait make two threads up to 30 times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import measuring, on_device
from benchmarks.measuring import MODES, call, interleave, milliseconds, ratio, table, target, threads
from learnable_frontends import (
    CosGaussFilterbank,
    GaborFilterbank,
    GaussianFilterbank,
    LearnableMelFilterbank,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
)
from learnable_frontends.functional import conv_energies, frame
from learnable_frontends.plotting.drawing import COLORS, MARKERS

SHORT = "n_fft=win_length"
REFERENCE, LITERAL, HEADS = "reference mel", "literal convolution", "cos-Gauss + 2 heads"
TAPS = (705, 1001, 1501, 2001, 3001, 4001)


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


def cos_gauss(size: Workload, n_fft: int | None = None) -> CosGaussFilterbank:
    """Build the front-end that all further measurements are about."""
    return CosGaussFilterbank(
        size.sample_rate,
        size.n_filters,
        win_length=size.win_length,
        hop_length=size.hop_length,
        kernel_size=size.kernel_size,
        n_fft=n_fft,
    )


def candidates(size: Workload) -> dict[str, nn.Module]:
    """Everything that the tables compare, by name."""
    bank = cos_gauss(size)
    lengths: dict[str, Any] = {"win_length": size.win_length, "hop_length": size.hop_length}
    drawn = {**lengths, "n_fft": size.win_length}
    exact, short = ({**settings, "kernel_size": size.kernel_size} for settings in (lengths, drawn))
    rate, n = size.sample_rate, size.n_filters
    return {
        REFERENCE: TrainableMel(size, size.win_length),
        "reference mel, real² + imag²": TrainableMel(size, size.win_length, squares=True),
        "floor": TrainableMel(size, bank.n_fft, log=False),
        "mel": MelFrontend(rate, n, **lengths),
        "learnable mel": LearnableMelFilterbank(rate, n, **drawn),
        "Gaussian": GaussianFilterbank(rate, n, **drawn),
        "cos-Gauss": bank,
        "sinc": SincFilterbank(rate, n, **exact),
        "Gabor": GaborFilterbank(rate, n, **exact),
        f"cos-Gauss, {SHORT}": cos_gauss(size, size.win_length),
        f"sinc, {SHORT}": SincFilterbank(rate, n, **short),
        f"Gabor, {SHORT}": GaborFilterbank(rate, n, **short),
        HEADS: MultiHeadRelevance(cos_gauss(size), n_heads=2),
        LITERAL: LiteralConvolution(size, bank.kernels()),
    }


def compare(label: str, size: Workload, numbers: list[int], rounds: int, rare_rounds: int) -> list[dict[str, Any]]:
    """Rows of the tables of one workload."""
    modules, waveform, rows = candidates(size), size.waveform(), []
    calls = {mode: {name: call(module, waveform, mode) for name, module in modules.items()} for mode in MODES}
    peaks = {name: measuring.peak_bytes(run) for name, run in calls["forward+backward"].items()}
    for n in numbers:
        torch.set_num_threads(n)
        times = {mode: interleave(calls[mode], rounds, LITERAL, rare_rounds) for mode in MODES}
        for name in modules:
            row: dict[str, Any] = {"workload": label, "threads": n, "frontend": name, "peak_mib": peaks[name] / 2**20}
            row["memory_ratio"] = peaks[name] / peaks[REFERENCE]
            for mode in MODES:
                row[mode] = {"ratio": ratio(times[mode], name, REFERENCE), "ms": milliseconds(times[mode], name)}
            if name == HEADS:
                row["heads_share"] = 1 - 1 / ratio(times["forward+backward"], HEADS, "cos-Gauss")
            rows.append(row)
    return rows


def against_first(sizes: dict[str, Workload], rounds: int, *, short: bool = False) -> dict[str, float]:
    """Forward and backward time of the cos-Gauss filterbank at each size, as ratios to the first."""
    calls = {
        name: call(cos_gauss(size, size.win_length if short else None), size.waveform(), MODES[1])
        for name, size in sizes.items()
    }
    return measuring.against_first(calls, rounds)


def judge(
    rows: list[dict[str, Any]], taps: dict[str, dict[str, float]], short_taps: dict[str, dict[str, float]]
) -> list[dict[str, Any]]:
    """Say of each target what was measured and whether it is met."""
    targets = []
    for row in rows:
        where, seconds = f"{row['workload']}, threads: {row['threads']}", row["forward+backward"]["ratio"]
        if row["frontend"] in ("cos-Gauss", "sinc"):
            targets.append(target(f"{row['frontend']}: time / reference", where, seconds, 1.6))
            targets.append(target(f"{row['frontend']}: peak memory / reference", where, row["memory_ratio"], 2.0))
        if row["frontend"] in ("learnable mel", "Gaussian"):
            targets.append(target(f"{row['frontend']}: time / reference", where, seconds, 1.1))
            targets.append(target(f"{row['frontend']}: peak memory / reference", where, row["memory_ratio"], 1.2))
        if row["frontend"].endswith(SHORT):
            targets.append(target(f"{row['frontend']}: time / reference", where, seconds, 1.2))
        if row["frontend"] == "cos-Gauss":
            cheap = seconds
        if row["frontend"] == LITERAL and row["workload"] == "W2":
            targets.append(target("literal convolution: time / cos-Gauss", where, seconds / cheap, 300, at_least=True))
    for ratios_of, limit, name in ((taps, 2.0, ""), (short_taps, 1.3, f", {SHORT}")):
        for n, ratios in ratios_of.items():
            where, value = f"W2, threads: {n}", ratios[str(TAPS[-1])]
            targets.append(target(f"taps {TAPS[0]} to {TAPS[-1]}{name}: time", where, value, limit))
    return targets


def ratio_table(report: dict[str, Any]) -> str:
    """Tabulate forward and backward time over the reference's: a row for each front-end, a column for each place."""
    groups = [(workload, n) for workload in report["workloads"] for n in report["threads"]]
    body = []
    for name in dict.fromkeys(row["frontend"] for row in report["rows"]):
        found = {(row["workload"], row["threads"]): row for row in report["rows"] if row["frontend"] == name}
        body.append([name, *(f"{found[group]['forward+backward']['ratio']:.3g}" for group in groups)])
    return table(["front-end", *(f"{workload}, {n}" for workload, n in groups)], body)


def tables(report: dict[str, Any]) -> str:
    """All tables as Markdown: a short one of ratios, then all ratios, milliseconds and memory, and last the targets."""
    machine, parts = report["machine"], [ratio_table(report)]
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
            ms = [measuring.spread(row[mode]["ms"]) for mode in MODES]
            ratios = [f"{value:.3g}" for value in (*(row[mode]["ratio"] for mode in MODES), row["memory_ratio"])]
            body.append([row["frontend"], *ratios, *ms, f"{row['peak_mib']:.3g}"])
        parts.append(f"**{workload}, {threads(n)}**: {size}\n\n{table(head, body)}")
        share = next(row["heads_share"] for row in rows if row["frontend"] == HEADS)
        parts.append(f"The two heads take {share:.0%} of the forward and backward time of {HEADS}.\n")
    for name, title in (("taps", "Taps"), ("short taps", f"Taps, {SHORT}"), ("doubled", "Twice as much")):
        head = [title, *(f"{threads(n)}, ratio" for n in report["threads"])]
        keys = list(report[name][str(report["threads"][0])])
        body = [[key, *(f"{report[name][str(n)][key]:.3g}" for n in report["threads"])] for key in keys]
        parts.append(f"Forward and backward time of cos-Gauss at W2, relative to the first line\n\n{table(head, body)}")
    parts.append(
        f"{measuring.described(machine)} A ratio is the "
        "median over rounds in which all ran in turn; milliseconds are medians with quartiles; memory is the peak of "
        "live torch allocations in forward+backward. The floor is the reference at the transform length of cos-Gauss, "
        "without logarithm; mel has nothing to learn and so no backward pass.\n"
    )
    parts.append(measuring.target_table(report["targets"]))  # last, so that a page can leave it out
    return "\n".join(parts)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the ratios of time and of memory, and time against the number of taps."""
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 11
    fig, (above, below) = plt.subplots(2, 1, figsize=(6, 7.5), height_ratios=(3, 2), layout="constrained")
    names = [name for name in dict.fromkeys(row["frontend"] for row in report["rows"]) if name != LITERAL]
    groups = [(workload, n) for workload in report["workloads"] for n in report["threads"]]
    for i, (workload, n) in enumerate(groups):
        rows = [row for row in report["rows"] if (row["workload"], row["threads"]) == (workload, n)]
        ratios = {row["frontend"]: row["forward+backward"]["ratio"] for row in rows}
        places = np.arange(len(names)) + 0.15 * (i - (len(groups) - 1) / 2)
        above.plot(
            [ratios[name] for name in names], places, MARKERS[i], color=COLORS[i], label=f"{workload}, {threads(n)}"
        )
    above.axvline(1, color="0.3", linewidth=1)
    above.set_yticks(range(len(names)), names)
    above.set(xscale="log", xlabel="forward and backward time / reference mel", ylim=(len(names) - 0.5, -0.5))
    above.set_xticks(ticks := [0.5, 1, 2, 4, 7], [f"{tick}" for tick in ticks])
    above.set_xticks([], minor=True)
    above.grid(color="0.9")
    above.set_title("Time relative to a mel spectrogram", fontsize=12)
    above.legend(fontsize=10)
    for i, n in enumerate(report["threads"]):
        ratios = report["taps"][str(n)]
        label = threads(n)
        below.plot([int(k) for k in ratios], list(ratios.values()), MARKERS[i] + "-", color=COLORS[i], label=label)
    below.set(xlabel="length of the kernels (taps)", ylabel=f"time / time at {TAPS[0]} taps", ylim=(0, None))
    below.set_title("Long kernels cost little (cos-Gauss, W2)", fontsize=12)
    below.legend(fontsize=10)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def measure_device(device: torch.device, out: Path, rounds: int, *, quick: bool = False) -> int:
    """Measure on another device: 64 clips of 10 s, all but the literal convolution, whose activations take 24 GB."""
    size = WORKLOADS["W2"]._replace(batch=1, samples=3072) if quick else WORKLOADS["W2"]._replace(batch=64)
    modules = {name: module for name, module in candidates(size).items() if name != LITERAL}
    forms = ("eager",) if quick else tuple(on_device.FORMS)
    rows = on_device.device_rows(modules, size.waveform().to(device), REFERENCE, 2 if quick else rounds, forms)
    report = {"machine": measuring.machine(), "device": on_device.described_device(device), "rounds": rounds}
    report |= {"workload": str(size), "quick": quick, "rows": rows}
    measuring.write(out, f"frontends-{device.type}", report, on_device.device_tables(report))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; see the module's docstring and ``--help``."""
    parser = measuring.arguments(__doc__, rounds=40)
    parser.add_argument("--literal-rounds", type=int, default=1, help="those with the literal convolution (default: 1)")
    parser.add_argument("--device", type=torch.device, help="such as cuda: measure there instead, eager and compiled")
    args = parser.parse_args(argv)
    if args.device is not None:
        return measure_device(args.device, args.out, args.rounds, quick=args.quick)
    workloads, rounds = WORKLOADS, args.rounds
    if args.quick:
        short = {"W1": {"batch": 1, "samples": 1600}, "W2": {"batch": 1, "samples": 3072}}
        workloads, rounds = {label: size._replace(**short[label]) for label, size in workloads.items()}, 2
    # A network behind the front-end frees larger tensors than these, and from then on glibc keeps blocks below 32 MiB.
    # Do the same here: else it is luck whether a tensor's pages are given back and zeroed anew in each step.
    torch.zeros(31 * 2**18)
    base = workloads["W2"]
    double = {key: base._replace(**{key: 2 * getattr(base, key)}) for key in ("samples", "n_filters", "batch")}
    report: dict[str, Any] = {"machine": measuring.machine(), "threads": args.threads, "rounds": rounds}
    report |= {"quick": args.quick, "workloads": {k: str(v) for k, v in workloads.items()}}
    report |= {"rows": [], "taps": {}, "short taps": {}, "doubled": {}}
    for label, size in workloads.items():
        print(f"measuring {label}: {size}", file=sys.stderr)
        report["rows"] += compare(label, size, args.threads, rounds, min(args.literal_rounds, rounds))
    for n in args.threads:
        print(f"measuring taps and doubled sizes with {n} threads", file=sys.stderr)
        torch.set_num_threads(n)
        report["taps"][str(n)] = against_first({str(k): base._replace(kernel_size=k) for k in TAPS}, rounds)
        report["short taps"][str(n)] = against_first(
            {str(k): base._replace(kernel_size=k) for k in TAPS}, rounds, short=True
        )
        report["doubled"][str(n)] = against_first({"nothing": base, **double}, rounds)
    report["targets"] = judge(report["rows"], report["taps"], report["short taps"])
    measuring.write(args.out, "frontends", report, tables(report), plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
