"""Recommend a front-end for a folder of sounds, by a linear classifier, in about a minute and without training one.

DIR has a folder for each class. Prints the table and the recommended front-end as a line of code. Writes probe.txt,
probe.json, probe.png, which shows where in frequency the classes differ, and the front-end itself, to --out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.arguments import make_parser, positive_int
from experiments.data.folds import find_sources
from experiments.data.reading import divide_by_peak
from experiments.data.store import Store
from experiments.figures import save
from experiments.files import BadDataError, check_folder, command, write_whole
from experiments.options import add_sound_options, describe_sounds, open_sounds
from learnable_frontends import GaussianFilterbank
from learnable_frontends.analysis import Probe, probe
from learnable_frontends.plotting import plot_band_information
from learnable_frontends.pretrained import save_pretrained


def main(argv: Sequence[str] | None = None) -> int:
    """Probe; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.probe", __doc__)
    parser.add_argument("data", type=Path, metavar="DIR", help="folder of class folders")
    parser.add_argument("--out", type=Path, default=Path("runs/probe"), help="output folder (default: %(default)s)")
    add_sound_options(parser.add_argument_group("sounds"), generated=False)
    group = parser.add_argument_group("banks; the first filters and window are those that others are compared with")
    group.add_argument(
        "--n-filters", type=positive_int, nargs="+", default=[64, 32, 16], help="filters (default: 64 32 16)"
    )
    group.add_argument("--win-length", type=positive_int, nargs="+", help="samples per frame (default: 25 and 50 ms)")
    group.add_argument(
        "--hop-length", type=positive_int, help="samples from frame to frame (default: half of the shortest frame)"
    )
    args = parser.parse_args(argv)
    return command(lambda: _work(args), "experiments.probe")


def _work(args: argparse.Namespace) -> None:
    check_folder("--out", args.out)
    if args.windows is not None:
        raise BadDataError("--windows must be left out: a probe hears --seconds of each clip")
    store, _ = open_sounds(args, args.out / "cache", sample_rate=None)
    sources, how = find_sources([store.catalog.name(i) for i in range(len(store))], args.group)
    print("\n".join([*describe_sounds(store, args), how]))
    banks = {name: getattr(args, name) for name in ("n_filters", "win_length", "hop_length")}
    found = probe_store(store, args.seconds, sources, **banks)
    write_whole(args.out / "probe.txt", f"{found}\n")
    content: dict[str, Any] = {"reason": found.reason, "recommended": found.recommended.code}
    content |= {name: [asdict(one) for one in getattr(found, name)] for name in ("candidates", "averages")}
    write_whole(args.out / "probe.json", json.dumps(content, indent=1) + "\n")
    n = args.n_filters[0]
    starts: dict[str, Any] = {name: name for name in ("mel", "erb", "linear")}
    starts["information"] = found.information.centers(n)
    drawn = {name: GaussianFilterbank(store.sample_rate, n, init=init) for name, init in starts.items()}
    save(plot_band_information(found.information, drawn)[0], args.out / "probe.png")
    save_pretrained(found.frontend, args.out / "frontend")
    print(f"{found}\n\nTable, picture and front-end: {args.out / 'probe'}.txt, .json, .png, {args.out / 'frontend'}")


def read_clips(store: Store, seconds: float | None, *, without: str | None = None) -> tuple[list[Tensor], list[int]]:
    """Return the clips of a store as training hears them, followed by zeros and divided by their peak, and classes.

    Args:
        store: The clips.
        seconds: Length that shorter clips are brought to; ``None`` leaves them.
        without: A fold that is left out; ``None`` for none.
    """
    clips, labels = [], []
    for i, clip in enumerate(store.catalog.clips):
        if clip.label is not None and clip.fold != without:
            waveform = store.read(i)
            missing = 0 if seconds is None else max(0, round(seconds * store.sample_rate) - len(waveform))
            clips.append(torch.from_numpy(divide_by_peak(np.pad(waveform, (0, missing)))))
            labels.append(clip.label)
    return clips, labels


def probe_store(store: Store, seconds: float | None, sources: Sequence[str], **options: Any) -> Probe:
    """Probe the clips of a store.

    Args:
        store: The clips.
        seconds: As in `read_clips`.
        sources: Source of each clip.
        options: Arguments of `learnable_frontends.analysis.probe`.

    Raises:
        BadDataError: If they cannot be probed.
    """
    clips, labels = read_clips(store, seconds)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return probe(clips, labels, store.sample_rate, groups=sources, **given)
    except ValueError as problem:
        raise BadDataError(str(problem)) from problem


if __name__ == "__main__":
    sys.exit(main())
