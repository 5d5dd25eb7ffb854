"""Make a small TAU Urban Acoustic Scenes 2020 Mobile of synthetic sounds: same folders, names, tables and devices."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import soundfile
from scipy.signal import lfilter
from synthetic_sounds import SOUNDS, make_clip
from tqdm import tqdm

from dcase2020_task1a.dataset import CLASSES, DEVICES

SAMPLE_RATE = 44100
CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "milan", "paris", "prague", "stockholm", "vienna")
TRAINED = DEVICES[:6]  # s4 to s6 are recorded for the test only


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder of the development set to make")
    parser.add_argument("--blind", type=Path, help="folder of an evaluation set to make too, without labels")
    parser.add_argument("--places", type=int, default=1, help="places of each scene and part (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same set (default: %(default)s)")
    options = parser.parse_args(arguments)
    scenes = list(enumerate(zip(CLASSES, SOUNDS, strict=True)))
    tables: dict[str, list[list[str]]] = {"fold1_train": [], "fold1_evaluate": [], "fold1_test": []}
    meta, blind = [], []
    (options.root / "audio").mkdir(parents=True, exist_ok=True)
    for part, devices in tqdm([("train", TRAINED), ("test", DEVICES)], unit="part"):
        for label, (scene, sound) in scenes:
            for place in range(options.places):
                number = 2 * place + (part == "test")
                city, length = CITIES[(label + number) % len(CITIES)], int(SAMPLE_RATE * options.seconds)
                clip = make_clip(sound, SAMPLE_RATE, length, np.random.default_rng([options.seed, label, number]))
                for device in devices:
                    name = f"audio/{scene}-{city}-{label}-{number}-{device}.wav"
                    _write(options.root / name, clip, device)
                    meta.append([name, scene, f"{city}-{label}", device])
                    if part == "train":
                        tables["fold1_train"].append([name, scene])
                    else:
                        tables["fold1_evaluate"].append([name, scene])
                        tables["fold1_test"].append([name])
    _table(options.root / "meta.csv", ["filename", "scene_label", "identifier", "source_label"], meta)
    for name, rows in tables.items():
        head = ["filename", "scene_label"][: len(rows[0])]
        _table(options.root / "evaluation_setup" / f"{name}.csv", head, rows)
    if options.blind is not None:
        (options.blind / "audio").mkdir(parents=True, exist_ok=True)
        for label, (_, sound) in scenes:
            clip = make_clip(sound, SAMPLE_RATE, length, np.random.default_rng([options.seed, label, 10**6]))
            _write(options.blind / "audio" / f"{label}.wav", clip, DEVICES[label % len(DEVICES)])
            blind.append([f"audio/{label}.wav"])
        _table(options.blind / "evaluation_setup" / "fold1_test.csv", ["filename"], blind)
    print(options.root)
    return 0


def _write(path: Path, clip: np.ndarray, device: str) -> None:
    """Write what a device records: each has a coloration of its own, a short filter."""
    taps = 0.3 * np.random.default_rng(DEVICES.index(device)).standard_normal(8) if device != "a" else np.zeros(8)
    taps[0] = 1.0
    colored = lfilter(taps, 1.0, clip)
    soundfile.write(path, 0.9 * colored / np.abs(colored).max(), SAMPLE_RATE, subtype="PCM_24")


def _table(path: Path, head: list[str], rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([head, *rows])


if __name__ == "__main__":
    sys.exit(main())
