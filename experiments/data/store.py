"""Clips as mono waveforms at one rate: decoded once, checked, identified by their content, and read from one file."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.data.catalog import BLIND, COPY_OF, Catalog, Clip, add_copies, read_catalog, refuse
from experiments.data.reading import BLOCK, decode_blocks, duration
from experiments.files import BadDataError, read_table, write_table, write_whole

GIB = 2**30
AT_ONCE = 64  # clips that are decoded ahead
COLUMNS = ("file", "label", "fold", "seconds", "bytes", "sha256")


class Store:
    """The waveforms of a catalog.

    All clips are decoded when it is made, before any training, so that every bad one is known then. They go to a file,
    which later runs of the same contents at the same rate read; a kill meanwhile leaves nothing that is taken for
    whole. Memory holds at most 64 clips of ten seconds, or blocks of longer ones.

    Args:
        catalog: Clips to decode.
        sample_rate: Samples per second.
        folder: Where decoded clips are kept.
        seconds: Length that is read of each clip, from its start; ``None`` for all.
        skip_bad: Leave clips out that cannot be decoded.

    Attributes:
        catalog: The clips that are used; what was left out is in its ``skipped``.

    Raises:
        BadDataError: If clips cannot be decoded; the message lists all. Or if the disk has no room for them.
    """

    def __init__(
        self, catalog: Catalog, sample_rate: int, folder: Path, *, seconds: float | None = None, skip_bad: bool = False
    ) -> None:
        self.sample_rate = sample_rate
        self._seconds, self._silence = seconds, catalog.keep_silence
        hashes = _hashes(catalog.clips, folder)
        key = json.dumps([hashes, sample_rate, seconds, self._silence])
        stem = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        self._file, index = stem.with_suffix(".f32"), stem.with_suffix(".json")
        content = _read_index(self._file, index) or self._write(catalog.clips, self._file, index)
        problems = {int(i): text for i, text in content["problems"].items()}
        lines = [f"{catalog.name(i)}: {text}" for i, text in problems.items()]
        refuse(lines, len(catalog.clips), skip_bad=skip_bad)
        kept = [i for i in range(len(catalog.clips)) if i not in problems]
        starts = [0, *itertools.accumulate(content["lengths"])]
        self.hashes = [hashes[i] for i in kept]
        self._ranges = [(starts[i], starts[i + 1]) for i in kept]
        clips = tuple(catalog.clips[i] for i in kept)
        self.catalog = replace(catalog, clips=clips, skipped=(*catalog.skipped, *lines))

    def __len__(self) -> int:
        return len(self._ranges)

    def length(self, i: int) -> int:
        """Samples of clip ``i``."""
        start, stop = self._ranges[i]
        return int(stop - start)

    def read(self, i: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Waveform of clip ``i`` of ``catalog.clips``, or a part of it: a copy, float32, shape ``(time,)``."""
        first, stop = self._ranges[i]
        count = stop - first - start if length is None else min(length, stop - first - start)
        return np.fromfile(self._file, np.float32, count=count, offset=4 * (first + start))

    def notes(self) -> list[str]:
        """What a reader of results should know of the clips, a line each: of their set, what is left out, copies."""
        return [*self.catalog.notes, *(f"left out {line}" for line in self.catalog.skipped), *self._repeated()]

    def _repeated(self) -> list[str]:
        """Name clips of equal content that are in two classes or folds, a line for each content."""
        found: dict[str, list[int]] = defaultdict(list)
        for i, content in enumerate(self.hashes):
            if self.catalog.clips[i].fold != BLIND and not self.catalog.clips[i].fold.startswith(COPY_OF):
                found[content].append(i)
        lines = []
        for own in found.values():
            clips = [self.catalog.clips[i] for i in own]
            for what, values in (("classes", {c.label for c in clips}), ("folds", {c.fold for c in clips})):
                if len(values) > 1:
                    lines.append(f"the same clip is in {len(values)} {what}: {', '.join(map(self.catalog.name, own))}")
                    break
        return lines

    def rows(self) -> list[tuple[str, ...]]:
        """What tells the clips from others: a row of ``COLUMNS`` for each."""
        catalog = self.catalog
        return [
            (
                catalog.name(i),
                self._class(clip),
                clip.fold,
                f"{self.length(i) / self.sample_rate:.6g}",
                str(clip.path.stat().st_size),
                self.hashes[i],
            )
            for i, clip in enumerate(catalog.clips)
        ]

    def claim(self, path: Path) -> None:
        """Record the clips in a table, or see that they are those that it has.

        Raises:
            BadDataError: If clips were added, removed or changed, or changed class or fold; the message names them.
        """
        rows = self.rows()
        if not path.exists():
            write_table(path, [COLUMNS, *rows])
            return
        before = {row["file"]: row for _, row in read_table(path, COLUMNS)}
        # As tables are read. What else is in them follows from these and the sample rate.
        now = {row[0].strip(): dict(zip(COLUMNS, map(str.strip, row), strict=True)) for row in rows}
        compared = {"label": "label", "fold": "fold", "sha256": "content"}
        lines = [f"{name} is new" for name in now.keys() - before.keys()]
        lines += [f"{name} is gone" for name in before.keys() - now.keys()]
        for name in now.keys() & before.keys():
            changed = [what for column, what in compared.items() if before[name][column] != now[name][column]]
            lines += [f"{name} has another {' and '.join(changed)}"] if changed else []
        if lines:
            more = [f"and {len(lines) - 10} more"] if len(lines) > 10 else []
            listed = "".join(f"\n  {line}" for line in [*sorted(lines)[:10], *more])
            raise BadDataError(
                f"{path.parent} has results of other clips: name another folder, or the clips of {path.name}{listed}"
            )

    def digest(self, fold: str) -> str:
        """Name for the clips of a fold by their files, classes and contents."""
        own = sorted(
            (self.catalog.name(i), self._class(clip), self.hashes[i])
            for i, clip in enumerate(self.catalog.clips)
            if clip.fold == fold
        )
        return hashlib.sha256(json.dumps(own).encode()).hexdigest()[:16]

    def _class(self, clip: Clip) -> str:
        return "" if clip.label is None else self.catalog.classes[clip.label]

    def _write(self, clips: tuple[Clip, ...], file: Path, index: Path) -> dict[str, Any]:
        limit = float("inf") if self._seconds is None else self._seconds
        size = 4 * self.sample_rate * sum(min(limit, duration(clip.path)) for clip in clips)
        free = shutil.disk_usage(file.parent).free
        print(f"decoding {len(clips)} clips into {file}: {size / GIB:.2f} GiB", file=sys.stderr)
        if size > free:
            raise BadDataError(
                f"cache must have {size / GIB:.2f} GiB free, got {free / GIB:.2f} in {file.parent} "
                "(another folder, fewer seconds or a lower sample_rate)"
            )
        lengths, problems = [], {}
        # Not mkstemp: others who share the folder could not read its files.
        name = file.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            with name.open("xb") as part, tqdm(total=len(clips), desc="decoding", unit="clip") as bar:
                for i, blocks in enumerate(self._decoded(clips)):
                    start = part.tell()
                    try:
                        if isinstance(blocks, BadDataError):
                            raise blocks
                        for block in blocks:
                            part.write(block.astype(np.float32).tobytes())
                    except BadDataError as problem:
                        problems[i] = str(problem)
                        part.seek(start)
                        part.truncate()
                    lengths.append((part.tell() - start) // 4)
                    bar.update()
            os.replace(name, file)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
        # The index comes last: where there is one, the file is whole.
        content: dict[str, Any] = {"lengths": lengths, "problems": {str(i): text for i, text in problems.items()}}
        write_whole(index, json.dumps(content))
        return content

    def _decoded(self, clips: tuple[Clip, ...]) -> Iterator[Iterable[np.ndarray] | BadDataError]:
        """Decode ahead in threads; a long recording is decoded block by block, while it is written."""

        def start(clip: Clip) -> Iterable[np.ndarray] | BadDataError:
            blocks = decode_blocks(clip.path, self.sample_rate, self._seconds, keep_silence=self._silence)
            try:
                return blocks if duration(clip.path) > BLOCK else list(blocks)
            except BadDataError as problem:
                return problem

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for first in range(0, len(clips), AT_ONCE):
                yield from pool.map(start, clips[first : first + AT_ONCE])


def open_store(data: Mapping[str, Any]) -> Store:
    """Decode the clips of the ``data`` settings of a run, those of `experiments.data.module.ClipData`.

    Raises:
        BadDataError: As the data set's reader and `Store`.
    """
    skip_bad = data.get("skip_bad", False)
    dataset, options = data.get("dataset", "folders"), data.get("options") or {}
    catalog = read_catalog(dataset, Path(data["root"]), skip_bad=skip_bad, **options)
    if data.get("copies") is not None:
        catalog = add_copies(catalog, Path(data["copies"]), data.get("test_fold"))
    cache, seconds = Path(data.get("cache", "runs/cache")), data.get("seconds")
    return Store(catalog, data["sample_rate"], cache, seconds=seconds, skip_bad=skip_bad)


def _read_index(file: Path, index: Path) -> dict[str, Any] | None:
    """Return what an index has, or ``None`` where its file has not all samples: they would be read as shorter clips."""
    try:
        content: dict[str, Any] = json.loads(index.read_text(encoding="utf-8"))
        return content if file.stat().st_size == 4 * sum(content["lengths"]) else None
    except (OSError, ValueError, KeyError):
        return None


def _hashes(clips: tuple[Clip, ...], folder: Path) -> list[str]:
    """SHA-256 of each clip's file; those of files whose size and time are known are not read again."""
    path = folder / "contents.json"
    try:
        known: dict[str, list[Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}

    def look_up(clip: Clip) -> tuple[str, list[Any]]:
        name = os.fsencode(os.path.realpath(clip.path)).decode("utf-8", "backslashreplace")
        try:
            stat = clip.path.stat()
            entry = known.get(name)
            if entry is None or entry[:2] != [stat.st_size, stat.st_mtime_ns]:
                content = hashlib.sha256()
                with clip.path.open("rb") as file:
                    while block := file.read(2**20):
                        content.update(block)
                entry = [stat.st_size, stat.st_mtime_ns, content.hexdigest()]
        except OSError:  # decoding it fails too, and tells
            entry = [0, 0, ""]
        return name, entry

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        entries = list(pool.map(look_up, clips))
    if any(known.get(name) != entry for name, entry in entries):
        write_whole(path, json.dumps(known | dict(entries)))
    return [entry[2] for _, entry in entries]
