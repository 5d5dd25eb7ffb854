"""The front-ends that the examples compare: from a name and plain settings to a module, and from a checkpoint back."""

from __future__ import annotations

from typing import Any

import torch
from triangles import TriangularMelFilterbank

from learnable_frontends import (
    PCEN,
    CosGaussFilterbank,
    Filterbank,
    Frontend,
    GaussianFilterbank,
    LearnableMelFilterbank,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
)

FAMILIES: dict[str, type[Filterbank]] = {
    "mel": MelFrontend,
    "sinc": SincFilterbank,
    "cos-gauss": CosGaussFilterbank,
    "learnable-mel": LearnableMelFilterbank,
    "gaussian": GaussianFilterbank,
    "triangular-mel": TriangularMelFilterbank,
}
# What a comparison has unless it is told otherwise, and all that it can have.
NAMES = tuple(name + heads for heads in ("", "+heads") for name in ("mel", "sinc", "cos-gauss"))
ALL_NAMES = tuple(name + heads for heads in ("", "+heads") for name in FAMILIES)

WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window}
COMPRESSIONS = ("log", "learned-log", "pcen")


def build_frontend(name: str, config: dict[str, Any]) -> Frontend:
    """Build a front-end.

    Args:
        name: A family of ``FAMILIES``, or one with ``"+heads"``.
        config: The family's keyword arguments as numbers and strings: ``window`` by its name in ``WINDOWS``;
            ``compression``, one of ``COMPRESSIONS``, and ``log_offset``; and, for a name with heads, ``heads``: the
            keyword arguments of `MultiHeadRelevance`.

    Returns:
        The front-end, freshly initialised.

    Raises:
        ValueError: If ``name`` is unknown.
    """
    if name not in ALL_NAMES:
        raise ValueError(f"name must be one of {ALL_NAMES}, got {name!r}")
    family, _, heads = name.partition("+")
    settings = {key: value for key, value in config.items() if key not in ("heads", "log_offset", "compression")}
    if "window" in settings:
        settings["window"] = WINDOWS[settings["window"]]
    kind = config.get("compression", "log")
    compression = (
        PCEN(config["n_filters"]) if kind == "pcen" else Log(config["log_offset"], learn=kind == "learned-log")
    )
    frontend: Frontend = FAMILIES[family](**settings, compression=compression)
    return MultiHeadRelevance(frontend, **config["heads"]) if heads else frontend


def restore_frontend(saved: dict[str, Any]) -> Frontend:
    """Rebuild the trained front-end from what `training.train` returned or saved."""
    frontend = build_frontend(saved["frontend"], saved["frontend_config"])
    frontend.load_state_dict(saved["frontend_state"])
    return frontend.eval()
