"""The clips of a data set before they are decoded, and how those that cannot be used are reported."""

from __future__ import annotations

import inspect
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.files import BadDataError, read_table, shown

READERS = ("folders", "urbansound8k", "dcase2020_task1a")
BLIND = "blind"  # the fold of clips without labels
COPY_OF = "copy of "  # and the fold of the clip that was copied: the fold of an augmented copy
COPIES = "augmented.csv"


class Clip(NamedTuple):
    """One clip.

    Attributes:
        path: Its file.
        label: Index of its class; ``None`` in a set without labels.
        fold: Name of its fold, or its part of a fixed split.
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
        root: Folder of the set; a blind set and augmented copies may lie elsewhere.
        classes: Names of the classes, in the order of the labels.
        clips: The clips.
        skipped: What was left out on request, a line each.
        notes: What a reader of results should know of how the set was made, a line each.
        keep_silence: Whether silent and very short clips belong to the set, as in an official protocol.
    """

    root: Path
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    keep_silence: bool = False

    @property
    def folds(self) -> list[str]:
        """Names of the folds to test on, in order."""
        found = {clip.fold for clip in self.clips if not clip.fold.startswith(COPY_OF)}
        return sorted(found - {BLIND}, key=lambda fold: (len(fold), fold))

    def name(self, i: int) -> str:
        """Return the name of a clip: its path from the root."""
        return shown(self.clips[i].path, self.root)


def read_catalog(dataset: str, root: Path, **options: Any) -> Catalog:
    """Read a data set by the name of its layout, one of `READERS`; options are its reader's.

    Raises:
        BadDataError: If the reader has no such option, or as it does.
    """
    read = import_module(f"experiments.data.{dataset}").read
    if unknown := sorted(options.keys() - inspect.signature(read).parameters.keys()):
        raise BadDataError(f"data.options of {dataset} must not have {', '.join(unknown)}: it has no such options")
    catalog: Catalog = read(root, **options)
    return catalog


def make_catalog(
    root: Path,
    classes: Sequence[str],
    clips: Iterable[Clip],
    problems: Sequence[str],
    *,
    skip_bad: bool,
    notes: Sequence[str] = (),
    keep_silence: bool = False,
) -> Catalog:
    """Make a catalog of what can be used, or refuse it with all that cannot.

    Args:
        root: Folder of the set.
        classes: Names of the classes.
        clips: Clips without problems.
        problems: What is wrong with the others, a line each.
        skip_bad: Leave the others out rather than refuse.
        notes: As in `Catalog`.
        keep_silence: As in `Catalog`.

    Raises:
        BadDataError: If there are problems and ``skip_bad`` is not set, or no clips are left.
    """
    kept = tuple(clips)
    refuse(problems, len(problems) + len(kept), skip_bad=skip_bad)
    if not kept:
        raise BadDataError(f"{root} has no clips that can be used")
    return Catalog(root, tuple(classes), kept, tuple(problems), tuple(notes), keep_silence)


def refuse(problems: Sequence[str], total: int, *, skip_bad: bool) -> None:
    """Raise `BadDataError` with all problems, unless they are to be skipped."""
    if problems and not skip_bad:
        lines = "\n  ".join(problems)
        raise BadDataError(f"{len(problems)} of {total} clips cannot be used (skip_bad leaves them out):\n  {lines}")


def by_label(catalog: Catalog, chosen: Iterable[int]) -> dict[int | None, list[int]]:
    """Return the clips of each class, of those chosen, in their order."""
    found: dict[int | None, list[int]] = defaultdict(list)
    for i in chosen:
        found[catalog.clips[i].label].append(i)
    return found


def another(clips: Iterable[int], i: int, *seed: int) -> int | None:
    """Choose one of the clips that is not ``i``, always the same for a seed; ``None`` if there is no other."""
    others = [k for k in clips if k != i]
    return others[int(np.random.default_rng(seed).integers(len(others)))] if others else None


def check_file(root: Path, path: Path) -> str | None:
    """Tell what is wrong with the place of a clip: outside of its data set, or not there; ``None`` if nothing is."""
    # By name, not by what links lead to: people keep audio on other disks.
    if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)):
        return f"{path} lies outside of {root}"
    return None if path.is_file() else f"no file {shown(path, root)}"


def add_copies(catalog: Catalog, folder: Path, test_fold: str | None) -> Catalog:
    """Add the clips that `experiments.data.offline` wrote, in folds of their own: `COPY_OF` and the source's.

    Raises:
        BadDataError: If the table cannot be read, or names files that are not there or not of this data set, or the
            copies are of a training for another test fold: clips of this one may be mixed into them. ``None`` is a
            fold that is not chosen yet.
    """
    rows = read_table(folder / COPIES, ("file", "source", "test_fold"))
    if test_fold is not None and (others := {row["test_fold"] for _, row in rows} - {test_fold}):
        raise BadDataError(f"{folder} has copies for test_fold {', '.join(sorted(others))}, got {test_fold}")
    sources = {catalog.name(i): clip for i, clip in enumerate(catalog.clips)}
    clips: list[Clip] = []
    problems: list[str] = []
    for place, row in rows:
        source, path = sources.get(row["source"]), folder / row["file"]
        if source is None:
            problems.append(f"{place}: {row['source']} is not a clip of the data set")
        elif problem := check_file(folder, path):
            problems.append(f"{place}: {problem}")
        else:
            clips.append(source._replace(path=path, fold=COPY_OF + source.fold))
    refuse(problems, len(problems) + len(clips), skip_bad=False)
    return replace(catalog, clips=(*catalog.clips, *clips))
