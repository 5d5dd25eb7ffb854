# What the tests of data sets share: short sounds in class folders, and stores of them.
from pathlib import Path

import numpy as np
import soundfile

from experiments.data.catalog import Catalog, Clip
from experiments.data.store import Store

RATE = 8000


def noise(seconds=0.1, seed=0, rate=RATE):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate))


def tone(frequency, seconds=1.0, rate=RATE):
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path, samples, rate=RATE, subtype="FLOAT", container=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, format=container, subtype=subtype)
    return path


def touch(root, *names):
    """Empty files: finding clips opens none."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def classes(root, files):
    """Sounds by their names below a root, each another noise where it is only a length in seconds."""
    for seed, (name, samples) in enumerate(files.items()):
        write(root / name, noise(samples, seed) if isinstance(samples, float) else samples)
    return root


def catalog(root, *names, labels=None, folds=None):
    """A catalog of files below a root: all of one class and fold, unless told otherwise."""
    labels, folds = labels or [0] * len(names), folds or ["1"] * len(names)
    clips = [Clip(Path(root, name), label, fold) for name, label, fold in zip(names, labels, folds, strict=True)]
    return Catalog(root, ("noise", "pink noise "), tuple(clips))  # a folder may have such a name


def store(tmp_path, files, **options):
    """A store of sounds of one class, in the order given."""
    root = classes(tmp_path / "sounds", files)
    return Store(catalog(root, *files), RATE, tmp_path / "cache", **options)
