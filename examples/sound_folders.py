"""Sets of clips: read from class folders, checked, resampled, cut to one length and split into folds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

SUFFIXES = (".flac", ".ogg", ".wav")
SHORTEST = 0.05  # seconds; a clip shorter than two frames says nothing


@dataclass
class SoundSet:
    """Clips of one length with their classes and folds.

    Attributes:
        waveforms: Shape ``(clips, time)``, float32, peak just below one.
        labels: Class of each clip, shape ``(clips,)``.
        folds: Fold of each clip, shape ``(clips,)``.
        classes: Names of the classes.
        names: Name of each clip.
        sample_rate: Samples per second.
        notes: What a reader of results should know of how the set was made, a line each.
    """

    waveforms: Tensor
    labels: Tensor
    folds: Tensor
    classes: list[str]
    names: list[str]
    sample_rate: int
    notes: list[str]


class BadSoundsError(ValueError):
    """Clips that cannot be used, all of them named."""


def load_folder(
    folder: Path,
    sample_rate: int,
    *,
    seconds: float | None = None,
    n_folds: int = 5,
    skip_bad: bool = False,
    limit: int | None = None,
) -> SoundSet:
    """Read ``<folder>/<class>/<clip>.wav|flac|ogg``.

    Channels are averaged, other rates resampled, and each clip is divided by its peak. Clips longer than ``seconds``
    lose their end, shorter ones are followed by zeros. Folds come from a leading digit of the file name (``3-…``) when
    every clip has one; else they are made: stratified by class, and clips of one source, the part of the name before
    the first ``-``, stay together.

    Args:
        folder: Folder of class folders.
        sample_rate: Samples per second to resample to.
        seconds: Length of a clip; ``None`` means what nine in ten clips do not exceed, at most ten seconds.
        n_folds: Folds to make where names have none.
        skip_bad: Whether clips that cannot be used are left out (and noted), rather than refused.
        limit: Clips per class to use, the first by name; ``None`` means all.

    Returns:
        The set.

    Raises:
        BadSoundsError: If there are not two classes, or clips are corrupt, empty, silent, not finite or shorter than
            50 ms, or folds cannot be made.
    """
    if not folder.is_dir():
        raise BadSoundsError(f"--data must name a folder of class folders, got {folder} (no such folder)")
    classes = sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    paths: list[Path] = []
    for name in classes:
        found = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in SUFFIXES)
        paths += found[:limit]
    classes = sorted({path.parent.name for path in paths})
    if len(classes) < 2:
        raise BadSoundsError(
            f"--data must hold two class folders or more with {', '.join(SUFFIXES)} files, "
            f"got {len(classes)} in {folder}"
        )
    clips: dict[Path, np.ndarray] = {}
    bad: dict[Path, str] = {}
    for path in paths:
        try:
            clips[path] = _read(path, sample_rate)
        except BadSoundsError as problem:
            bad[path] = str(problem)
    lengths = sorted(map(len, clips.values())) or [0]
    usual = lengths[(9 * len(lengths) + 9) // 10 - 1]
    length = min(usual, 10 * sample_rate) if seconds is None else round(seconds * sample_rate)
    for path, clip in clips.items():
        if _silent(clip[:length]):
            bad[path] = f"is silent in its first {length / sample_rate:g} s"
    lines = [f"{path.relative_to(folder)}: {bad[path]}" for path in paths if path in bad]
    if bad and not skip_bad:
        raise BadSoundsError(
            f"{len(bad)} of {len(paths)} clips cannot be used (--skip-bad leaves them out):\n  " + "\n  ".join(lines)
        )
    paths = [path for path in paths if path not in bad]
    padded = sum(len(clips[path]) < length for path in paths)
    cut = sum(len(clips[path]) > length for path in paths)
    notes = [f"left out {line}" for line in lines]
    notes.append(f"{len(paths)} clips of {length / sample_rate:g} s: {padded} followed by zeros, {cut} cut at the end")
    waveforms = torch.zeros(len(paths), length)
    for row, path in zip(waveforms, paths, strict=True):
        clip = clips.pop(path)[:length]
        row[: len(clip)] = torch.from_numpy(clip)
    labels = torch.tensor([classes.index(path.parent.name) for path in paths])
    folds, how = _folds(paths, labels, n_folds)
    _require_every_class(folds, labels, classes)
    return SoundSet(
        waveforms, labels, folds, classes, [f"{p.parent.name}/{p.name}" for p in paths], sample_rate, [*notes, how]
    )


def _read(path: Path, sample_rate: int) -> np.ndarray:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise BadSoundsError(f"cannot be read ({error})") from error
    clip: np.ndarray = samples.mean(axis=1)
    if len(clip) < SHORTEST * rate:
        raise BadSoundsError(f"has {len(clip)} samples at {rate} Hz, at least {SHORTEST} s are needed")
    if not np.isfinite(clip).all():
        raise BadSoundsError("has samples that are not finite")
    if _silent(clip):
        raise BadSoundsError("is silent")
    if rate != sample_rate:
        clip = soxr.resample(clip, rate, sample_rate)
    # The published code divides by the peak plus 1e-4.
    return (clip / (np.abs(clip).max() + 1e-4)).astype(np.float32)


def _silent(clip: np.ndarray) -> bool:
    return float(np.abs(clip).max(initial=0.0)) < 1e-5


def _folds(paths: list[Path], labels: Tensor, n_folds: int) -> tuple[Tensor, str]:
    leading = [re.match(r"(\d)(?!\d)", path.name) for path in paths]
    if all(leading):
        return torch.tensor([int(match[1]) for match in leading if match]), "folds: leading digit of the file names"
    sources = [path.stem.split("-")[0] if "-" in path.stem else path.stem for path in paths]
    per_class = torch.bincount(labels)
    if int(per_class.min()) < n_folds:
        raise BadSoundsError(
            f"--make-folds must be at most the clips of the smallest class, {per_class.min()}, got {n_folds}"
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    folds = torch.zeros(len(paths), dtype=torch.long)
    for fold, (_, held_out) in enumerate(splitter.split(paths, labels.numpy(), sources), start=1):
        folds[torch.from_numpy(held_out)] = fold
    return folds, f"folds: {n_folds} made, stratified, clips of one source ({len(set(sources))} sources) together"


def _require_every_class(folds: Tensor, labels: Tensor, classes: list[str]) -> None:
    numbers = folds.unique().tolist()
    if len(numbers) < 2:
        raise BadSoundsError(
            f"clips must come from two folds or more, got fold {numbers} only (leading digits of names)"
        )
    for fold in numbers:
        trained = set(labels[folds != fold].tolist())
        missing = [name for i, name in enumerate(classes) if i not in trained]
        if missing:
            raise BadSoundsError(f"every class must be in two folds or more, got {missing} in fold {fold} alone")
