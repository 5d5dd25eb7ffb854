"""Checkpoints of experiments: read, checked, and turned back into front-ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from frontends import restore_frontend

from learnable_frontends import Frontend

KEYS = ("frontend", "frontend_config", "frontend_state")


class FileError(Exception):
    """A file that cannot be used; the message names it and says why."""


def read_saved(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        path: A file that `compare_frontends.py` saved.
        keys: What it must hold besides a front-end.

    Returns:
        What the file holds.

    Raises:
        FileError: If the file cannot be read or is not such a checkpoint; the message names it.
    """
    try:
        saved: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch.load raises another type for each way a file can be broken
        raise FileError(f"{path} is not a file that torch.load(path, weights_only=True) reads") from error
    missing = [key for key in (*KEYS, *keys) if not isinstance(saved, dict) or key not in saved]
    if missing:
        raise FileError(f"{path} is not a checkpoint of compare_frontends.py: it has no {', '.join(missing)}")
    contents: dict[str, Any] = saved
    return contents


def read_checkpoint(path: Path, keys: Sequence[str] = ()) -> tuple[dict[str, Any], Frontend]:
    """Read a checkpoint as `read_saved`, and rebuild its trained front-end.

    Raises:
        FileError: As `read_saved`, or if the front-end cannot be rebuilt.
    """
    saved = read_saved(path, keys)
    with rebuilding(path, "front-end"):
        return saved, restore_frontend(saved)


@contextmanager
def rebuilding(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong while something is rebuilt from the file into a `FileError`."""
    try:
        yield
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise FileError(f"{path} has a {what} that cannot be rebuilt: {error}") from error


def finished_cells(run: Path) -> list[Path]:
    """Give the checkpoints of an experiment's finished cells, in the order in which they were trained.

    Raises:
        FileError: If there are none.
    """
    paths = [path for path in (run / "cells").glob("*-fold*.pt") if not path.stem.endswith(".partial")]
    if not paths:
        raise FileError(f"{run / 'cells'} has no finished cell")
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns)


def read_settings(run: Path) -> dict[str, Any]:
    """Read what an experiment was asked for from its output folder.

    Raises:
        FileError: If it is none.
    """
    path = run / "config.json"
    if not path.is_file():
        raise FileError(f"{run} is not the output folder of an experiment: it has no config.json")
    arguments: dict[str, Any] = json.loads(path.read_text())["arguments"]
    return arguments


def choose_labels(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Label front-ends by the shortest of name, file name and path that tells them all apart."""
    for labels in (list(names), [path.stem for path in paths]):
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]
