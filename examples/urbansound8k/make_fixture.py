"""Make a small UrbanSound8K of synthetic sounds: the same folders, names, table, and mixture of rates and channels."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import soundfile
from synthetic_sounds import make_clip
from tqdm import tqdm

from urbansound8k.dataset import CLASSES, COLUMNS, TABLE

KINDS = ((44100, 2, "PCM_16"), (48000, 2, "PCM_24"), (22050, 1, "PCM_16"), (96000, 2, "PCM_24"), (44100, 1, "FLOAT"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder to make the set in")
    parser.add_argument("--clips", type=int, default=1, help="clips of each class and fold (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="longest clip (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same set (default: %(default)s)")
    options = parser.parse_args(arguments)
    cells = [(f, c, i) for f in range(1, 11) for c in range(len(CLASSES)) for i in range(options.clips)]
    rows = []
    for n, (fold, label, i) in enumerate(tqdm(cells, unit="clip")):
        random = np.random.default_rng([options.seed, fold, label, i])
        rate, channels, subtype = KINDS[n % len(KINDS)]
        # Most clips of the real set are as long as allowed, a few much shorter.
        seconds = options.seconds * (1.0 if random.uniform() < 0.8 else random.uniform(0.2, 1.0))
        clip = make_clip(CLASSES[label], rate, int(rate * seconds), random)
        name, start = f"{100000 + n}-{label}-0-{i}.wav", round(float(random.uniform(0, 20)), 6)
        path = options.root / "audio" / f"fold{fold}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        gains = random.uniform(0.5, 1.0, channels)
        soundfile.write(path, clip[:, None] * gains, rate, subtype=subtype)
        salience = int(random.integers(1, 3))
        rows.append([name, 100000 + n, start, round(start + seconds, 6), salience, fold, label, CLASSES[label]])
    (options.root / TABLE).parent.mkdir(parents=True, exist_ok=True)
    with (options.root / TABLE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print(options.root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
