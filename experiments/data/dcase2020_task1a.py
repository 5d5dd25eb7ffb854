"""TAU Urban Acoustic Scenes 2020 Mobile, the set of DCASE 2020 task 1A, as its authors distribute it.

`experiments.data.download` downloads both parts with soundata. They are read here, since soundata checks neither scenes
nor devices, and takes its list of clips from an index that does not contain generated sets.
"""

from __future__ import annotations

import re
from pathlib import Path

from experiments.data.catalog import BLIND, Catalog, Clip, check_file, make_catalog
from experiments.files import read_table

CLASSES = (
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
)
DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")
SETUP = "evaluation_setup"
TABLES = {"train": "fold1_train.csv", "test": "fold1_evaluate.csv"}
BLIND_TABLES = ("fold1_test.csv", "test.csv")


def read(root: Path, *, skip_bad: bool = False, blind: Path | str | None = None) -> Catalog:
    """Read the official split of the development set, and the clips of the blind one.

    Args:
        root: Folder of the development set, with ``audio`` and ``evaluation_setup``.
        skip_bad: Leave rows out that cannot be used.
        blind: Folder of the evaluation set, whose table has file names only.

    Returns:
        Clips with folds "train", "test" and "blind", and their devices.

    Raises:
        BadDataError: If a table or a row cannot be used; the message lists all.
    """
    clips: list[Clip] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for fold, table in TABLES.items():
        for place, row in read_table(root / SETUP / table, ("filename", "scene_label"), "\t"):
            name, scene, path = row["filename"], row["scene_label"], root / row["filename"]
            device = re.search(r"-(\w+)\.wav$", path.name)
            if scene not in CLASSES:
                problem: str | None = f"scene_label must be one of the ten of the set, got {scene!r}"
            elif path.name.split("-")[0] != scene:
                problem = f"filename must start with its scene, {scene}, got {name!r}"
            elif device is None or device[1] not in DEVICES:
                problem = f"filename must end in a device, -a.wav to -s6.wav, got {name!r}"
            elif name in seen:
                problem = f"{name} is in {seen[name]} already"
            else:
                problem = check_file(root, path)
            seen[name] = place
            if problem is None and device is not None:
                clips.append(Clip(path, CLASSES.index(scene), fold, device[1]))
            else:
                problems.append(f"{place}: {problem}")
    if blind is not None:
        folder = Path(blind)
        table = next((name for name in BLIND_TABLES if (folder / SETUP / name).exists()), BLIND_TABLES[0])
        for place, row in read_table(folder / SETUP / table, ("filename",), "\t"):
            path = folder / row["filename"]
            if problem := check_file(folder, path):
                problems.append(f"{place}: {problem}")
            else:
                clips.append(Clip(path, None, BLIND))
    return make_catalog(root, CLASSES, clips, problems, skip_bad=skip_bad, keep_silence=True)
