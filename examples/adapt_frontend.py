"""A trained speaker encoder hears another channel: what does its front-end learn, and what is that worth?

The network is Resemblyzer's, with the weights of its wheel (pip download --no-deps resemblyzer, and unzip it). It stays
as it is; its mel spectrogram, `presets.resemblyzer`, learns: some hundred numbers. Clips of the channel shall have the
embeddings that the untouched network gives the clips themselves, so no speaker is named in training. Compared with
doing nothing, and with training the network's last layer in the same way. The measure is the equal error rate of
verification, each clip as it is against each clip of the channel, on speakers that training has not heard.

Cells go to --out; the same command run again goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import _environment  # noqa: F401 - before torch
import numpy as np
import torch
import torch.nn.functional as F
from paired import compare, interval_text
from reporting import markdown_table, mean_and_spread, plus_minus
from scipy.signal import butter, resample_poly, sosfilt
from sound_folders import load_folder
from torch import Tensor, nn

from learnable_frontends import Frontend, WaveformModel, presets

RATE, LOUDNESS = 16000, -30.0  # dB below full scale, which Resemblyzer raises quieter clips to
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
    """Played back 15 % faster, so all is higher, and cut or filled with zeros to the same length."""
    fast = torch.from_numpy(resample_poly(waveforms.numpy(), 20, 23, axis=-1).astype(np.float32))
    return F.pad(fast, (0, waveforms.shape[-1] - fast.shape[-1]))


CHANNELS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "telephone": telephone,
    "noise": noise,
    "speed": speed,
}


class VoiceEncoder(nn.Module):
    """The network of Resemblyzer 0.1: frames of 40 bands to an embedding of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)

    def forward(self, frames: Tensor) -> Tensor:
        """Embed ``(batch, frames, 40)``: shape ``(batch, 256)``."""
        return self.embed(self.lstm(frames)[1][0][-1])

    def embed(self, hidden: Tensor) -> Tensor:
        """Embed the last state of the recurrent layers, ``(batch, 256)``."""
        return F.normalize(self.linear(hidden).relu(), dim=-1)


def load_encoder(weights: Path) -> VoiceEncoder:
    """Read the weights of the wheel; nothing in the file is executed."""
    encoder = VoiceEncoder()
    state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
    encoder.load_state_dict({name: value for name, value in state.items() if name in encoder.state_dict()})
    return encoder.eval().requires_grad_(False)


def raised(waveforms: Tensor) -> Tensor:
    """Bring clips to the loudness that the network expects."""
    level = 10 * waveforms.square().mean(-1, keepdim=True).clamp_min(1e-12).log10()
    return waveforms * 10 ** ((LOUDNESS - level).clamp_min(0) / 20)


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply a function to clips, 64 at a time."""
    return torch.cat([function(part) for part in values.split(64)])


def equal_error_rate(enrolled: Tensor, tested: Tensor, speakers: Tensor) -> float:
    """Share of wrong decisions where as many strangers are let in as friends are kept out."""
    scores = enrolled @ tested.T
    same = speakers[:, None] == speakers
    others = ~torch.eye(len(speakers), dtype=torch.bool)  # a clip against itself is no trial
    friends, strangers = scores[same & others].sort().values, scores[~same].sort().values
    refused = torch.arange(len(friends)) / len(friends)
    let_in = 1 - torch.searchsorted(strangers, friends).float() / len(strangers)
    crossing = int((refused - let_in).abs().argmin())
    return float((refused[crossing] + let_in[crossing]) / 2)


def adapt(
    what: str, heard: Tensor, wanted: Tensor, options: argparse.Namespace, seed: int
) -> tuple[Frontend, VoiceEncoder]:
    """Train what is named so that clips of the channel have the embeddings of the clips themselves."""
    torch.manual_seed(seed)
    frontend: Frontend = presets.resemblyzer(learn=True)
    own = load_encoder(options.weights)
    if what == "nothing":
        return frontend, own
    function: Callable[[Tensor], Tensor]
    if what == "front-end":
        function, given = WaveformModel(frontend, own, frames_first=True), heard
        optimizer = torch.optim.Adam(frontend.parameters(), options.frontend_lr)
    else:  # what comes before the last layer does not change
        given = in_batches(lambda clips: own.lstm(frontend(clips).mT)[1][0][-1], heard)
        function = own.embed
        optimizer = torch.optim.Adam(own.linear.requires_grad_(True).parameters(), options.lr)
    for _ in range(options.epochs):
        for part in torch.randperm(len(given)).split(options.batch_size):
            loss = 1 - (function(given[part]) * wanted[part]).sum(-1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return frontend, own


def run_cell(
    channel: str, what: str, fold: int, seed: int, clips: tuple[Tensor, Tensor, Tensor], options: argparse.Namespace
) -> dict[str, Any]:
    """Adapt on the other folds and verify on this one."""
    waveforms, speakers, folds = clips
    generator = torch.Generator().manual_seed(0)  # a clip's noise is the same in each cell
    heard, encoder = raised(CHANNELS[channel](waveforms, generator)), load_encoder(options.weights)
    start = WaveformModel(presets.resemblyzer(), encoder, frames_first=True)
    wanted, inside = in_batches(start, raised(waveforms)), folds != fold
    frontend, own = adapt(what, heard[inside], wanted[inside], options, seed)
    found = in_batches(WaveformModel(frontend, own, frames_first=True), heard[~inside])
    trained = [p for p in (*frontend.parameters(), *own.linear.parameters()) if p.grad is not None]
    return {
        "channel": channel,
        "what": what,
        "fold": fold,
        "seed": seed,
        "numbers": sum(p.numel() for p in trained),
        "eer": equal_error_rate(wanted[~inside], found, speakers[~inside]),
        "clean": equal_error_rate(wanted[~inside], wanted[~inside], speakers[~inside]),
        "similarity": float((wanted[~inside] * found).sum(-1).mean()),
        "centers": frontend.center_frequencies.tolist(),
    }


def report(cells: list[dict[str, Any]]) -> str:
    """Tabulate all cells: equal error rates, and their differences from nothing on the same folds and seeds."""
    rows = [["channel", "adapted", "numbers", "EER %", "minus nothing", "likeness", "EER of clean clips %"]]
    for channel in dict.fromkeys(cell["channel"] for cell in cells):
        own = [cell for cell in cells if cell["channel"] == channel]
        by_what = {what: {(c["fold"], c["seed"]): c["eer"] for c in own if c["what"] == what} for what in WHAT}
        for what, values in by_what.items():
            if not values:
                continue
            of_it = [cell for cell in own if cell["what"] == what]
            against = "-" if what == "nothing" else interval_text(compare(values, by_what["nothing"]))
            row = [
                channel,
                what,
                str(of_it[0]["numbers"]),
                plus_minus(*mean_and_spread(list(values.values()))),
                against,
            ]
            likeness, clean = (fmean(cell[key] for cell in of_it) for key in ("similarity", "clean"))
            rows.append([*row, f"{likeness:.3f}", f"{100 * clean:.1f}"])
    return markdown_table(rows)


def main(argv: list[str] | None = None) -> int:
    """Run all cells and report; see the module's docstring and ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of folders of clips FOLD-SPEAKER-N.flac")
    parser.add_argument("--weights", type=Path, required=True, help="pretrained.pt of Resemblyzer's wheel")
    parser.add_argument("--out", type=Path, default=Path("runs/adapt"), help="output folder (default: %(default)s)")
    parser.add_argument("--channels", nargs="+", default=list(CHANNELS), choices=CHANNELS, help="(default: all)")
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="(default: 1 to 5)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="(default: 0)")
    parser.add_argument("--epochs", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--frontend-lr", type=float, default=1e-2, help="of filters (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=1e-3, help="of the last layer (default: %(default)s)")
    options = parser.parse_args(argv)
    sounds = load_folder(options.data, RATE, seconds=1.0)
    named = [Path(name).name.split("-")[1] for name in sounds.names]
    speakers = torch.tensor([sorted(set(named)).index(name) for name in named])
    clips = sounds.waveforms, speakers, sounds.folds
    (options.out / "cells").mkdir(parents=True, exist_ok=True)
    settings = json.dumps(
        {key: str(getattr(options, key)) for key in ("data", "epochs", "batch_size", "frontend_lr", "lr")}
    )
    recorded = options.out / "settings.json"
    if recorded.exists() and recorded.read_text() != settings:
        print(f"adapt_frontend.py: --out must be a folder of the same settings, got {options.out}", file=sys.stderr)
        return 2
    recorded.write_text(settings)
    cells = []
    for seed in options.seeds:
        for channel in options.channels:
            for what in WHAT:
                for fold in options.folds:
                    file = options.out / "cells" / f"{channel}-{what.replace(' ', '-')}-fold{fold}-seed{seed}.json"
                    if not file.exists():
                        cell = run_cell(channel, what, fold, seed, clips, options)
                        file.write_text(json.dumps(cell))
                    cells.append(json.loads(file.read_text()))
                    print(f"{file.stem}: EER {100 * cells[-1]['eer']:.1f} %", file=sys.stderr)
    table = report(cells)
    (options.out / "adapt.md").write_text(table)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
