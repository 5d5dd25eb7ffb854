"""Draw the paper's Fig. 2 and Fig. 3 from the checkpoints of finished runs.

Writes center_frequencies.png, a line for each run (thin dashes: before training), and for each run whose front-end has
relevance heads relevance_NAME.png: the mel spectrogram of a clip, the learned picture, the mask of each head and the
features that the classifier sees.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import _environment  # noqa: F401
import matplotlib.pyplot as plt
import torch
import yaml

from learnable_frontends import Frontend, MultiHeadRelevance
from learnable_frontends.analysis import movement
from learnable_frontends.plotting import plot_center_frequencies, plot_relevance
from recipes.catalog import BadDataError
from recipes.classifier import Classifier
from recipes.files import PREDICTIONS
from recipes.store import decode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--clip", type=Path, help="sound file for Fig. 3 (default: the first test clip of each run)")
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        frontends = {name: load(run) for name, run in zip(_names(options.runs), options.runs, strict=True)}
        clips = {name: options.clip or first_clip(run) for name, run in zip(frontends, options.runs, strict=True)}
        waveforms = {
            name: torch.from_numpy(decode(clips[name], int(frontend.sample_rate)))
            for name, frontend in frontends.items()
            if isinstance(frontend, MultiHeadRelevance)
        }
    except (OSError, KeyError, BadDataError) as error:
        print(f"{parser.prog}: error: {error} (give folders of runs that were trained and tested)", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    started = {name: movement(frontend) for name, frontend in frontends.items()}
    initial = {name: moved.initial for name, moved in started.items() if moved.hz.any()}
    figure, _ = plot_center_frequencies(frontends, initial=initial)
    figure.savefig(options.out / "center_frequencies.png", dpi=120)
    plt.close(figure)
    for name, waveform in waveforms.items():
        frontend = frontends[name]
        # Scaled as in training.
        figure, _ = plot_relevance(frontend, waveform / (waveform.abs().max() + 1e-4))
        figure.suptitle(f"{name}: {clips[name].name}")
        figure.savefig(options.out / f"relevance_{name.replace('/', '-')}.png", dpi=120)
        plt.close(figure)
    print(options.out)
    return 0


def load(run: Path) -> Any:
    """Give the trained front-end of a run."""
    path = run / "checkpoints" / "last.ckpt"  # our own file: it holds the settings too
    frontend: Frontend = Classifier.load_from_checkpoint(path, map_location="cpu", weights_only=False).frontend.eval()
    return frontend


def first_clip(run: Path) -> Path:
    """Give the first clip that a run was tested on."""
    root = Path(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]["root"])
    with (run / PREDICTIONS).open(newline="", encoding="utf-8") as file:
        return root / next(csv.DictReader(file))["file"]


def _names(runs: Sequence[Path]) -> list[str]:
    """Name runs by what tells them apart: the folder of the front-end, with the fold where there are several."""
    short = [run.resolve().parent.name for run in runs]
    return short if len(set(short)) == len(runs) else [f"{run.resolve().parent.name}/{run.name}" for run in runs]


if __name__ == "__main__":
    sys.exit(main())
