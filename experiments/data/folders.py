"""Sets with a folder for each class or a table of clips: all sound files, and a count of other files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from experiments.data.catalog import Catalog, Clip, check_file, make_catalog, refuse
from experiments.data.folds import choose_folds, draw_folds, fold_problem
from experiments.data.reading import is_sound
from experiments.files import BadDataError, read_table, shown

NO_SOUND = ", no sound that libsndfile reads"
Row = TypeVar("Row", tuple[Path, str], tuple[Path, str, str])


def read(
    root: Path,
    *,
    skip_bad: bool = False,
    table: Path | str | None = None,
    folds: str = "auto",
    group: str | None = None,
    make_folds: int = 5,
    limit: int | None = None,
) -> Catalog:
    """Find the clips of ``<root>/<class>/``, in folders within too, or of a table.

    What is not a sound by its name is counted and named. Hidden files and folders and ``__MACOSX`` are neither sounds
    nor classes.

    Args:
        root: Folder of class folders; the files of a table are below it.
        skip_bad: Leave out class folders without a sound, and rows of the table that cannot be used.
        table: CSV file with columns ``file``, ``label``, and ``fold`` or ``group``; ``None`` for class folders.
        folds: How folds are made without a table: one of `experiments.data.folds.CHOICES`.
        group: As in `experiments.data.folds.choose_folds`.
        make_folds: Folds to draw, where none are given.
        limit: Clips per class to use, the first by name or of the table; ``None`` for all.

    Returns:
        The clips, classes in the order of their names.

    Raises:
        BadDataError: If there are not two classes, a class has no sound, or folds cannot be made.
    """
    if not root.is_dir():
        raise BadDataError(f"data must be a folder of class folders, got {root} (no such folder)")
    if table is not None:
        if folds != "auto" or group is not None:
            raise BadDataError("folds and group must be left out with a table, which has a column for them")
        return _read_table(root, Path(table), make_folds, limit, skip_bad=skip_bad)
    found, notes, problems = _find(root)
    refuse(problems, len(problems) + len(found), skip_bad=skip_bad)
    found = _first(found, limit)
    paths, labels = [path for path, _ in found], [label for _, label in found]
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise BadDataError(
            f"data must have two class folders or more with sounds in them, got {len(classes)} in {root}"
            + "".join(f"\n  {line}" for line in (*problems, *notes))
        )
    indices = [classes.index(label) for label in labels]
    names = [shown(path, root) for path in paths]
    chosen, how = choose_folds(names, indices, classes, how=folds, group=group, n_folds=make_folds)
    clips = [Clip(*clip) for clip in zip(paths, indices, chosen, strict=True)]
    return make_catalog(root, classes, clips, problems, skip_bad=skip_bad, notes=[*notes, how])


def _first(found: list[Row], limit: int | None) -> list[Row]:
    """Return the first rows of each class, which is the second of a row."""
    seen: Counter[str] = Counter()
    kept = []
    for row in found:
        seen[row[1]] += 1
        if limit is None or seen[row[1]] <= limit:
            kept.append(row)
    return kept


def _find(root: Path) -> tuple[list[tuple[Path, str]], list[str], list[str]]:
    """Return sounds and their classes, notes on what is left out, and classes that have no sound."""
    found, problems = [], []
    others: dict[str, list[Path]] = defaultdict(list)
    for folder in sorted(root.iterdir()):
        if _ignored(folder):
            continue
        if not folder.is_dir():
            why = ", in no class folder" if is_sound(folder) else NO_SOUND
            others[_kind(folder) + why].append(folder)
            continue
        files = sorted(_below(folder, {folder.resolve()}))
        sounds = [path for path in files if is_sound(path)]
        for path in set(files) - set(sounds):
            others[_kind(path) + NO_SOUND].append(path)
        if not sounds:
            kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(map(_kind, files)).items())
            problems.append(f"{shown(folder, root)}: has no sound that libsndfile reads, {kinds or 'and is empty'}")
        found += [(path, shown(folder, root)) for path in sounds]
    notes = [
        f"left out {len(files)} {kind}: {', '.join(shown(path, root) for path in sorted(files)[:3])}"
        + (" ..." if len(files) > 3 else "")
        for kind, files in sorted(others.items())
    ]
    return found, notes, problems


def _kind(path: Path) -> str:
    return path.suffix.lower() or path.name


def _ignored(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"


def _below(folder: Path, above: set[Path]) -> Iterator[Path]:
    """Yield files, and links that lead nowhere; a link to a folder above would lead around."""
    for path in folder.iterdir():
        if _ignored(path):
            continue
        if path.is_dir():
            if (real := path.resolve()) not in above:
                yield from _below(path, above | {real})
        elif path.is_file() or path.is_symlink():
            yield path


def _read_table(root: Path, table: Path, make_folds: int, limit: int | None, *, skip_bad: bool) -> Catalog:
    rows = read_table(table, ("file", "label"))
    given = next((name for name in ("fold", "group") if rows and name in rows[0][1]), None)
    if given is None:
        raise BadDataError(f"{table} must have a column fold or a column group beside file and label, and a row a clip")
    good: list[tuple[Path, str, str]] = []
    problems: list[str] = []
    seen: dict[Path, str] = {}
    for place, row in rows:
        path = root / row["file"]
        problem = check_file(root, path)
        if path in seen:
            problem = f"{row['file']} is in {seen[path]} already"
        elif problem is None and not (row["label"] and row[given]):
            problem = f"label and {given} must not be empty"
        elif problem is None and not is_sound(path):
            problem = f"{row['file']} is no sound that libsndfile reads"
        seen[path] = place
        if problem:
            problems.append(f"{place}: {problem}")
        else:
            good.append((path, row["label"], row[given]))
    refuse(problems, len(rows), skip_bad=skip_bad)
    good = _first(good, limit)
    classes = sorted({label for _, label, _ in good})
    labels, folds = [classes.index(label) for _, label, _ in good], [third for _, _, third in good]
    how = f"folds: those of {table.name}"
    if len(classes) < 2:
        raise BadDataError(f"{table} must have two classes or more, got {classes}")
    if given == "group":
        folds, how = draw_folds(folds, labels, classes, make_folds)
    elif problem := fold_problem(folds, labels, classes):
        raise BadDataError(f"{table}: {problem}")
    clips = [Clip(path, label, fold) for (path, _, _), label, fold in zip(good, labels, folds, strict=True)]
    return make_catalog(root, classes, clips, problems, skip_bad=skip_bad, notes=[how])
