"""Time, state and memory of front-ends that are fed chunk by chunk, against the offline call on the same audio.

Every round runs the offline call and all sizes of chunks once, in random order; a ratio is the median over rounds. The
offline call is that of the same frozen front-end, without gradients. Then a long stream, an hour, is made and taken
chunk by chunk: what is held between chunks, and the resident memory of the process, at its start and at its end.
Prints the tables and the targets; writes streaming.json, streaming.md (the tables) and streaming.svg to --out.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As in benchmarks/frontends.py: spinning threads distort everything. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor

from benchmarks import measuring
from benchmarks.frontends import WORKLOADS, Workload
from benchmarks.measuring import interleave, milliseconds, ratio, table, target, threads
from learnable_frontends import PCEN, CosGaussFilterbank, Frontend, MelFrontend, MultiHeadRelevance
from learnable_frontends.plotting.drawing import COLORS, MARKERS
from learnable_frontends.streaming import StreamingFrontend

CHUNKS = (10, 100, 1000)  # milliseconds
LONG_CHUNK = 100  # milliseconds
CONTEXT = 10
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def candidates(size: Workload) -> dict[str, Frontend]:
    """Everything that the tables compare, by name."""
    lengths: dict[str, Any] = {"win_length": size.win_length, "hop_length": size.hop_length, "center": False}

    def bank(**settings: Any) -> CosGaussFilterbank:
        return CosGaussFilterbank(size.sample_rate, size.n_filters, kernel_size=size.kernel_size, **lengths, **settings)

    return {
        "mel": MelFrontend(size.sample_rate, size.n_filters, **lengths),
        "cos-Gauss": bank(),
        "cos-Gauss, PCEN": bank(compression=PCEN(size.n_filters)),
        "cos-Gauss + 2 heads": MultiHeadRelevance(bank(), context=CONTEXT),
        "cos-Gauss + 2 softmax heads": MultiHeadRelevance(bank(), context=CONTEXT, gate="softmax"),
    }


def offline(stream: StreamingFrontend, waveform: Tensor) -> Callable[[], object]:
    """One call of the frozen front-end of a stream on all of the audio."""

    def run() -> None:
        with torch.no_grad():
            stream.frontend(waveform)

    return run


def streamed(stream: StreamingFrontend, waveform: Tensor, samples: int) -> Callable[[], object]:
    """The same audio chunk by chunk."""
    chunks = waveform.split(samples, dim=-1)

    def run() -> None:
        for chunk in chunks:
            stream(chunk)
        stream.flush()

    return run


def state_bytes(stream: StreamingFrontend) -> int:
    """Memory of what a stream holds between chunks."""
    return sum(tensor.untyped_storage().nbytes() for tensor in _tensors(stream._state))


def _tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in _tensors(value)]
    return [state] if isinstance(state, torch.Tensor) else []


def bound_bytes(stream: StreamingFrontend) -> int:
    """What one stream in float32 may hold: a frame of samples, one mean a filter, and frames for the heads."""
    frontend: Any = stream.frontend
    frames = 2 * CONTEXT + 1 if isinstance(frontend, MultiHeadRelevance) else 0
    bank = frontend.frontend if frames else frontend
    return 4 * int(bank.framing.span + frontend.n_filters * (1 + frames))


def compare(label: str, size: Workload, numbers: list[int], rounds: int) -> list[dict[str, Any]]:
    """Rows of the tables of one workload."""
    streams = {name: StreamingFrontend(frontend) for name, frontend in candidates(size).items()}
    waveform, seconds, rows = size.waveform(), size.samples / size.sample_rate, []
    for n in numbers:
        torch.set_num_threads(n)
        for name, stream in streams.items():
            calls = {"offline": offline(stream, waveform)}
            calls |= {str(chunk): streamed(stream, waveform, chunk * size.sample_rate // 1000) for chunk in CHUNKS}
            times = interleave(calls, rounds)
            whole = [value / seconds for value in milliseconds(times, "offline")]
            for chunk in CHUNKS:
                ms = [value / seconds for value in milliseconds(times, str(chunk))]
                row = {"workload": label, "threads": n, "frontend": name, "chunk": chunk, "ms": ms, "offline_ms": whole}
                rows.append({**row, "ratio": ratio(times, str(chunk), "offline"), "latency": stream.latency})
    return rows


def run_long(name: str, frontend: Frontend, size: Workload, seconds: int) -> dict[str, Any]:
    """Take a long stream that is made chunk by chunk, and see what it holds."""
    stream, generator = StreamingFrontend(frontend), torch.Generator().manual_seed(0)
    samples = LONG_CHUNK * size.sample_rate // 1000
    most, busy, memory, frames = 0, 0.0, [], 0
    count = seconds * 1000 // LONG_CHUNK
    for i in range(count):
        chunk = torch.randn(samples, generator=generator)
        begun = time.perf_counter()
        frames += stream(chunk).shape[-1]
        busy += time.perf_counter() - begun
        most = max(most, state_bytes(stream))
        if i in (count // 60, count - 1):
            memory.append(resident_mib())
    last, bound = state_bytes(stream), bound_bytes(stream)
    frames += stream.flush().shape[-1]
    expected = int(stream.frontend.output_lengths(torch.tensor(count * samples)))
    result: dict[str, Any] = {"frontend": name, "seconds": seconds, "ms": 1000 * busy / seconds, "frames": frames}
    result |= {"missing": expected - frames, "state_most": most, "state_last": last, "state_bound": bound}
    return result | {"mib_start": memory[0], "mib_end": memory[-1]}


def resident_mib() -> float:
    """Resident memory of this process, 0 where the system does not say."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * PAGE / 2**20 if path.exists() else 0.0


def judge(rows: list[dict[str, Any]], long: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each target what was measured and whether it is met."""
    targets = []
    for workload, n in dict.fromkeys((row["workload"], row["threads"]) for row in rows):
        smallest = [row for row in rows if (row["workload"], row["threads"], row["chunk"]) == (workload, n, CHUNKS[0])]
        slowest = max(smallest, key=lambda row: float(row["ms"][1]))
        where = f"{workload}, {threads(n)}, slowest: {slowest['frontend']}"
        targets.append(target(f"{CHUNKS[0]} ms chunks: work / audio", where, slowest["ms"][1] / 1000, 0.25))
    for row in long:
        where = f"{row['seconds']} s, {row['frontend']}"
        targets.append(target("state / its bound", where, row["state_most"] / row["state_bound"], 1.0))
        targets.append(target("missing frames", where, row["missing"], 0))
    return targets


def tables(report: dict[str, Any]) -> str:
    """All tables as Markdown: ratios first, then milliseconds."""
    machine, parts = report["machine"], []
    for (workload, size), n in ((item, n) for item in report["workloads"].items() for n in report["threads"]):
        rows = [row for row in report["rows"] if (row["workload"], row["threads"]) == (workload, n)]
        head = ["front-end", *(f"{chunk} ms, ratio" for chunk in CHUNKS)]
        head += ["offline, ms", *(f"{chunk} ms, ms" for chunk in CHUNKS), "latency, samples"]
        body = []
        for name in dict.fromkeys(row["frontend"] for row in rows):
            own = [row for row in rows if row["frontend"] == name]
            ms = [own[0]["offline_ms"], *(row["ms"] for row in own)]
            body.append([name, *(f"{row['ratio']:.3g}" for row in own), *(f"{value[1]:.3g}" for value in ms)])
            body[-1].append(str(own[0]["latency"]))
        parts.append(f"**{workload}, {threads(n)}**: {size}; milliseconds per second of audio\n\n{table(head, body)}")
    head = ["front-end", "state, most, KiB", "state, end, KiB", "memory at 1/60, MiB", "memory at end, MiB", "ms per s"]
    body = [
        [
            row["frontend"],
            *(f"{row[key] / 1024:.3g}" for key in ("state_most", "state_last")),
            *(f"{row[key]:.4g}" for key in ("mib_start", "mib_end", "ms")),
        ]
        for row in report["long"]
    ]
    title = f"**A stream of {report['long'][0]['seconds']} s** in chunks of {LONG_CHUNK} ms, W1, "
    parts.append(f"{title}{threads(report['threads'][0])}\n\n{table(head, body)}")
    parts.append(measuring.target_table(report["targets"]))
    parts.append(
        f"{measuring.described(machine)} A ratio is the "
        "median over rounds in which all ran in turn, to the offline call; milliseconds are medians. Memory is the "
        "resident memory of the process.\n"
    )
    return "\n".join(parts)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw time over that of the offline call against the size of chunks, for each workload."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(report["workloads"]), figsize=(10, 4), layout="constrained", sharey=True)
    n = report["threads"][0]
    for ax, workload in zip(axes, report["workloads"], strict=True):
        rows = [row for row in report["rows"] if (row["workload"], row["threads"]) == (workload, n)]
        for i, name in enumerate(dict.fromkeys(row["frontend"] for row in rows)):
            ratios = [row["ratio"] for row in rows if row["frontend"] == name]
            ax.loglog(CHUNKS, ratios, MARKERS[i] + "-", color=COLORS[i], label=name)
        ax.axhline(1, color="0.3", linewidth=1)
        ax.set(xlabel="chunk (ms)", title=f"{workload}, {threads(n)}")
        ax.set_xticks(CHUNKS, [str(chunk) for chunk in CHUNKS])
    axes[0].set_ylabel("time / offline call")
    axes[0].legend(fontsize=8)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write; see the module's docstring and ``--help``."""
    parser = measuring.arguments(__doc__, rounds=9)
    parser.add_argument("--seconds", type=int, default=3600, help="of the long stream (default: %(default)s)")
    args = parser.parse_args(argv)
    workloads = {k: size._replace(batch=1, samples=10 * size.sample_rate) for k, size in WORKLOADS.items()}
    rounds, seconds = args.rounds, args.seconds
    if args.quick:
        workloads = {k: size._replace(samples=size.sample_rate) for k, size in workloads.items()}
        rounds, seconds = 2, 6
    report: dict[str, Any] = {"machine": measuring.machine(), "threads": args.threads, "rounds": rounds}
    report |= {"quick": args.quick, "workloads": {k: str(v) for k, v in workloads.items()}, "rows": [], "long": []}
    for label, size in workloads.items():
        print(f"measuring {label}: {size}", file=sys.stderr)
        report["rows"] += compare(label, size, args.threads, rounds)
    torch.set_num_threads(args.threads[0])
    for name, frontend in candidates(workloads["W1"]).items():
        print(f"{name}: a stream of {seconds} s", file=sys.stderr)
        report["long"].append(run_long(name, frontend, workloads["W1"], seconds))
    report["targets"] = judge(report["rows"], report["long"])
    measuring.write(args.out, "streaming", report, tables(report), plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
