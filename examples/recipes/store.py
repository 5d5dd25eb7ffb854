"""Clips as mono waveforms at one rate: decoded once, checked, and then read from one file."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from recipes.catalog import BadDataError, Catalog, Clip, refuse
from recipes.files import write_whole

AT_ONCE = 64  # clips in memory while decoding
GIB = 2**30


def decode(path: Path, sample_rate: int) -> np.ndarray:
    """Read a clip of any rate and any number of channels.

    Args:
        path: File that libsndfile reads.
        sample_rate: Samples per second to resample to.

    Returns:
        Mean of the channels, float32, shape ``(time,)``.

    Raises:
        BadDataError: If the file cannot be decoded, is empty, or has samples that are not finite.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:  # libsndfile's errors are RuntimeErrors
        raise BadDataError(f"cannot be decoded ({error})") from error
    if not len(samples):
        raise BadDataError("has no samples")
    mono: np.ndarray = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise BadDataError("has samples that are not finite")
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="VHQ")
    if not len(mono):
        raise BadDataError(f"has no samples at {sample_rate} Hz")
    return mono


class Store:
    """The waveforms of a catalog.

    All clips are decoded when it is made, before any training, so that every bad one is known then. With a folder they
    go to a file there, which later runs of the same files at the same rate read; a run that is killed meanwhile leaves
    nothing that is taken for whole.

    Args:
        catalog: Clips to decode.
        sample_rate: Samples per second.
        folder: Where decoded clips are kept; ``None`` keeps them in memory.
        skip_bad: Leave clips out that cannot be decoded.
        progress: Whether to show a progress bar and to say how large the file will be.
        workers: Threads that decode; 0 for one a core.

    Attributes:
        catalog: The clips that are used; what was left out is in its ``skipped``.

    Raises:
        BadDataError: If clips cannot be decoded; the message lists all.
        OSError: If the disk has no room for them.
    """

    def __init__(
        self,
        catalog: Catalog,
        sample_rate: int,
        folder: Path | None,
        *,
        skip_bad: bool = False,
        progress: bool = True,
        workers: int = 0,
    ) -> None:
        self.sample_rate, self._progress, self._workers = sample_rate, progress, workers or os.cpu_count() or 1
        clips, self._file, self._samples = catalog.clips, None, np.zeros(0, np.float32)
        if folder is None:
            waveforms, problems = [], {}
            for i, waveform in enumerate(self._decoded(clips)):
                if isinstance(waveform, BadDataError):
                    problems[i] = str(waveform)
                    waveform = np.zeros(0, np.float32)
                waveforms.append(waveform)
            lengths = [len(waveform) for waveform in waveforms]
            self._samples = np.concatenate(waveforms)
        else:
            stem = folder / _fingerprint(clips, sample_rate)
            self._file, index = stem.with_suffix(".f32"), stem.with_suffix(".json")
            if not _is_whole(self._file, index):
                self._write(clips, self._file, index)
            content: dict[str, Any] = json.loads(index.read_text(encoding="utf-8"))
            lengths, problems = content["lengths"], {int(i): text for i, text in content["problems"].items()}
        lines = [f"{clips[i].path}: {text}" for i, text in problems.items()]
        refuse(lines, len(clips), skip_bad=skip_bad)
        kept = [i for i in range(len(clips)) if i not in problems]
        self.catalog = replace(catalog, clips=tuple(clips[i] for i in kept), skipped=(*catalog.skipped, *lines))
        starts = [0, *itertools.accumulate(lengths)]
        self._ranges = [(starts[i], starts[i + 1]) for i in kept]

    def __len__(self) -> int:
        return len(self._ranges)

    def __getitem__(self, i: int) -> np.ndarray:
        """Waveform of clip ``i`` of ``catalog.clips``, a copy, float32, shape ``(time,)``."""
        start, stop = self._ranges[i]
        if self._file is None:
            return np.array(self._samples[start:stop])
        return np.fromfile(self._file, np.float32, count=stop - start, offset=4 * start)

    def _decoded(self, clips: tuple[Clip, ...]) -> Iterator[np.ndarray | BadDataError]:
        def attempt(clip: Clip) -> np.ndarray | BadDataError:
            try:
                return decode(clip.path, self.sample_rate)
            except BadDataError as problem:
                return problem

        with ThreadPoolExecutor(self._workers) as pool, self._bar(len(clips)) as bar:
            for first in range(0, len(clips), AT_ONCE):
                for waveform in pool.map(attempt, clips[first : first + AT_ONCE]):
                    yield waveform
                    bar.update()

    def _bar(self, total: int) -> Any:
        return tqdm(total=total, desc="decoding", unit="clip", disable=not self._progress)

    def _write(self, clips: tuple[Clip, ...], file: Path, index: Path) -> None:
        size = 4 * sum(_samples(clip.path, self.sample_rate) for clip in clips)
        file.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(file.parent).free
        if self._progress:
            print(f"decoding {len(clips)} clips into {file}: {size / GIB:.2f} GiB", file=sys.stderr)
        if size > free:
            raise OSError(
                f"data.cache must have {size / GIB:.2f} GiB free, got {free / GIB:.2f} in {file.parent} "
                "(another folder, a lower sample_rate, or null for memory)"
            )
        lengths, problems = [], {}
        # Not mkstemp: others who share the folder could not read its files.
        name = file.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            with name.open("xb") as part:
                for i, waveform in enumerate(self._decoded(clips)):
                    if isinstance(waveform, BadDataError):
                        problems[i] = str(waveform)
                        lengths.append(0)
                    else:
                        part.write(waveform.astype(np.float32).tobytes())
                        lengths.append(len(waveform))
            os.replace(name, file)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
        # The index comes last: where there is one, the file is whole.
        write_whole(index, json.dumps({"lengths": lengths, "problems": problems}))


def _is_whole(file: Path, index: Path) -> bool:
    """Whether there is a cache with all its samples: one that was cut short would be read as shorter clips."""
    if not (index.exists() and file.exists()):
        return False
    lengths: list[int] = json.loads(index.read_text(encoding="utf-8"))["lengths"]
    return file.stat().st_size == 4 * sum(lengths)


def _samples(path: Path, sample_rate: int) -> int:
    """Samples that a clip will have, by its header; none for one that will turn out to be bad."""
    try:
        info = soundfile.info(path)
    except (OSError, RuntimeError):
        return 0
    return int(info.frames * sample_rate / info.samplerate + 1)


def _fingerprint(clips: tuple[Clip, ...], sample_rate: int) -> str:
    """Name for a file of these clips: another if one of them has changed."""
    stats = [(str(clip.path.resolve()), (stat := clip.path.stat()).st_size, stat.st_mtime_ns) for clip in clips]
    return f"{sample_rate}-{hashlib.sha256(repr(stats).encode()).hexdigest()[:16]}"
