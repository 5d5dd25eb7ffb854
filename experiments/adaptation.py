"""Adapt the front-end of a trained speaker encoder to another channel, and measure what it learns and gains.

The network is Resemblyzer's, with the weights in its wheel (pip download --no-deps resemblyzer, and unzip it). They are
fixed, and only the mel spectrogram, `presets.resemblyzer`, learns: some hundred numbers. The training target for a clip
after the channel is the embedding that the unchanged network computes for the clip before the channel, so training
needs no speaker labels. This is compared with no adaptation, and with training the network's last layer in the same
way. The measure is the equal error rate of verification of clips before the channel against clips after it, on speakers
that are not in the training.

Runs go to --out. Run the command again to resume it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.signal import butter, sosfilt
from torch import Tensor
from tqdm import tqdm

from experiments.arguments import make_parser, not_negative_int, positive, positive_int
from experiments.channels import faster
from experiments.data.catalog import read_catalog
from experiments.data.module import Clips
from experiments.data.store import Store
from experiments.files import BadDataError, check_among, check_different, check_folder, command, write_whole
from experiments.runs import claim_settings, read_json
from experiments.speaker_encoder import equal_error_rate, in_batches, load_encoder, raised
from experiments.statistics import compare, fields, mean_and_spread, percent, points
from experiments.tables import Row, plain_table, write_tables
from learnable_frontends import Frontend, WaveformModel, presets

RATE = 16000
WHAT = ("nothing", "front-end", "last layer")


def telephone(waveforms: Tensor, _: torch.Generator) -> Tensor:
    """Between 300 and 3400 Hz."""
    band = butter(4, (300, 3400), "bandpass", fs=RATE, output="sos")
    return torch.from_numpy(sosfilt(band, waveforms.numpy(), axis=-1).astype(np.float32))


def noise(waveforms: Tensor, generator: torch.Generator) -> Tensor:
    """White noise 10 dB below each clip."""
    level = waveforms.square().mean(-1, keepdim=True).sqrt() * 10 ** (-10 / 20)
    return waveforms + level * torch.randn(waveforms.shape, generator=generator)


def speed(waveforms: Tensor, _: torch.Generator) -> Tensor:
    """Played back 15 % faster, so all is higher, and filled with zeros to the same length."""
    return torch.from_numpy(faster(waveforms.numpy(), RATE, 0, 15).astype(np.float32))


CHANNELS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "telephone": telephone, "noise": noise, "speed": speed
}  # fmt: skip


class Voices(NamedTuple):
    """Clips of a second, shape ``(clips, time)``, and for each its speaker and its fold."""

    waveforms: Tensor
    speakers: Tensor
    folds: np.ndarray[Any, Any]


def adapt(what: str, heard: Tensor, wanted: Tensor, args: argparse.Namespace, seed: int) -> WaveformModel:
    """Train what is named so that clips of the channel have the embeddings of the clips themselves."""
    torch.manual_seed(seed)
    frontend: Frontend = presets.resemblyzer(learn=True)
    encoder = load_encoder(args.weights)
    model = WaveformModel(frontend, encoder, frames_first=True)
    function: Callable[[Tensor], Tensor]
    if what == "nothing":
        return model
    if what == "front-end":
        function, given, optimizer = model, heard, torch.optim.Adam(frontend.parameters(), args.frontend_lr)
    else:  # what comes before the last layer does not change
        given = in_batches(lambda clips: encoder.lstm(frontend(clips).mT)[1][0][-1], heard)
        function = encoder.embed
        optimizer = torch.optim.Adam(encoder.linear.requires_grad_(True).parameters(), args.lr)
    for _ in range(args.epochs):
        for some in torch.randperm(len(given)).split(args.batch_size):
            loss = 1 - (function(given[some]) * wanted[some]).sum(-1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def run_one(channel: str, what: str, fold: str, seed: int, voices: Voices, args: argparse.Namespace) -> dict[str, Any]:
    """Adapt on the other folds and verify on this one."""
    generator = torch.Generator().manual_seed(0)  # a clip's noise is the same in each run
    heard, speakers = raised(CHANNELS[channel](voices.waveforms, generator)), voices.speakers
    start = WaveformModel(presets.resemblyzer(), load_encoder(args.weights), frames_first=True)
    wanted, inside = in_batches(start, raised(voices.waveforms)), torch.from_numpy(voices.folds != fold)
    model = adapt(what, heard[inside], wanted[inside], args, seed)
    found, clean = in_batches(model, heard[~inside]), wanted[~inside]
    return {
        "channel": channel,
        "what": what,
        "fold": fold,
        "seed": seed,
        "numbers": sum(p.numel() for p in model.parameters() if p.grad is not None),
        "eer": equal_error_rate(clean, found, speakers[~inside]),
        "clean": equal_error_rate(clean, clean, speakers[~inside]),
        "similarity": float((clean * found).sum(-1).mean()),
        "centers": model.frontend.center_frequencies.tolist(),
    }


def report(runs: Sequence[Row], out: Path) -> str:
    """Write the tables: equal error rates, and their differences from nothing on the same folds and seeds."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for run in runs:
        groups.setdefault((run["channel"], run["what"]), []).append(run)
    rates = {key: {(run["fold"], run["seed"]): run["eer"] for run in own} for key, own in groups.items()}
    rows: list[Row] = []
    table = [["channel", "adapted", "numbers", "EER %", "minus nothing", "likeness", "EER of clean clips %", "runs"]]
    for (channel, what), own in groups.items():
        comparison = None if what == "nothing" else compare(rates[channel, what], rates[channel, "nothing"])
        eer, spread = mean_and_spread([run["eer"] for run in own])
        likeness, clean, numbers = (fmean(run[key] for run in own) for key in ("similarity", "clean", "numbers"))
        row = {"channel": channel, "adapted": what, "numbers": int(numbers), "eer": eer, "spread": spread}
        rows.append({**row, **fields(comparison), "similarity": likeness, "clean": clean, "runs": len(own)})
        line = [channel, what, f"{numbers:.0f}", percent(eer, spread), points(comparison), f"{likeness:.3f}"]
        table.append([*line, percent(clean), f"{len(own)}"])
    return f"{plain_table(table)}\n\nTables: {write_tables(out / 'adaptation', rows, [table])}"


def read_voices(data: Path, out: Path) -> Voices:
    """Read clips FOLD-SPEAKER-N of a second, and see that they are those of other runs in ``out``."""
    store = Store(read_catalog("folders", data, folds="names"), RATE, out / "cache", seconds=1.0)
    store.claim(out / "clips.csv")
    found, clips = store.catalog.clips, Clips(store, range(len(store)), length=RATE)
    waveforms = torch.stack([torch.from_numpy(clips[0, k][0]) for k in range(len(clips))])
    parts = [clip.path.stem.split("-") for clip in found]
    if odd := [clip.path.name for clip, name in zip(found, parts, strict=True) if len(name) != 3]:
        raise BadDataError(f"--data must have clips called FOLD-SPEAKER-N, got {odd[0]}")
    order = {name: k for k, name in enumerate(sorted({name for _, name, _ in parts}))}
    speakers = torch.tensor([order[name] for _, name, _ in parts])
    return Voices(waveforms, speakers, np.array([clip.fold for clip in found]))


def main(argv: Sequence[str] | None = None) -> int:
    """Make all runs and report; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.adaptation", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of folders of clips FOLD-SPEAKER-N.flac")
    parser.add_argument("--weights", type=Path, required=True, help="pretrained.pt of Resemblyzer's wheel")
    parser.add_argument("--out", type=Path, default=Path("runs/adaptation"), help="output folder (%(default)s)")
    parser.add_argument("--channels", nargs="+", default=list(CHANNELS), choices=CHANNELS, help="(default: all)")
    parser.add_argument("--folds", nargs="+", help="folds to verify on (default: all)")
    parser.add_argument("--seeds", type=not_negative_int, nargs="+", default=[0], help="one run each (default: 0)")
    parser.add_argument("--epochs", type=positive_int, default=3, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="clips per step (default: %(default)s)")
    parser.add_argument("--frontend-lr", type=positive, default=1e-2, help="rate of the filters (default: %(default)s)")
    parser.add_argument("--lr", type=positive, default=1e-3, help="rate of the last layer (default: %(default)s)")
    args = parser.parse_args(argv)

    def work() -> None:
        check_folder("--out", args.out)
        load_encoder(args.weights)
        for name in ("channels", "folds", "seeds"):
            check_different(f"--{name}", getattr(args, name) or [])
        settings = {name: getattr(args, name) for name in ("epochs", "batch_size", "frontend_lr", "lr")}
        settings["weights"] = hashlib.sha256(args.weights.read_bytes()).hexdigest()
        claim_settings(args.out / "settings.json", settings)
        voices = read_voices(args.data, args.out)
        present = sorted(set(voices.folds.tolist()), key=int)
        folds = args.folds or present
        check_among("--folds", folds, present)
        runs = []
        for seed, channel, what, fold in tqdm(list(product(args.seeds, args.channels, WHAT, folds)), unit="run"):
            file = args.out / "runs" / f"{channel}-{what.replace(' ', '-')}-fold{fold}-seed{seed}.json"
            if not file.exists():
                write_whole(file, json.dumps(run_one(channel, what, fold, seed, voices, args)) + "\n")
            runs.append(read_json(file))
        print(report(runs, args.out))

    return command(work, "experiments.adaptation")


if __name__ == "__main__":
    sys.exit(main())
