"""Draw where the filters of trained front-ends went: from saved checkpoints to a picture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from frontends import build_frontend
from torch import Tensor

from learnable_frontends import Frontend
from learnable_frontends.plotting import plot_center_frequencies

KEYS = ("frontend", "frontend_config", "frontend_state", "initial_centers")


class FileError(Exception):
    """A file that cannot be used; the message names it and says why."""


def load_frontend(path: Path) -> tuple[str, Frontend, Tensor]:
    """Rebuild the front-end of a checkpoint.

    Args:
        path: A file that `compare_frontends.py` saved.

    Returns:
        The front-end's name, the trained front-end, and its center frequencies in Hz before training.

    Raises:
        FileError: If the file cannot be read or is not such a checkpoint; the message names it.
    """
    try:
        checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch.load raises another type for each way a file can be broken
        raise FileError(f"{path} is not a file that torch.load(path, weights_only=True) reads") from error
    missing = [key for key in KEYS if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        raise FileError(f"{path} is not a checkpoint of compare_frontends.py: it has no {', '.join(missing)}")
    name, initial = checkpoint["frontend"], checkpoint["initial_centers"]
    try:
        frontend = build_frontend(name, checkpoint["frontend_config"])
        frontend.load_state_dict(checkpoint["frontend_state"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise FileError(f"{path} has a front-end that cannot be rebuilt: {error}") from error
    if not isinstance(initial, Tensor) or initial.shape != (frontend.n_filters,):
        raise FileError(f"{path} must have {frontend.n_filters} initial_centers, one a filter")
    return name, frontend, initial


def choose_labels(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Label front-ends by the shortest of name, file name and path that tells them all apart."""
    for labels in (list(names), [path.stem for path in paths]):
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]


def describe_movement(final: Tensor, initial: Tensor) -> str:
    """Say in words how far the centers of a front-end went."""
    moved = (final / initial - 1).abs()
    farthest = int(moved.argmax())
    return (
        f"median move {100 * float(moved.median()):.2g} % of the center, "
        f"farthest {float(initial[farthest]):.0f} -> {float(final[farthest]):.0f} Hz"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        description="Draw the center frequencies of trained front-ends: one line a checkpoint, thin dashes where its "
        "filters stood before training. Print how far they moved.",
        epilog="example: python examples/plot_center_frequencies.py runs/demo/*seed0.pt --out centers.png",
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, help="files that compare_frontends.py saved")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("center_frequencies.png"),
        help="picture to write, .png, .pdf or .svg (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        loaded = [load_frontend(path) for path in options.checkpoints]
        labels = choose_labels([name for name, _, _ in loaded], options.checkpoints)
        frontends = {label: frontend for label, (_, frontend, _) in zip(labels, loaded, strict=True)}
        finals = {label: frontend.center_frequencies.detach() for label, frontend in frontends.items()}
        initials = {label: initial for label, (_, _, initial) in zip(labels, loaded, strict=True)}
        moved = {label: initial for label, initial in initials.items() if not torch.equal(initial, finals[label])}
        fig, _ = plot_center_frequencies(frontends, initial=moved)
        try:
            fig.savefig(options.out, dpi=150)
        except (OSError, ValueError) as error:
            raise FileError(f"{options.out} cannot be written: {error}") from error
    except FileError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    for label in labels:
        what = describe_movement(finals[label], initials[label]) if label in moved else "did not move"
        print(f"{label}: {what}")
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
