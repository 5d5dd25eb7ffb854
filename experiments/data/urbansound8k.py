"""UrbanSound8K as its authors distribute it: ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` to ``audio/fold10``.

`experiments.data.download` downloads it with soundata. It is read here, since soundata checks neither folds nor
classes, stops at the first row that it cannot parse, and takes its list of clips from an index without generated sets.
"""

from __future__ import annotations

from pathlib import Path

from experiments.data.catalog import Catalog, Clip, check_file, make_catalog
from experiments.files import read_table

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
FOLDS = tuple(map(str, range(1, 11)))


def read(root: Path, *, skip_bad: bool = False) -> Catalog:
    """Read the table, and check that every row names a file and a class of the set.

    Args:
        root: Folder with ``audio`` and ``metadata``.
        skip_bad: Leave rows out that cannot be used.

    Returns:
        The clips, with folds "1" to "10".

    Raises:
        BadDataError: If the table or a row cannot be used; the message lists all.
    """
    clips: list[Clip] = []
    problems: list[str] = []
    seen: set[str] = set()
    for place, row in read_table(root / TABLE, COLUMNS):
        name, fold, label = row["slice_file_name"], row["fold"], row["class"]
        folder = root / "audio" / f"fold{fold}"
        path = folder / name
        if fold not in FOLDS:
            problem: str | None = f"fold must be 1 to 10, got {fold!r}"
        elif label not in CLASSES:
            problem = f"class must be one of the ten of the set, got {label!r}"
        elif row["classID"] != str(CLASSES.index(label)):
            problem = f"classID of {label} must be {CLASSES.index(label)}, got {row['classID']!r}"
        elif name in seen:  # in any fold: a clip in two folds is trained on and tested
            problem = f"{name} is there twice"
        else:
            problem = check_file(root, path)
            if problem is None and path.parent != folder:  # into another fold, past the check above
                problem = f"slice_file_name must be a name without folders, got {name!r}"
        seen.add(name)
        if problem is None:
            clips.append(Clip(path, CLASSES.index(label), fold))
        else:
            problems.append(f"{place}: {problem}")
    return make_catalog(root, CLASSES, clips, problems, skip_bad=skip_bad, keep_silence=True)
