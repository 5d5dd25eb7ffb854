"""The clips of a data set before they are decoded, and how bad ones are told."""

from __future__ import annotations

import csv
import importlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

READERS = {
    "urbansound8k": "urbansound8k.dataset",
    "dcase2020_task1a": "dcase2020_task1a.dataset",
    "folders": "recipes.folders",
}
BLIND = "blind"  # the fold of clips without labels
COPY_OF = "copy of "  # and the fold of the clip that was copied: the fold of an augmented copy
COPIES = "augmented.csv"


class BadDataError(ValueError):
    """Files, rows or folds that cannot be used; the message names every one, a line each."""


class Clip(NamedTuple):
    """One clip.

    Attributes:
        path: Its file.
        label: Index of its class; ``None`` in a set without labels.
        fold: Name of its fold, or the part of a fixed split.
        device: What recorded it; empty where nobody says.
    """

    path: Path
    label: int | None
    fold: str
    device: str = ""


@dataclass(frozen=True)
class Catalog:
    """Clips of a data set.

    Attributes:
        classes: Names of the classes, in the order of the labels.
        clips: The clips.
        skipped: What was left out on request, a line each.
    """

    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    skipped: tuple[str, ...] = ()


def read_catalog(dataset: str, root: Path, **options: Any) -> Catalog:
    """Read a data set by the name of its layout, a key of `READERS`; options are its reader's."""
    catalog: Catalog = importlib.import_module(READERS[dataset]).read(root, **options)
    return catalog


def by_label(catalog: Catalog, chosen: Iterable[int]) -> dict[int | None, list[int]]:
    """Give the clips of each class, of those chosen, in their order."""
    found: dict[int | None, list[int]] = defaultdict(list)
    for i in chosen:
        found[catalog.clips[i].label].append(i)
    return found


def another(clips: Iterable[int], i: int, *seed: int) -> int | None:
    """Choose one of the clips that is not ``i``, always the same for a seed; ``None`` if there is no other."""
    others = [k for k in clips if k != i]
    return others[int(np.random.default_rng(seed).integers(len(others)))] if others else None


def make_catalog(
    classes: Sequence[str], clips: Iterable[Clip], problems: Sequence[str], *, skip_bad: bool, source: Path
) -> Catalog:
    """Make a catalog of what can be used, or refuse it with all that cannot.

    Args:
        classes: Names of the classes.
        clips: Clips without problems.
        problems: What is wrong with the others, a line each.
        skip_bad: Leave the others out rather than refuse.
        source: What was read, for messages.

    Raises:
        BadDataError: If there are problems and ``skip_bad`` is not set, or no clips are left.
    """
    kept = tuple(clips)
    refuse(problems, len(problems) + len(kept), skip_bad=skip_bad)
    if not kept:
        raise BadDataError(f"{source} has no clips that can be used")
    return Catalog(tuple(classes), kept, tuple(problems))


def refuse(problems: Sequence[str], total: int, *, skip_bad: bool) -> None:
    """Raise `BadDataError` with all problems, unless they are to be skipped."""
    if problems and not skip_bad:
        lines = "\n  ".join(problems)
        head = f"{len(problems)} of {total} clips cannot be used (data.skip_bad leaves them out)"
        raise BadDataError(f"{head}:\n  {lines}")


def read_rows(path: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[tuple[str, dict[str, str]]]:
    """Give the place, file and line, and the values of each row of a table.

    Raises:
        BadDataError: If the file is missing, is not text, or lacks one of the columns.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDataError(f"{path} cannot be read: {error}") from error
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    found = reader.fieldnames or []
    if missing := [name for name in columns if name not in found]:
        raise BadDataError(f"{path} must have the columns {', '.join(columns)}, got {', '.join(found)} (no {missing})")
    for row in reader:
        yield f"{path.name}, line {reader.line_num}", {name: (row[name] or "").strip() for name in columns}


def check_file(root: Path, path: Path) -> str | None:
    """Say what is wrong with the place of a clip: outside of its data set, or not there; ``None`` if nothing is."""
    # By name, not by what links lead to: people keep audio on other disks.
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)):
        return f"{path} lies outside of {root}"
    return None if path.is_file() else f"no file {path.relative_to(root)}"


def add_copies(catalog: Catalog, root: Path, folder: Path) -> Catalog:
    """Add the clips that ``recipes/offline.py`` wrote, in folds of their own: `COPY_OF` and the fold of the source.

    Raises:
        BadDataError: If the table cannot be read, or names files that are not there or not of this data set.
    """
    sources = {clip.path.relative_to(root).as_posix(): clip for clip in catalog.clips if clip.path.is_relative_to(root)}
    clips, problems = [], []
    for place, row in read_rows(folder / COPIES, ("file", "source")):
        source, path = sources.get(row["source"]), folder / row["file"]
        if source is None:
            problems.append(f"{place}: no clip {row['source']} in {root}")
        elif problem := check_file(folder, path):
            problems.append(f"{place}: {problem}")
        else:
            clips.append(source._replace(path=path, fold=COPY_OF + source.fold))
    refuse(problems, len(problems) + len(clips), skip_bad=False)
    return replace(catalog, clips=(*catalog.clips, *clips))
