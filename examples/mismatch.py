"""Does it hold on sounds that training did not have? Cells of a run, tested with noise and in a narrower band.

Takes the output folder of compare_frontends.py, ablations.py or levers.py, finished or not. Every cell classifies
the clips of the fold that it has not seen: as they are, with white noise, and filtered. Nothing is trained.

Writes mismatch.md, .csv and .json into that folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import _environment  # noqa: F401 - before torch
import numpy as np
import torch
from checkpoints import FileError, finished_cells, read_settings
from numpy.typing import NDArray
from paired import compare, fields, interval_text
from reporting import Accuracies, markdown_table, mean_and_spread, plain_table, plus_minus, write_csv
from scipy.signal import butter, sosfiltfilt
from sound_folders import BadSoundsError, SoundSet
from sounds import load_chosen
from tqdm import tqdm
from training import predict, read_model

Signal = NDArray[np.float64]
BATCH = 32


def noisy(clips: Signal, sample_rate: int, decibels: float) -> Signal:  # noqa: ARG001 - as `filtered`
    """Add white noise, the same for the same row, to ``(clips, time)`` at a ratio of mean powers in dB."""
    noise = np.stack([np.random.default_rng(i).standard_normal(clips.shape[1]) for i in range(len(clips))])
    power = np.square(clips).mean(-1, keepdims=True)
    noisy_clips: Signal = clips + noise * np.sqrt(power * 10 ** (-decibels / 10))
    return noisy_clips


def filtered(clips: Signal, sample_rate: int, low: float, high: float) -> Signal:
    """Pass a band in Hz, with a Butterworth filter of fourth order forwards and backwards; ``low`` 0 is a low-pass."""
    edges, kind = (high, "lowpass") if low == 0 else ((low, high), "bandpass")
    passed: Signal = sosfiltfilt(butter(4, edges, kind, fs=sample_rate, output="sos"), clips)
    return passed


CONDITIONS: dict[str, Callable[[Signal, int], Signal]] = {
    "as they are": lambda clips, _: clips,
    "noise at 20 dB": partial(noisy, decibels=20.0),
    "at 10 dB": partial(noisy, decibels=10.0),
    "at 0 dB": partial(noisy, decibels=0.0),
    "below 4 kHz": partial(filtered, low=0.0, high=4000.0),
    "300 to 3400 Hz": partial(filtered, low=300.0, high=3400.0),
}


def main(argv: list[str] | None = None) -> int:
    """Test a run; see the module's docstring and ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="output folder of an experiment")
    parser.add_argument("--reference", default="mel", metavar="NAME", help="variant compared with (default: mel)")
    args = parser.parse_args(argv)
    try:
        sounds = _sounds_of(args.run)
        cells = [read_model(path, ("variant", "fold", "seed")) for path in finished_cells(args.run)]
    except (FileError, BadSoundsError) as problem:
        print(f"mismatch.py: {problem}", file=sys.stderr)
        return 2
    accuracies: dict[str, dict[str, Accuracies]] = {
        saved["variant"]: {name: {} for name in CONDITIONS} for saved, _, _ in cells
    }
    with tqdm(total=len(cells), unit="cell") as bar:
        for fold in sounds.folds.unique().tolist():
            of_fold = [cell for cell in cells if cell[0]["fold"] == fold]
            held_out = sounds.folds == fold
            clips = sounds.waveforms[held_out].double().numpy()
            changed = {
                name: torch.from_numpy(np.ascontiguousarray(change(clips, sounds.sample_rate), np.float32))
                for name, change in CONDITIONS.items()
                if of_fold
            }
            for saved, frontend, classifier in of_fold:
                model = torch.nn.Sequential(frontend, classifier)
                for name, waveforms in changed.items():
                    right = predict(model, waveforms, BATCH) == sounds.labels[held_out]
                    accuracies[saved["variant"]][name][fold, saved["seed"]] = float(right.double().mean())
                bar.update()
    print(_report(accuracies, args.reference, args.run))
    return 0


def _sounds_of(run: Path) -> SoundSet:
    used = read_settings(run)
    used["data"] = None if used["data"] is None else Path(used["data"])
    return load_chosen(argparse.Namespace(**used), used["sample_rate"])


def _report(accuracies: dict[str, dict[str, Accuracies]], reference: str, out: Path) -> str:
    """Write the tables, and give them for the screen."""
    compared = {
        name: {
            condition: compare(values, accuracies.get(reference, {}).get(condition, {}))
            for condition, values in of.items()
        }
        for name, of in accuracies.items()
    }
    spreads = {
        name: {condition: mean_and_spread(list(values.values())) for condition, values in of.items()}
        for name, of in accuracies.items()
    }
    rows: list[dict[str, Any]] = [
        {
            "variant": name,
            "condition": condition,
            "accuracy": accuracy,
            "spread": spread,
            **fields(compared[name][condition]),
            "cells": len(accuracies[name][condition]),
        }
        for name, of in spreads.items()
        for condition, (accuracy, spread) in of.items()
    ]
    (out / "mismatch.json").write_text(json.dumps({"reference": reference, "rows": rows}, indent=2) + "\n")
    write_csv(out / "mismatch.csv", rows)
    tables = [
        [
            ["accuracy %", *CONDITIONS],
            *([name, *(plus_minus(*of[c]) for c in CONDITIONS)] for name, of in spreads.items()),
        ],
        [
            [f"minus {reference}", *CONDITIONS],
            *(
                [name, *(interval_text(of[c]) for c in CONDITIONS)]
                for name, of in compared.items()
                if name != reference
            ),
        ],
    ]
    (out / "mismatch.md").write_text("\n".join(map(markdown_table, tables)))
    files = ", ".join(str(out / f"mismatch.{x}") for x in ("md", "csv", "json"))
    return "\n\n".join(
        [
            *map(plain_table, tables),
            f"{rows[0]['cells']} cells of each or fewer; brackets: 95 % intervals. Tables: {files}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
