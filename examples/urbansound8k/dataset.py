"""UrbanSound8K as its authors distribute it: ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` to ``audio/fold10``.

soundata downloads the set and checks its files against its checksums (``python examples/urbansound8k/dataset.py
ROOT``). Reading it for training is ours, since soundata checks neither folds nor classes, stops at the first row
that it cannot parse, and takes its list of clips from an index to download, in which a generated tree's are not.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from recipes import download
from recipes.catalog import Catalog, Clip, check_file, make_catalog, read_rows

CLASSES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)
COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
TABLE = Path("metadata", "UrbanSound8K.csv")


def read(root: Path, *, skip_bad: bool = False) -> Catalog:
    """Read the table, and check that every row names a file and a class of the set.

    Args:
        root: Folder with ``audio`` and ``metadata``.
        skip_bad: Leave rows out that cannot be used.

    Returns:
        The clips, with folds "1" to "10".

    Raises:
        recipes.catalog.BadDataError: If the table or a row cannot be used; the message lists all.
    """
    clips: list[Clip] = []
    problems: list[str] = []
    seen: set[str] = set()
    for place, row in read_rows(root / TABLE, COLUMNS):
        name = row["slice_file_name"]
        folder = root / "audio" / f"fold{row['fold']}"
        path = folder / name
        problem = None
        if row["fold"] not in map(str, range(1, 11)):
            problem = f"fold must be 1 to 10, got {row['fold']!r}"
        elif row["class"] not in CLASSES:
            problem = f"class must be one of the ten of the set, got {row['class']!r}"
        elif row["classID"] != str(CLASSES.index(row["class"])):
            problem = f"classID of {row['class']} must be {CLASSES.index(row['class'])}, got {row['classID']!r}"
        elif name in seen:  # in any fold: a clip in two folds is trained on and tested
            problem = f"{name} is there twice"
        else:
            problem = check_file(root, path)
            if problem is None and path.parent != folder:  # into another fold, past the check above
                problem = f"slice_file_name must be a name without folders, got {name!r}"
        seen.add(name)
        if problem is None:
            clips.append(Clip(path, CLASSES.index(row["class"]), row["fold"]))
        else:
            problems.append(f"{place}: {problem}")
    return make_catalog(CLASSES, clips, problems, skip_bad=skip_bad, source=root)


if __name__ == "__main__":
    sys.exit(download.main("urbansound8k", "Download UrbanSound8K (6 GB) with soundata and check its files."))
