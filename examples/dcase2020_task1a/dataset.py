"""TAU Urban Acoustic Scenes 2020 Mobile, the set of DCASE 2020 task 1A, as its authors distribute it.

soundata downloads both parts and checks their files against its checksums (``python
examples/dcase2020_task1a/dataset.py ROOT``). Reading them for training is ours, since soundata checks neither scenes
nor devices, and takes its list of clips from an index to download, in which a generated tree's are not.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from recipes import download
from recipes.catalog import BLIND, Catalog, Clip, check_file, make_catalog, read_rows

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
TABLES = {"train": "fold1_train.csv", "test": "fold1_evaluate.csv"}
BLIND_TABLES = ("fold1_test.csv", "test.csv")


def read(root: Path, *, skip_bad: bool = False, blind: Path | None = None) -> Catalog:
    """Read the official split of the development set, and the clips of the blind one.

    Args:
        root: Folder of the development set, with ``audio`` and ``evaluation_setup``.
        skip_bad: Leave rows out that cannot be used.
        blind: Folder of the evaluation set, whose table has file names only.

    Returns:
        Clips with folds "train", "test" and "blind", and their devices.

    Raises:
        recipes.catalog.BadDataError: If a table or a row cannot be used; the message lists all.
    """
    clips: list[Clip] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for fold, table in TABLES.items():
        for place, row in read_rows(root / "evaluation_setup" / table, ("filename", "scene_label"), "\t"):
            name, path = row["filename"], root / row["filename"]
            device = re.fullmatch(r".*-(\w+)\.wav", Path(name).name)
            problem = None
            if row["scene_label"] not in CLASSES:
                problem = f"scene_label must be one of the ten of the set, got {row['scene_label']!r}"
            elif Path(name).name.split("-")[0] != row["scene_label"]:
                problem = f"filename must start with its scene, {row['scene_label']}, got {name!r}"
            elif device is None or device[1] not in DEVICES:
                problem = f"filename must end in a device, -a.wav to -s6.wav, got {name!r}"
            elif name in seen:
                problem = f"{name} is in {seen[name]} already"
            else:
                problem = check_file(root, path)
            seen[name] = place
            if problem is None and device is not None:
                clips.append(Clip(path, CLASSES.index(row["scene_label"]), fold, device[1]))
            else:
                problems.append(f"{place}: {problem}")
    if blind is not None:
        setup = blind / "evaluation_setup"
        table = next((name for name in BLIND_TABLES if (setup / name).exists()), BLIND_TABLES[0])
        for place, row in read_rows(setup / table, ("filename",), "\t"):
            path = blind / row["filename"]
            if problem := check_file(blind, path):
                problems.append(f"{place}: {problem}")
            else:
                clips.append(Clip(path, None, BLIND))
    return make_catalog(CLASSES, clips, problems, skip_bad=skip_bad, source=root)


if __name__ == "__main__":
    sets = "the development and the evaluation set (50 GB)"
    sys.exit(download.main("tau2020uas_mobile", f"Download {sets} with soundata and check their files."))
