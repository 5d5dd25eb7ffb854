"""Draw where the filters of trained front-ends went: from saved checkpoints to a picture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from checkpoints import FileError, choose_labels, read_checkpoint
from torch import Tensor

from learnable_frontends import Frontend
from learnable_frontends.plotting import plot_center_frequencies


def load_frontend(path: Path) -> tuple[str, Frontend, Tensor]:
    """Give a checkpoint's name of the front-end, the trained front-end, and its centers in Hz before training."""
    checkpoint, frontend = read_checkpoint(path, ("initial_centers",))
    initial = checkpoint["initial_centers"]
    if not isinstance(initial, Tensor) or initial.shape != (frontend.n_filters,):
        raise FileError(f"{path} must have {frontend.n_filters} initial_centers, one a filter")
    return checkpoint["frontend"], frontend, initial


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
        finally:
            plt.close(fig)
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
