"""Make a small data set of synthetic sounds, with the folders, names, tables, rates and channels of a published one.

python -m experiments.data.small_sets urbansound8k ROOT
python -m experiments.data.small_sets dcase2020_task1a ROOT --blind EVALUATION_ROOT
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter
from tqdm import tqdm

from experiments.arguments import make_parser, not_negative_int, positive, positive_int
from experiments.data import dcase2020_task1a as tau
from experiments.data import urbansound8k as urban
from experiments.data.synthetic import SOUNDS, make_clip
from experiments.files import command, write_table

# Of UrbanSound8K's files: rate, channels, encoding.
KINDS = ((44100, 2, "PCM_16"), (48000, 2, "PCM_24"), (22050, 1, "PCM_16"), (96000, 2, "PCM_24"), (44100, 1, "FLOAT"))
SAMPLE_RATE = 44100  # of TAU's files
CITIES = ("barcelona", "helsinki", "lisbon", "london", "lyon", "milan", "paris", "prague", "stockholm", "vienna")
TRAINED = tau.DEVICES[:6]  # s4 to s6 are recorded for the test only


def make_urbansound8k(root: Path, *, clips: int = 1, seconds: float = 4.0, seed: int = 0) -> None:
    """Make an UrbanSound8K.

    Args:
        root: Folder to make it in.
        clips: Clips of each class and fold.
        seconds: Length of the longest clip.
        seed: The same seed makes the same set.
    """
    places = [(f, c, i) for f in range(1, 11) for c in range(len(urban.CLASSES)) for i in range(clips)]
    rows: list[list[object]] = []
    for n, (fold, label, i) in enumerate(tqdm(places, unit="clip")):
        random = np.random.default_rng([seed, fold, label, i])
        rate, channels, subtype = KINDS[n % len(KINDS)]
        # Most clips of the real set are as long as allowed, a few much shorter.
        length = seconds * (1.0 if random.uniform() < 0.8 else random.uniform(0.2, 1.0))
        clip = make_clip(urban.CLASSES[label], rate, int(rate * length), random)
        name, start = f"{100000 + n}-{label}-0-{i}.wav", round(float(random.uniform(0, 20)), 6)
        path = root / "audio" / f"fold{fold}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        gains = random.uniform(0.5, 1.0, channels)
        soundfile.write(path, clip[:, None] * gains, rate, subtype=subtype)
        salience, end = int(random.integers(1, 3)), round(start + length, 6)
        rows.append([name, 100000 + n, start, end, salience, fold, label, urban.CLASSES[label]])
    write_table(root / urban.TABLE, [urban.COLUMNS, *rows])


def make_dcase2020_task1a(
    root: Path, *, blind: Path | None = None, places: int = 1, seconds: float = 10.0, seed: int = 0
) -> None:
    """Make a TAU Urban Acoustic Scenes 2020 Mobile.

    Args:
        root: Folder of the development set.
        blind: Folder of an evaluation set to make too, without labels; ``None`` for none.
        places: Places of each scene and part.
        seconds: Length of a clip.
        seed: The same seed makes the same set.
    """
    tables: dict[str, list[list[str]]] = {"train": [], "evaluate": [], "test": []}
    meta, length = [], int(SAMPLE_RATE * seconds)
    scenes = list(enumerate(zip(tau.CLASSES, SOUNDS, strict=True)))
    for part, devices in tqdm([("train", TRAINED), ("test", tau.DEVICES)], unit="part"):
        for label, (scene, sound) in scenes:
            for place in range(places):
                number = 2 * place + (part == "test")
                city = CITIES[(label + number) % len(CITIES)]
                clip = make_clip(sound, SAMPLE_RATE, length, np.random.default_rng([seed, label, number]))
                for device in devices:
                    name = f"audio/{scene}-{city}-{label}-{number}-{device}.wav"
                    _record(root / name, clip, device)
                    meta.append([name, scene, f"{city}-{label}", device])
                    tables["train" if part == "train" else "evaluate"].append([name, scene])
                    if part == "test":
                        tables["test"].append([name])
    write_table(root / "meta.csv", [["filename", "scene_label", "identifier", "source_label"], *meta], "\t")
    for part, rows in tables.items():
        head = ["filename", "scene_label"][: len(rows[0])]
        write_table(root / tau.SETUP / f"fold1_{part}.csv", [head, *rows], "\t")
    if blind is not None:
        for label, (_, sound) in scenes:
            clip = make_clip(sound, SAMPLE_RATE, length, np.random.default_rng([seed, label, 10**6]))
            _record(blind / "audio" / f"{label}.wav", clip, tau.DEVICES[label % len(tau.DEVICES)])
        names = [[f"audio/{label}.wav"] for label, _ in scenes]
        write_table(blind / tau.SETUP / tau.BLIND_TABLES[0], [["filename"], *names], "\t")


def _record(path: Path, clip: np.ndarray, device: str) -> None:
    """Write what a device records: each has a coloration of its own, a short filter."""
    taps = 0.3 * np.random.default_rng(tau.DEVICES.index(device)).standard_normal(8) if device != "a" else np.zeros(8)
    taps[0] = 1.0
    colored = lfilter(taps, 1.0, clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.9 * colored / np.abs(colored).max(), SAMPLE_RATE, subtype="PCM_24")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = make_parser("experiments.data.small_sets", __doc__)
    sets = parser.add_subparsers(required=True)
    for name, make, count, of, seconds in (
        ("urbansound8k", make_urbansound8k, "clips", "class and fold", 4.0),
        ("dcase2020_task1a", make_dcase2020_task1a, "places", "scene and part", 10.0),
    ):
        one = sets.add_parser(name)
        one.set_defaults(make=make)
        one.add_argument("root", type=Path, help="folder to make the set in")
        one.add_argument(
            f"--{count}", type=positive_int, default=1, help=f"number for each {of} (default: %(default)s)"
        )
        one.add_argument("--seconds", type=positive, default=seconds, help="longest clip (default: %(default)s)")
        one.add_argument("--seed", type=not_negative_int, default=0, help="seed of all sounds (default: %(default)s)")
    one.add_argument("--blind", type=Path, help="folder for an additional evaluation set without labels")
    options = vars(parser.parse_args(arguments))
    make = options.pop("make")

    def work() -> None:
        make(**options)
        print(options["root"])

    return command(work, "experiments.data.small_sets")


if __name__ == "__main__":
    sys.exit(main())
