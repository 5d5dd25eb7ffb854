"""What all experiments share: their command line, their sounds, and a run that a kill cannot spoil."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from frontends import COMPRESSIONS, WINDOWS, build_frontend
from running import run_cells
from sound_folders import BadSoundsError, SoundSet
from sounds import add_sound_options, load_chosen, positive
from starts import STARTS, choose_start
from training import Cell, Recipe, Settings

import learnable_frontends

# Options that may change between a run and its continuation without changing any cell.
FREE = {"out", "jobs", "frontends", "factors", "variants", "reference", "folds", "seeds"}


class Variant(NamedTuple):
    """One line of an experiment's table.

    Attributes:
        name: What the table and the files call it.
        frontend: A name of `frontends.build_frontend`.
        heads: Keyword arguments of `MultiHeadRelevance`, for a front-end with heads.
        settings: Keyword arguments of the front-end that differ from those of the command line.
        recipe: What is special about its training.
    """

    name: str
    frontend: str
    heads: dict[str, Any]
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    recipe: Recipe = Recipe()


def build_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """Give a parser with the options of every experiment; ``out`` is where its files go by default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(out), help="output folder (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=positive, default=1, help="cells trained at the same time (default: %(default)s)"
    )

    group = parser.add_argument_group("sounds")
    add_sound_options(group)
    group.add_argument("--sample-rate", type=positive, help="Hz (default: 22050 with --data, else 16000)")
    group.add_argument(
        "--folds", type=int, nargs="+", help="folds to hold out in turn (default: all; synthetic: the first two)"
    )

    group = parser.add_argument_group("front-ends")
    group.add_argument("--n-filters", type=int, help="filters (default: 80 with --data, else 40)")
    group.add_argument("--win-length", type=int, help="samples per frame (default: 25 ms)")
    group.add_argument("--hop-length", type=int, help="samples from frame to frame (default: 10 ms)")
    group.add_argument("--kernel-size", type=int, help="sinc, cos-Gauss: taps, odd (default: 16 ms)")
    group.add_argument("--compression", default="log", choices=COMPRESSIONS, help="of energies (default: %(default)s)")
    group.add_argument("--log-offset", type=float, default=1e-3, help="added before the log (default: %(default)s)")
    group.add_argument(
        "--init", default="mel", help=f"scale that centers start on, or {', '.join(STARTS)} (default: %(default)s)"
    )
    group.add_argument(
        "--width", type=_width, default=5.0, help="cos-Gauss: periods, or spacing (default: %(default)s; eq. 1 is 1)"
    )
    group.add_argument("--learn-width", action="store_true", help="cos-Gauss: learn the width of each filter too")
    group.add_argument(
        "--window", default="hamming", choices=WINDOWS, help="sinc, cos-Gauss: of frames (default: %(default)s)"
    )
    group.add_argument("--gain", default="raw", choices=("raw", "peak"), help="sinc, cos-Gauss (default: %(default)s)")

    group = parser.add_argument_group("training")
    group.add_argument(
        "--epochs", type=positive, help="passes over the training clips (default: 25 with --data, else 10)"
    )
    group.add_argument("--seeds", type=int, nargs="+", default=[0], help="one cell a seed and fold (default: 0)")
    group.add_argument("--batch-size", type=int, default=16, help="clips a step (default: %(default)s)")
    group.add_argument("--lr", type=float, default=2e-3, help="classifier, heads: highest rate (default: %(default)s)")
    group.add_argument("--frontend-lr", type=float, default=1e-2, help="filters: highest rate (default: %(default)s)")
    group.add_argument("--mixup", type=float, default=0.4, help="Beta parameter, 0 for none (default: %(default)s)")
    return parser


def conduct(
    program: str,
    args: argparse.Namespace,
    variants: Callable[[argparse.Namespace], Sequence[Variant]],
    report: Callable[[list[dict[str, Any]], SoundSet, Path], str],
) -> int:
    """Train every variant on every fold and seed, and report.

    Args:
        program: Name of the script, for messages.
        args: What its parser gave; options of its own that choose among ``variants`` are called as in ``FREE``, since
            those may change when a run is continued.
        variants: Gives the variants. A ``TypeError`` or ``ValueError`` is shown, not raised.
        report: Writes the results into the output folder and gives what the screen shows.

    Returns:
        Exit status: 2 if the arguments or the sounds cannot be used.
    """
    try:
        sounds = _sounds(args)
        cells = _cells(args, sounds, variants(args))
        for cell in {cell.variant: cell for cell in cells}.values():
            # What does not fit is refused now, not in the third hour.
            build_frontend(cell.frontend, cell.config)(sounds.waveforms[:1])
    except (TypeError, ValueError) as problem:
        return _refuse(program, str(problem))
    settings = Settings(args.epochs, args.batch_size, args.lr, args.frontend_lr, args.mixup)
    fewest = len(sounds.labels) - int(sounds.folds.bincount().max())
    if not 2 <= args.batch_size <= fewest:
        return _refuse(program, f"--batch-size must be from 2 to the {fewest} training clips, got {args.batch_size}")
    out: Path = args.out
    (out / "cells").mkdir(parents=True, exist_ok=True)
    if conflict := _record_configuration(out, args, sounds):
        return _refuse(program, conflict)
    for note in sounds.notes:
        print(note)
    results = run_cells(cells, sounds, settings, out / "cells", args.jobs)
    print(report(results, sounds, out))
    return 0


def _refuse(program: str, problem: str) -> int:
    print(f"{program}: {problem}", file=sys.stderr)
    return 2


def _sounds(args: argparse.Namespace) -> SoundSet:
    if args.data is not None:
        fill(args, sample_rate=22050, n_filters=80, epochs=25)
    else:
        fill(args, sample_rate=16000, n_filters=40, epochs=10, folds=[1, 2])
    return load_chosen(args, args.sample_rate)


def fill(args: argparse.Namespace, **values: Any) -> None:
    """Give options that were left out their values."""
    for name, value in values.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def _cells(args: argparse.Namespace, sounds: SoundSet, variants: Sequence[Variant]) -> list[Cell]:
    present = sounds.folds.unique().tolist()
    folds = args.folds or present
    if missing := sorted(set(folds) - set(present)):
        raise BadSoundsError(f"--folds must be among {present}, got {missing}")
    names = ("sample_rate", "n_filters", "win_length", "hop_length", "compression", "log_offset")
    shared = {name: getattr(args, name) for name in names}
    learned = {name: getattr(args, name) for name in ("init", "gain", "kernel_size", "window")}
    own: dict[str, dict[str, Any]] = {
        "mel": {},
        "learnable-mel": {},
        "triangular-mel": {},
        "gaussian": {"init": args.init},
        "sinc": learned,
        "cos-gauss": {**learned, "width": args.width, "learn_width": args.learn_width},
    }
    configs = [
        {
            **shared,
            **own[v.frontend.partition("+")[0]],
            **({"heads": v.heads} if "+" in v.frontend else {}),
            **v.settings,
        }
        for v in variants
    ]
    return [
        Cell(variant.frontend, _with_start(config, seed), fold, seed, variant.name, variant.recipe)
        for fold in folds
        for seed in args.seeds
        for variant, config in zip(variants, configs, strict=True)
    ]


def _width(text: str) -> float | str:
    return text if text == "spacing" else float(text)


def _with_start(config: dict[str, Any], seed: int) -> dict[str, Any]:
    if "init" not in config:
        return config
    return {**config, "init": choose_start(config["init"], config["n_filters"], config["sample_rate"], seed)}


def _record_configuration(out: Path, args: argparse.Namespace, sounds: SoundSet) -> str | None:
    """Write ``config.json``, or say why this run does not belong into ``out``."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    path = out / "config.json"
    if path.exists():
        before = json.loads(path.read_text())["arguments"]
        if changed := [name for name in settings if name not in FREE and settings[name] != before.get(name)]:
            differences = ", ".join(f"{name} {before.get(name)} -> {settings[name]}" for name in changed)
            return f"--out holds a run with other settings ({differences}); name another folder: {out}"
    configuration = {
        "arguments": settings,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "clips": len(sounds.labels),
        "notes": sounds.notes,
        "versions": {
            "learnable_frontends": learnable_frontends.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        },
    }
    path.write_text(json.dumps(configuration, indent=2) + "\n")
    return None
