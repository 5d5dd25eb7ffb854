"""Time and memory of the relevance heads against the plain formulation: one network a head, all hidden units at once.

The plain formulation uses the very weights of the module it is compared with. The comparison is made in a process of
its own for each allocator: glibc's default, which gives large blocks back and pages them in anew in each step, and one
that retains them, as the training recipe sets it. Rounds are interleaved and ratios are medians over them, as in
benchmarks/frontends.py. Prints the tables and the targets; writes relevance.json, relevance.md (the tables, for the
docs) and relevance.svg to --out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

# As in benchmarks/frontends.py: spinning threads distort everything. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import measuring
from benchmarks.frontends import WORKLOADS, Workload, cos_gauss
from benchmarks.measuring import (
    MODES,
    Calls,
    call,
    interleave,
    milliseconds,
    ratio,
    spread,
    table,
    target,
    threads,
)
from learnable_frontends import MultiHeadRelevance, RelevanceWeighting
from learnable_frontends.plotting.drawing import COLORS

# What glibc reads from the environment when a process starts, as experiments.grid sets it for training.
ALLOCATORS = {"default": {}, "retaining": measuring.RETAINING}
FASTER = {"default": 3.0, "retaining": 1.5}  # targets for plain / ours
BANK, COMPLETE = "filterbank", "with 2 heads"
FRONTEND_ROUNDS = 4  # the front-end is that much faster than the heads of many clips


class Picture(NamedTuple):
    """Size of the features that heads weight."""

    clips: int
    bands: int = 80
    frames: int = 431

    def features(self) -> Tensor:
        """White noise with a gradient, as behind learned filters."""
        return torch.randn(self, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def __str__(self) -> str:
        return f"{self.clips} clips of {self.bands} × {self.frames}"


class Sizes(NamedTuple):
    """Sizes of all measurements."""

    heads: Picture
    variants: Picture
    frontend: Workload


SIZES = Sizes(Picture(32), Picture(8), WORKLOADS["W2"])
QUICK = Sizes(Picture(2, frames=43), Picture(2, frames=43), SIZES.frontend._replace(batch=1, samples=3072))
VARIANTS: dict[str, dict[str, Any]] = {
    "1 head": {"n_heads": 1},
    "2 heads": {},
    "80 heads": {"n_heads": 80},
    "2 heads, 20 and 60 bands": {"split": (20, 60)},
    "2 heads, even-odd": {"split": "even-odd"},
    "2 heads, conv first layer": {"first_layer": "conv"},
    "2 heads, softmax gate": {"gate": "softmax", "context": 25, "hidden": 10},
}


class PlainRelevance(nn.Module):
    """The heads as one would write them, head by head, with the weights of ``relevance``."""

    def __init__(self, relevance: RelevanceWeighting) -> None:
        super().__init__()
        self.relevance = relevance
        step = relevance.n_heads if relevance.split == "even-odd" else 1
        self.parts = [slice(part[0], part[-1] + 1, step) for part in relevance.parts]

    def forward(self, features: Tensor) -> Tensor:
        """Weight features, ``(batch, n_filters, frames)``."""
        masks = torch.cat([self.part_masks(features[:, part], i) for i, part in enumerate(self.parts)], 1)
        if self.relevance.split == "even-odd":
            masks = masks[:, torch.tensor([*chain(*self.relevance.parts)]).argsort()]
        return features + masks * features

    def part_masks(self, features: Tensor, head: int) -> Tensor:
        """Weights of one part, ``(batch, filters of the part, frames)``."""
        settings, frames = self.relevance, features.shape[-1]
        window, context = 2 * settings.context + 1, settings.context
        weight1, bias1 = settings.weight1[head], settings.bias1[head]
        patches = settings.gate == "softmax"
        padded = F.pad(features, (0, -frames % window) if patches else (context, context))
        windows = padded.unfold(-1, window, window if patches else 1)
        if settings.first_layer == "linear":
            hidden = torch.sigmoid(F.linear(windows, weight1, bias1))
        else:
            convolved = F.conv1d(windows.reshape(-1, 1, window), weight1[:, None], bias1)
            hidden = torch.sigmoid(convolved).reshape(*windows.shape[:-1], -1)
        logits = F.linear(hidden, settings.weight2[head, None], settings.bias2[head, None])[..., 0]
        if patches:
            return torch.softmax(logits, 1).repeat_interleave(window, -1)[..., :frames]
        return torch.sigmoid(logits)


def pair(size: Picture, **settings: Any) -> dict[str, nn.Module]:
    """Our module and the plain formulation of the same weights."""
    ours = RelevanceWeighting(size.bands, **settings)
    return {"ours": ours, "plain": PlainRelevance(ours)}


def compare_heads(size: Picture, rounds: int) -> dict[str, Any]:
    """Times and peak memory of two heads, ours and plain."""
    modules, features = pair(size), size.features()
    calls = {mode: {name: call(module, features, mode) for name, module in modules.items()} for mode in MODES}
    result: dict[str, Any] = {"mib": {name: measuring.peak_bytes(run) / 2**20 for name, run in calls[MODES[1]].items()}}
    result["memory_ratio"] = result["mib"]["ours"] / result["mib"]["plain"]
    for mode in MODES:
        times = interleave(calls[mode], rounds)
        result[mode] = {"plain_to_ours": ratio(times, "plain", "ours")}
        result[mode] |= {name: milliseconds(times, name) for name in modules}
    return result


def compare_variants(size: Picture, rounds: int) -> dict[str, dict[str, Any]]:
    """Forward and backward times of every kind of head, ours and plain, and how far their outputs differ."""
    features = size.features()
    rows: dict[str, dict[str, Any]] = {}
    calls: Calls = {}
    for variant, settings in VARIANTS.items():
        modules = pair(size, **settings)
        with torch.no_grad():
            difference = modules["ours"](features) - modules["plain"](features)
        rows[variant] = {"difference": float(difference.abs().max())}
        calls |= {f"{variant}, {name}": call(module, features, MODES[1]) for name, module in modules.items()}
    times = interleave(calls, rounds)
    for variant, row in rows.items():
        row["plain_to_ours"] = ratio(times, f"{variant}, plain", f"{variant}, ours")
        row["to_one_head"] = ratio(times, f"{variant}, ours", "1 head, ours")
        row |= {name: milliseconds(times, f"{variant}, {name}") for name in ("ours", "plain")}
    return rows


def double(size: Picture, rounds: int) -> dict[str, float]:
    """Forward and backward time of two heads on twice as much, relative to ``size``."""
    sizes = {"nothing": size} | {key: size._replace(**{key: 2 * getattr(size, key)}) for key in size._fields}
    calls = {key: call(RelevanceWeighting(size.bands), size.features(), MODES[1]) for key, size in sizes.items()}
    return measuring.against_first(calls, rounds)


def compare_frontends(size: Workload, rounds: int) -> dict[str, Any]:
    """Forward and backward times of the filterbank alone and of the complete front-end."""
    modules = {BANK: cos_gauss(size), COMPLETE: MultiHeadRelevance(cos_gauss(size), n_heads=2)}
    waveform = size.waveform()
    times = interleave({name: call(module, waveform, MODES[1]) for name, module in modules.items()}, rounds)
    return {"ratio": ratio(times, COMPLETE, BANK)} | {name: milliseconds(times, name) for name in modules}


def measure(allocator: str, numbers: list[int], sizes: Sizes, rounds: int) -> list[dict[str, Any]]:
    """Measure with each number of threads in this process, whose environment has chosen the allocator already.

    Variants and doubled sizes are measured with the retaining one only: what they compare has the same sizes.
    """
    settings = []
    for n in numbers:
        print(f"measuring with {threads(n)}, {allocator} allocator", file=sys.stderr)
        torch.set_num_threads(n)
        torch.manual_seed(0)
        environment = {key: value for key, value in os.environ.items() if key in ALLOCATORS["retaining"]}
        row: dict[str, Any] = {"allocator": allocator, "threads": n, "environment": environment}
        row["heads"] = compare_heads(sizes.heads, rounds)
        row["frontend"] = compare_frontends(sizes.frontend, FRONTEND_ROUNDS * rounds)
        if allocator == "retaining":
            row["variants"] = compare_variants(sizes.variants, rounds)
            row["doubled"] = double(sizes.variants, rounds)
        settings.append(row)
    return settings


def measure_apart(allocator: str) -> list[dict[str, Any]]:
    """Run this very command again, in a process that starts with ``allocator``, for its `measure`."""
    environment = {key: value for key, value in os.environ.items() if key not in ALLOCATORS["retaining"]}
    command = [sys.executable, *sys.orig_argv[1:], "--measure", allocator]
    done = subprocess.run(command, env=environment | ALLOCATORS[allocator], stdout=subprocess.PIPE, check=True)
    settings: list[dict[str, Any]] = json.loads(done.stdout)
    return settings


def judge(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each target what was measured and whether it is met."""
    targets = []
    for row in settings:
        where, heads, limit = place(row), row["heads"], FASTER[row["allocator"]]
        targets.append(target("time, plain / ours", where, heads[MODES[1]]["plain_to_ours"], limit, at_least=True))
        targets.append(target("peak memory, ours / plain", where, heads["memory_ratio"], 0.1))
        targets.append(target("time, front-end with 2 heads / filterbank", where, row["frontend"]["ratio"], 1.8))
        if "variants" in row:
            targets.append(target("time, 80 heads / 1 head", where, row["variants"]["80 heads"]["to_one_head"], 2.0))
        for key in Picture._fields if "doubled" in row else ():
            targets.append(target(f"time, twice the {key} / once", where, row["doubled"][key], 2.3))
    return targets


def place(row: dict[str, Any]) -> str:
    """Write where a row was measured."""
    return f"{row['allocator']}, {threads(row['threads'])}"


def tables(report: dict[str, Any]) -> str:
    """All tables as Markdown: ratios first, then milliseconds and memory, and last the targets."""
    machine, settings, parts = report["machine"], report["settings"], []
    head = ["allocator", *(f"{m}, plain / ours" for m in MODES), "memory, ours / plain"]
    head += ["ours, ms", "plain, ms", "ours, MiB", "plain, MiB"]
    body = []
    for row in settings:
        heads = row["heads"]
        ratios = (*(heads[mode]["plain_to_ours"] for mode in MODES), heads["memory_ratio"])
        ms = [spread(heads[MODES[1]][name]) for name in ("ours", "plain")]
        mib = [f"{heads['mib'][name]:.4g}" for name in ("ours", "plain")]
        body.append([place(row), *(f"{value:.3g}" for value in ratios), *ms, *mib])
    parts.append(
        f"**2 heads**, {report['sizes']['heads']}; milliseconds and MiB of forward+backward\n\n{table(head, body)}"
    )
    head = ["heads", "ours / 1 head", "plain / ours", "ours, ms", "plain, ms"]
    for row in settings:
        body = [
            [name, f"{v['to_one_head']:.3g}", f"{v['plain_to_ours']:.3g}", spread(v["ours"]), spread(v["plain"])]
            for name, v in row.get("variants", {}).items()
        ]
        if body:
            parts.append(f"**{place(row)}**, {report['sizes']['variants']}, forward+backward\n\n{table(head, body)}")
    rows = [row for row in settings if "doubled" in row]
    body = [[key, *(f"{row['doubled'][key]:.3g}" for row in rows)] for key in rows[0]["doubled"]]
    title = f"**Twice as much**, time relative to that of {report['sizes']['variants']}, 2 heads, forward+backward"
    parts.append(f"{title}\n\n{table(['twice', *map(place, rows)], body)}")
    body = [
        [place(row), f"{row['frontend']['ratio']:.3g}", *(spread(row["frontend"][name]) for name in (BANK, COMPLETE))]
        for row in settings
    ]
    head = ["allocator", f"{COMPLETE} / {BANK}", f"{BANK}, ms", f"{COMPLETE}, ms"]
    parts.append(f"**Front-end**, {report['sizes']['frontend']}, forward+backward\n\n{table(head, body)}")
    parts.append(
        f"{measuring.described(machine)} A ratio is the "
        "median over rounds in which all ran in turn; milliseconds are medians with quartiles; memory is the peak of "
        "live torch allocations. Features have a gradient, as behind learned filters.\n"
    )
    parts.append(measuring.target_table(report["targets"]))  # last, so that a page can leave it out
    return "\n".join(parts)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the time of the plain formulation over ours: two heads everywhere, and every kind of head."""
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 11
    fig, (above, below) = plt.subplots(2, 1, figsize=(6, 7.5), height_ratios=(2, 3), layout="constrained")
    settings = report["settings"]
    for i, mode in enumerate(MODES):
        heights = [row["heads"][mode]["plain_to_ours"] for row in settings]
        above.bar(np.arange(len(settings)) + 0.4 * (i - 1), heights, 0.4, align="edge", color=COLORS[i], label=mode)
    above.axhline(1, color="0.3", linewidth=1)
    above.set_xticks(range(len(settings)), [place(row).replace(", ", "\n") for row in settings])
    above.set(ylabel="time of plain / ours", xlabel="allocator and threads")
    above.set_title(f"Two heads against the plain form\n({report['sizes']['heads']})", fontsize=12)
    above.legend(fontsize=10)
    rows = [row for row in settings if "variants" in row]
    for i, row in enumerate(rows):
        widths = [variant["plain_to_ours"] for variant in row["variants"].values()]
        places = np.arange(len(widths)) + 0.8 * (i / len(rows) - 0.5)
        below.barh(places, widths, 0.8 / len(rows), align="edge", color=COLORS[i + 2], label=place(row))
    below.axvline(1, color="0.3", linewidth=1)
    below.set_yticks(range(len(VARIANTS)), list(VARIANTS))
    below.set(xlabel="time of plain / ours")
    below.set_title(f"Other heads, forward and backward\n({report['sizes']['variants']})", fontsize=12)
    below.invert_yaxis()
    below.legend(fontsize=10)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def main() -> int:
    """Measure, print and write; see the module's docstring and ``--help``."""
    parser = measuring.arguments(__doc__, rounds=7)
    parser.add_argument("--measure", choices=ALLOCATORS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes, rounds = (QUICK, 2) if args.quick else (SIZES, args.rounds)
    if args.measure:
        print(json.dumps(measure(args.measure, args.threads, sizes, rounds)))
        return 0
    report: dict[str, Any] = {"machine": measuring.machine(), "rounds": rounds, "quick": args.quick}
    report["sizes"] = {key: str(size) for key, size in sizes._asdict().items()}
    report["settings"] = [row for allocator in ALLOCATORS for row in measure_apart(allocator)]
    report["targets"] = judge(report["settings"])
    measuring.write(args.out, "relevance", report, tables(report), plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
