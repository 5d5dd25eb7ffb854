"""Folds of a set without official ones: read from file names or a table, or drawn, and checked before training."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.files import BadDataError

CHOICES = ("auto", "names", "random")
MOST = 20  # folds that are read from names unasked: more numbers than these count clips


def choose_folds(
    names: Sequence[str], labels: Sequence[int], classes: Sequence[str], *, how: str, group: str | None, n_folds: int
) -> tuple[list[str], str]:
    """Choose the fold of each clip.

    Args:
        names: Paths of the clips below the root.
        labels: Class of each.
        classes: Names of the classes.
        how: One of ``CHOICES``. ``"names"`` reads the number before the first ``-`` of the file name; ``"random"``
            draws folds, each with its share of every class; ``"auto"`` reads numbers if every file has one and they
            work as folds, else keeps clips together whose file names agree up to the first ``-`` if that leaves enough
            groups, else draws.
        group: Regular expression; clips for which it finds the same in the name stay in one fold (its first group, or
            all of it). ``None`` for none.
        n_folds: Folds to draw.

    Returns:
        Folds, and a sentence that says how they were made.

    Raises:
        BadDataError: If folds cannot be made as asked for.
    """
    files = [name.rpartition("/")[2] for name in names]
    if group is not None:
        groups = _matched(names, group)
        return _drawn(groups, labels, classes, n_folds), (
            f"folds: {n_folds} drawn; clips in which {group!r} finds the same stay together ({len(set(groups))} groups)"
        )
    numbered = [re.match(r"(\d{1,3})-", file) for file in files]
    if how != "random" and all(numbered):
        folds = [match[1] for match in numbered if match]
        problem = fold_problem(folds, labels, classes)
        if problem is None and (how == "names" or len(set(folds)) <= MOST):
            return folds, "folds: the number before the first - of the file names"
        if how == "names":
            raise BadDataError(f"folds from file names do not work: {problem}")
    elif how == "names":
        first = next(file for file, match in zip(files, numbered, strict=True) if not match)
        raise BadDataError(f"folds=names needs file names that start with the number of a fold, like 1-, got {first}")
    sources = [file.split("-")[0] if "-" in file else name for file, name in zip(files, names, strict=True)]
    per_class = defaultdict(set)
    for source, label in zip(sources, labels, strict=True):
        per_class[label].add(source)
    if how == "auto" and len(set(sources)) < len(files) and all(len(own) >= n_folds for own in per_class.values()):
        return _drawn(sources, labels, classes, n_folds), (
            f"folds: {n_folds} drawn; clips whose file names agree up to the first - stay together "
            f"({len(set(sources))} groups)"
        )
    return _drawn(list(names), labels, classes, n_folds), (
        f"folds: {n_folds} drawn, each clip by itself; if several clips are of one speaker or recording, results are "
        "too good: keep them together with --group PATTERN or --table"
    )


def draw_folds(
    groups: Sequence[str], labels: Sequence[int], classes: Sequence[str], n_folds: int
) -> tuple[list[str], str]:
    """Draw folds that keep groups of clips together, as `choose_folds` does."""
    how = f"folds: {n_folds} drawn; clips of a group of the table stay together ({len(set(groups))} groups)"
    return _drawn(groups, labels, classes, n_folds), how


def find_sources(names: Sequence[str], group: str | None) -> tuple[list[str], str]:
    """Guess what clips have their source in common, from the paths of clips below their root.

    Args:
        names: The paths.
        group: As in `choose_folds`. ``None`` takes the file name up to its first ``-``, or up to the second where each
            begins with the number of a fold, if that is the same for some clips; else each clip for itself.

    Returns:
        A name for the source of each clip, and a sentence that says how it was found.

    Raises:
        BadDataError: If ``group`` is not a regular expression, or not found in each name.
    """
    if group is not None:
        found = _matched(names, group)
        return found, f"sources: clips in which {group!r} finds the same ({len(set(found))})"
    files = [name.rpartition("/")[2] for name in names]
    parts = 2 if all(re.match(r"\d{1,3}-", file) for file in files) else 1
    found = [
        "-".join(file.split("-")[:parts]) if "-" in file else name for file, name in zip(files, names, strict=True)
    ]
    if len(set(found)) == len(found):
        return found, "sources: each clip by itself; if several are of one speaker or recording, use --group PATTERN"
    until = "first -" if parts == 1 else "second -"
    return found, f"sources: clips whose file names agree up to the {until} ({len(set(found))})"


def fold_problem(folds: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> str | None:
    """Tell why clips cannot be trained and tested by these folds; ``None`` if they can."""
    numbers = sorted(set(folds), key=lambda fold: (len(fold), fold))
    if len(numbers) < 2:
        return f"all clips are in fold {numbers[0]}, at least two folds are needed"
    of_class: Mapping[int, set[str]] = defaultdict(set)
    for fold, label in zip(folds, labels, strict=True):
        of_class[label].add(fold)
    alone = [f"{classes[label]} ({next(iter(own))})" for label, own in sorted(of_class.items()) if len(own) == 1]
    if alone:
        return (
            "each class must be in two folds or more, since it could not be learned where its fold is held out; "
            f"in one fold only: {', '.join(alone[:10])}{' ...' if len(alone) > 10 else ''}"
        )
    return None


def _matched(names: Sequence[str], pattern: str) -> list[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise BadDataError(f"--group must be a regular expression, got {pattern!r} ({error})") from error
    found = [(match := expression.search(name)) and match[1 if expression.groups else 0] for name in names]
    if missing := [name for name, group in zip(names, found, strict=True) if group is None]:
        raise BadDataError(f"--group must be found in each name, got {pattern!r}, not in {len(missing)} ({missing[0]})")
    return [group for group in found if group is not None]


def _drawn(groups: Sequence[str], labels: Sequence[int], classes: Sequence[str], n_folds: int) -> list[str]:
    """Draw folds, always the same ones, of about the same size and mixture of classes."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # here: official folds need none

    if n_folds < 2:
        raise BadDataError(f"--make-folds must be at least 2, got {n_folds}")
    of_class: dict[int, set[str]] = defaultdict(set)
    for group, label in zip(groups, labels, strict=True):
        of_class[label].add(group)
    few = [f"{classes[label]} ({len(own)})" for label, own in sorted(of_class.items()) if len(own) < n_folds]
    if few:
        raise BadDataError(
            f"--make-folds must be at most the clips, or groups of clips, of each class, got {n_folds} and fewer in "
            f"{', '.join(few[:10])}{' ...' if len(few) > 10 else ''}"
        )
    # The one for groups takes a minute for 100,000 of them.
    kind, own = (StratifiedKFold, None) if len(set(groups)) == len(groups) else (StratifiedGroupKFold, groups)
    splitter = kind(n_folds, shuffle=True, random_state=0)
    folds = np.zeros(len(groups), int)
    for fold, (_, held_out) in enumerate(splitter.split(groups, labels, own), start=1):
        folds[held_out] = fold
    drawn = [str(fold) for fold in folds]
    if problem := fold_problem(drawn, labels, classes):
        raise BadDataError(f"{n_folds} folds cannot be drawn so that groups stay together: {problem}")
    return drawn
