"""The folder of a run: its files, and what is read from them."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.files import BadDataError, write_whole

SETTINGS = "settings.json"  # what a grid gave it
CONFIG = "config.json"  # that, and all defaults
CHECKPOINT = "last.ckpt"  # the state after the last whole epoch
EPOCHS = "epochs.csv"
PREDICTIONS = "predictions.csv"
FRONTEND = "frontend"
NETWORK = "network.pt"
RESULT = "result.json"  # written last: there when the run is finished
FREE = ("data.root", "data.cache", "data.workers")  # settings that change no result, since clips are known by content


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        folder: Its folder.
        variant: What tables call it.
        values: What ``result.json`` has.
    """

    folder: Path
    variant: str
    values: dict[str, Any]

    @property
    def key(self) -> tuple[str, int, str]:
        """Fold, seed, and the name for the contents of the test clips: runs that differ in one are not compared."""
        return self.values["fold"], self.values["seed"], self.values["test_clips"]

    @property
    def accuracy(self) -> float:
        """Share of test clips that were classified right."""
        return float(self.values["accuracy"])

    def predictions(self) -> list[dict[str, str]]:
        """Rows of ``predictions.csv``: file, label, prediction, device, fold, and the probability of each class."""
        with (self.folder / PREDICTIONS).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def read_result(folder: Path) -> Result | None:
    """Read a run's result; ``None`` if it is not finished.

    Raises:
        BadDataError: If the file is there and cannot be read.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    values = read_json(path)
    return Result(folder, folder.parent.name, values)


def read_results(out: Path) -> list[Result]:
    """Read the results of a grid's finished runs, in the order in which they were trained.

    Raises:
        BadDataError: If there are none.
    """
    paths = sorted(out.glob(f"*/*/{RESULT}"), key=lambda path: path.stat().st_mtime_ns)
    results = [result for path in paths if (result := read_result(path.parent)) is not None]
    if not results:
        raise BadDataError(f"{out} has no finished run (its folders are VARIANT/foldK-seedN)")
    return results


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that an experiment wrote.

    Raises:
        BadDataError: If it is missing, empty or cut; the message names it.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadDataError(f"{path} cannot be read ({error}); delete {path.parent} to run it again") from error
    return values


def claim_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Record the settings of a run, or see that they are those that it was begun with, but for those of ``FREE``.

    Args:
        path: The record.
        settings: Nested settings.

    Raises:
        BadDataError: If they are others; the message names each.
    """
    text = json.dumps(settings, indent=1) + "\n"
    if check_settings(path, settings) != json.loads(text):
        write_whole(path, text)


def check_settings(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the settings of a record, ``None`` if there is none, or refuse others as `claim_settings` does."""
    if not path.exists():
        return None
    kept = read_json(path)
    before, now = flatten(kept), flatten(json.loads(json.dumps(settings)))
    changed = [
        f"{name}: {before.get(name)!r} before, {now.get(name)!r} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in FREE
    ]
    if changed:
        lines = "\n  ".join(changed)
        raise BadDataError(f"{path.parent} was begun with other settings (name another folder):\n  {lines}")
    return kept


def describe_machine() -> dict[str, Any]:
    """Return what numbers depend on beside settings and clips: the versions of libraries, and the machine."""
    versions = {name: version(name) for name in ("learnable_frontends", "torch", "lightning", "numpy")}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def flatten(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return every value of nested settings by its path, ``model.frontend.class_path`` for one."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= flatten(value, f"{path}{name}.") if isinstance(value, Mapping) else {path + name: value}
    return flat


def instantiate(kind: type[Any], config: Mapping[str, Any]) -> Any:
    """Build an object of a class or a subclass from its ``class_path`` and ``init_args``.

    Raises:
        BadDataError: If it cannot be built; the message is the constructor's.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--object", type=kind)
    try:
        given = deepcopy(dict(config))  # the parser writes into lists
        return parser.instantiate_classes(parser.parse_object({"object": given})).object
    except (ArgumentError, TypeError, ValueError) as error:
        raise BadDataError(str(error)) from error


def load_model(folder: Path) -> Any:
    """Load the trained `experiments.training.classifier.Classifier` of a finished run.

    Raises:
        BadDataError: If the run is not finished, or a file cannot be read.
    """
    import torch

    from experiments.training.classifier import Classifier

    settings = read_json(folder / CONFIG)["model"]
    of_training = {"frontend", "network", "optimizer", "decay"}  # a parser takes a second to build them
    plain = {name: value for name, value in settings.items() if name not in of_training}
    network = instantiate(torch.nn.Module, settings["network"])
    try:
        network.load_state_dict(torch.load(folder / NETWORK, weights_only=True))
    except Exception as error:  # torch.load raises another type for each way a file can be broken
        raise BadDataError(f"{folder} has no network that can be loaded: {error}") from error
    return Classifier(load_frontend(folder), network, optimizer=torch.optim.AdamW, **plain).eval()


def load_frontend(folder: Path) -> Any:
    """Load the trained front-end of a finished run.

    Raises:
        BadDataError: If it has none that can be read.
    """
    import experiments.training.triangles  # noqa: F401 - registers its class
    from learnable_frontends.pretrained import from_pretrained

    try:
        return from_pretrained(folder / FRONTEND).eval()
    except (OSError, ValueError) as error:
        raise BadDataError(f"{folder} has no front-end that can be loaded: {error}") from error


def open_test_clips(result: Result) -> Any:
    """Open the clips that a run was tested on, as `experiments.data.module.Clips`.

    Raises:
        BadDataError: If they cannot be used, or are others by now.
    """
    from experiments.data.module import open_clips
    from experiments.data.store import open_store

    data = read_json(result.folder / CONFIG)["data"]
    store, (fold, _, digest) = open_store(data), result.key
    if store.digest(fold) != digest:
        raise BadDataError(f"{result.folder} was tested on other clips than fold {fold} of {data['root']} has now")
    return open_clips(store, {fold}, data.get("seconds"), data.get("window"))
