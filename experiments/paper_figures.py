"""Draw Fig. 2 and Fig. 3 of the paper for finished runs.

Writes center_frequencies.png, with a line for each run (thin dashes: before training); relevance_NAME.png for each
front-end with relevance heads: the mel spectrogram of a clip, the learned features, the mask of each head and the
weighted features; and responses_NAME.png for each front-end without heads.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from experiments.arguments import make_parser
from experiments.data.reading import decode, divide_by_peak
from experiments.figures import save
from experiments.files import BadDataError, check_different, command
from experiments.runs import CONFIG, PREDICTIONS, load_frontend, read_json
from learnable_frontends import MultiHeadRelevance
from learnable_frontends.analysis import movement
from learnable_frontends.plotting import plot_center_frequencies, plot_frequency_responses, plot_relevance


def main(argv: Sequence[str] | None = None) -> int:
    """Draw; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.paper_figures", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs")
    parser.add_argument("--clip", type=Path, help="sound file for Fig. 3 (default: the first test clip of each run)")
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder (default: %(default)s)")
    args = parser.parse_args(argv)

    def work() -> None:
        draw(args.runs, args.out, args.clip)
        print(args.out)

    return command(work, "experiments.paper_figures")


def draw(folders: Sequence[Path], out: Path, clip: Path | None = None) -> None:
    """Draw the front-ends of finished runs.

    Args:
        folders: The runs.
        out: Folder for the pictures.
        clip: Sound file for Fig. 3; ``None`` for the first test clip of each run.

    Raises:
        BadDataError: If a front-end or a clip cannot be read, or two runs have one name.
    """
    check_different("runs", names := _names(folders))
    frontends = {name: load_frontend(folder) for name, folder in zip(names, folders, strict=True)}
    initial = {name: moved.initial for name, f in frontends.items() if (moved := movement(f)).hz.any()}
    save(plot_center_frequencies(frontends, initial=initial)[0], out / "center_frequencies.png")
    for (name, frontend), folder in zip(frontends.items(), folders, strict=True):
        stem = name.replace("/", "-")
        if not isinstance(frontend, MultiHeadRelevance):
            figure, ax = plot_frequency_responses(frontend)
            ax.set_title(f"{name}: {ax.get_title().lower()}")
            save(figure, out / f"responses_{stem}.png")
            continue
        path = clip or first_clip(folder)
        figure, _ = plot_relevance(frontend, read_clip(path, folder))
        figure.suptitle(f"{name}: {path.name}")
        save(figure, out / f"relevance_{stem}.png")


def read_clip(path: Path, folder: Path) -> Tensor:
    """Return a sound file as a run hears its clips.

    Raises:
        BadDataError: If it cannot be read.
    """
    data = read_json(folder / CONFIG)["data"]
    seconds = data["window"] if data.get("seconds") is None else data["seconds"]
    try:
        waveform = decode(path, data["sample_rate"], seconds, keep_silence=True)
    except BadDataError as problem:
        raise BadDataError(f"{path} {problem}") from problem
    return torch.from_numpy(divide_by_peak(waveform))


def first_clip(folder: Path) -> Path:
    """Return the file of the first clip that a run was tested on.

    Raises:
        BadDataError: If the run has no predictions.
    """
    root = Path(read_json(folder / CONFIG)["data"]["root"])
    try:
        with (folder / PREDICTIONS).open(newline="", encoding="utf-8") as file:
            return root / next(csv.DictReader(file))["file"]
    except (OSError, KeyError, StopIteration) as error:
        raise BadDataError(
            f"{folder / PREDICTIONS} must have a line for each test clip (is the run finished?)"
        ) from error


def _names(folders: Sequence[Path]) -> list[str]:
    """Name runs by what tells them apart: their variant, with fold and seed where there are several."""
    short = [folder.resolve().parent.name for folder in folders]
    return short if len(set(short)) == len(folders) else [f"{f.resolve().parent.name}/{f.name}" for f in folders]


if __name__ == "__main__":
    sys.exit(main())
