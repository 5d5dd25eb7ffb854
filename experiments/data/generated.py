"""Generated sounds as a folder of class folders, for experiments that are run without a data set."""

from __future__ import annotations

import tempfile
from pathlib import Path

import soundfile

from experiments.data import planted, synthetic
from experiments.data.reading import SHORTEST
from experiments.files import BadDataError

KINDS = ("urban", *planted.TASKS)


def make_folder(
    parent: Path, kind: str, sample_rate: int, seconds: float, clips_per_class: int, n_folds: int = 5
) -> Path:
    """Write generated sounds, unless they are there, as ``<class>/<fold>-<number>.wav``, the folds dealt out in turn.

    Args:
        parent: Folder in which to make one that is named after the other arguments.
        kind: One of ``KINDS``: the sounds of `experiments.data.synthetic`, or of a task of `experiments.data.planted`.
        sample_rate: Samples per second.
        seconds: Length of a clip.
        clips_per_class: Clips of each class.
        n_folds: Number of folds.

    Returns:
        The folder; it is there whole or not at all, even after a kill.

    Raises:
        BadDataError: If the clips are too short, or the sounds do not fit below half of the sample rate.
    """
    folds = "" if n_folds == 5 else f"-{n_folds}folds"
    folder = parent / f"{kind}-{sample_rate}Hz-{seconds:g}s-{clips_per_class}{folds}"
    if folder.is_dir():
        return folder
    if seconds < SHORTEST or sample_rate * seconds < 50:
        raise BadDataError(f"seconds must be at least {SHORTEST}, and 50 samples, got {seconds} at {sample_rate} Hz")
    try:
        if kind == "urban":
            clips, classes = synthetic.synthesize(sample_rate, seconds, clips_per_class, seed=0)
        else:
            clips, classes = planted.plant(kind, sample_rate, seconds, clips_per_class, seed=0)
    except ValueError as error:
        raise BadDataError(str(error)) from error
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=parent) as temporary:
        made = Path(temporary, folder.name)
        for i, clip in enumerate(clips):
            path = made / classes[i // clips_per_class] / f"{1 + i % n_folds}-{i:04d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, clip, sample_rate, subtype="PCM_16")
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster
                raise
    return folder
