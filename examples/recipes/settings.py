"""Configurations as a flat list of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Give every value of a nested configuration by its path, ``model.frontend.class_path`` for one."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= flatten(value, f"{path}{name}.") if isinstance(value, Mapping) else {path + name: value}
    return flat
