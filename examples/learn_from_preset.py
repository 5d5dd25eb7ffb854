"""A published model's front-end learns: train a small network behind it on your clips, and draw its filters.

The filters start as the model's, to the last bit (`presets.NAME(learn=True)`). Writes a picture of them, before and
after, and of how far each has moved, to --out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import _environment  # noqa: F401 - before torch
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sound_folders import BadSoundsError, SoundSet, load_folder
from torch import nn

from learnable_frontends import MelFrontend, WaveformModel, presets
from learnable_frontends.analysis import movement
from learnable_frontends.plotting import plot_frequency_responses, plot_movement

# Presets that take clips of any length, or can be told to.
PRESETS: dict[str, Callable[..., MelFrontend]] = {
    "whisper": partial(presets.whisper, seconds=None),
    **{
        name: getattr(presets, name)
        for name in ("beats", "kaldi_fbank", "nemo", "panns", "seamless_m4t", "speechbrain_fbank", "vggish", "yamnet")
    },
}


def make_network(n_classes: int) -> nn.Module:
    """A small convolutional network, as behind many spectrograms."""
    return nn.Sequential(
        nn.BatchNorm2d(1),
        nn.Conv2d(1, 16, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d((4, 1)), nn.Flatten(), nn.Linear(4 * 64, n_classes),
    )  # fmt: skip


def train(model: WaveformModel, sounds: SoundSet, options: argparse.Namespace) -> float:
    """Train on all folds but the first, and return the accuracy on that."""
    held_out = sounds.folds == sounds.folds.min()
    waveforms, labels = sounds.waveforms[~held_out], sounds.labels[~held_out]
    groups = model.param_groups(options.lr, options.frontend_lr)
    optimizer = torch.optim.AdamW(groups)
    steps = options.epochs * -(-len(labels) // options.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [group["lr"] for group in groups], total_steps=steps)
    model.train()
    for _ in range(options.epochs):
        for part in torch.randperm(len(labels)).split(options.batch_size):
            loss = F.cross_entropy(model(waveforms[part]), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        guesses = torch.cat([model(part).argmax(-1) for part in sounds.waveforms[held_out].split(64)])
    return float((guesses == sounds.labels[held_out]).float().mean())


def draw(model: WaveformModel, path: Path) -> None:
    """Draw the filters before and after training, and their movement."""
    fig, (before, after, moved) = plt.subplots(3, 1, figsize=(8, 9), layout="constrained")
    for title, frontend, ax in (
        ("Before", model.frontend.as_initialized(), before),
        ("After", model.frontend, after),
    ):
        plot_frequency_responses(frontend, ax=ax)
        ax.set(title=title, xscale="linear")
    plot_movement(model.frontend, ax=moved)
    fig.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(fig)


def main(argv: list[str] | None = None) -> int:
    """Train, draw and print; see the module's docstring and ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--preset", default="whisper", choices=PRESETS, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/learn-from-preset"), help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--lr", type=float, default=3e-3, help="highest rate of the network (default: %(default)s)")
    parser.add_argument("--frontend-lr", type=float, default=1e-2, help="of the filters (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    torch.manual_seed(options.seed)
    frontend = PRESETS[options.preset](learn=True)
    try:
        sounds = load_folder(options.data, int(frontend.sample_rate))
    except BadSoundsError as problem:
        print(f"learn_from_preset.py: {problem}", file=sys.stderr)
        return 2
    model = WaveformModel(frontend, make_network(len(sounds.classes)), channels=1)
    accuracy = train(model, sounds, options)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.preset}.png"
    draw(model, path)
    shifts = movement(frontend).bandwidths.abs()
    print(f"accuracy on fold {int(sounds.folds.min())}: {100 * accuracy:.1f} %")
    middle, farthest = float(shifts.median()), float(shifts.max())
    print(f"the median filter moved by {middle:.2f} of its bandwidth, the farthest by {farthest:.1f}")
    print(f"picture: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
