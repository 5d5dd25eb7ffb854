"""Sets that have a folder for each class, and a leading digit in each file name for its fold."""

from __future__ import annotations

import re
from pathlib import Path

from sound_folders import SUFFIXES

from recipes.catalog import BadDataError, Catalog, Clip, check_file, make_catalog


def read(root: Path, *, skip_bad: bool = False) -> Catalog:
    """Find the clips of ``<root>/<class>/<fold>-<anything>``.

    Args:
        root: Folder of class folders.
        skip_bad: Leave files out that have no fold.

    Returns:
        The clips, classes in the order of their names.

    Raises:
        BadDataError: If there are not two classes, or files have no fold; the message lists all.
    """
    if not root.is_dir():
        raise BadDataError(f"data.root must be a folder of class folders, got {root} (no such folder)")
    found = sorted(path for path in root.glob("*/*") if path.suffix.lower() in SUFFIXES)
    classes = sorted({path.parent.name for path in found})
    if len(classes) < 2:
        raise BadDataError(f"data.root must hold two class folders or more, got {len(classes)} in {root}")
    clips, problems = [], []
    for path in found:
        fold = re.match(r"(\d+)-", path.name)
        name = path.relative_to(root)
        if problem := check_file(root, path):
            problems.append(f"{name}: {problem}")
        elif fold is None:
            problems.append(f"{name}: the name must start with the number of a fold, like 1-")
        else:
            clips.append(Clip(path, classes.index(path.parent.name), fold[1]))
    return make_catalog(classes, clips, problems, skip_bad=skip_bad, source=root)
