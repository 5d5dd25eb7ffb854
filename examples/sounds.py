"""The clips of an experiment: read from a folder, or synthetic."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from planted_sounds import TASKS, plant
from sound_folders import SoundSet, load_folder
from synthetic_sounds import synthesize

SYNTHETIC = ("urban", *TASKS)


def load_sounds(
    data: Path | None,
    sample_rate: int,
    *,
    seconds: float | None = None,
    limit: int | None = None,
    n_folds: int = 5,
    skip_bad: bool = False,
    synthetic: str = "urban",
) -> SoundSet:
    """Read the clips of ``data``, or make synthetic ones.

    Args:
        data: Folder of class folders, for `load_folder`; ``None`` for synthetic sounds.
        sample_rate: Samples per second.
        seconds: Length of a clip; ``None`` means as in `load_folder`, or 2 for synthetic sounds.
        limit: Clips per class; ``None`` means all, or 60 for synthetic sounds.
        n_folds: Folds to make, where file names have none.
        skip_bad: As in `load_folder`.
        synthetic: Which synthetic sounds: one of ``SYNTHETIC``.

    Returns:
        The set, the same for the same arguments.

    Raises:
        BadSoundsError: As in `load_folder`.
        ValueError: If the synthetic sounds do not fit the sample rate.
    """
    if data is not None:
        return load_folder(data, sample_rate, seconds=seconds, n_folds=n_folds, skip_bad=skip_bad, limit=limit)
    seconds, limit = 2.0 if seconds is None else seconds, limit or 60
    make = synthesize if synthetic == "urban" else partial(plant, synthetic)
    waveforms, classes = make(sample_rate, seconds, limit, seed=0)
    index = torch.arange(len(waveforms))
    labels = index // limit
    names = [f"{classes[label]}/{i % limit}" for i, label in enumerate(labels.tolist())]
    notes = [f"{len(waveforms)} synthetic clips of {seconds:g} s in {len(classes)} classes"]
    return SoundSet(torch.from_numpy(waveforms), labels, 1 + index % n_folds, classes, names, sample_rate, notes)


def add_sound_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that `load_sounds` takes, but the sample rate, to a parser or a group of one."""
    parser.add_argument("--data", type=Path, help="folder of class folders; without it, synthetic sounds")
    parser.add_argument("--synthetic", choices=SYNTHETIC, default="urban", help="which ones (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, help="clip length (default: what 9 in 10 clips do not exceed; synthetic: 2)"
    )
    parser.add_argument("--limit", type=positive, help="clips per class (default: all; synthetic: 60)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out clips that cannot be used, instead of stopping"
    )
    parser.add_argument(
        "--make-folds", type=positive, default=5, help="folds, where file names have none (default: %(default)s)"
    )


def load_chosen(options: argparse.Namespace, sample_rate: int) -> SoundSet:
    """Give the clips that the options of `add_sound_options` choose; see `load_sounds`."""
    return load_sounds(
        options.data,
        sample_rate,
        seconds=options.seconds,
        limit=options.limit,
        n_folds=options.make_folds,
        skip_bad=options.skip_bad,
        synthetic=options.synthetic,
    )


def positive(text: str) -> int:
    """Read a whole number of 1 or more from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
