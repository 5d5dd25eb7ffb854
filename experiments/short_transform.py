"""Measure what a transform as short as the frame changes: log energies with n_fft=win_length against exact ones.

    python -m experiments.short_transform --out docs/_static/short_transform.png

The sound is white noise and the filters are cosine-modulated Gaussians at 44.1 kHz, for kernels of several lengths in
frames of 25 ms (Hamming) and 46 ms (Hann). Prints a table of differences, and plots those of the filters of one length.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from experiments.arguments import make_parser
from experiments.figures import save
from experiments.files import command
from experiments.tables import markdown_table
from learnable_frontends import CosGaussFilterbank, Log
from learnable_frontends.plotting.drawing import COLORS

RATE, FILTERS = 44100, 80
FRAMES: dict[str, dict[str, Any]] = {
    "25 ms, Hamming": {"win_length": 1102, "window": torch.hamming_window},
    "46 ms, Hann": {"win_length": 2048, "window": torch.hann_window},
}
KERNELS = (4, 8, 16, 32, 64)  # milliseconds


@torch.no_grad()
def differences(frame: str, milliseconds: int) -> torch.Tensor:
    """Log energies of the short transform less the exact ones, ``(filters, frames)``."""
    settings: dict[str, Any] = {
        **FRAMES[frame],
        "kernel_size": 2 * (milliseconds * RATE // 2000) + 1,
        "compression": Log(1e-12),
    }
    waveform = 0.1 * torch.randn(10 * RATE, generator=torch.Generator().manual_seed(0))
    exact = CosGaussFilterbank(RATE, FILTERS, **settings)
    short = CosGaussFilterbank(RATE, FILTERS, n_fft=exact.win_length, **settings)
    features: torch.Tensor = short(waveform) - exact(waveform)
    return features


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table and draw the picture."""
    parser = make_parser("experiments.short_transform", __doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("short_transform.png"), help="plot to write (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    return command(lambda: _work(args.out), "experiments.short_transform")


def _work(out: Path) -> None:
    centers = CosGaussFilterbank(RATE, FILTERS).center_frequencies.detach()
    plt.rcParams["font.size"] = 11
    fig, axes = plt.subplots(2, 1, figsize=(6, 7), sharex=True, layout="constrained")
    table = [["kernels", *FRAMES]]
    for color, milliseconds in zip(COLORS, KERNELS, strict=False):
        table.append([f"{milliseconds} ms"])
        for ax, frame in zip(axes, FRAMES, strict=True):
            difference = differences(frame, milliseconds)
            table[-1].append(f"{difference.std():.2g}")
            ax.loglog(centers, difference.std(-1), color=color, label=f"{milliseconds} ms")
    for ax, frame in zip(axes, FRAMES, strict=True):
        ax.set_title(f"frames of {frame}", fontsize=11)
        ax.set(ylabel="difference of log energies\n(standard deviation)")
        ax.legend(title="kernels", fontsize=9, ncols=2)
    axes[-1].set(xlabel="center frequency (Hz)")
    fig.suptitle("A short transform changes mostly the low filters", fontsize=12)
    save(fig, out, dpi=100)
    print(f"{markdown_table(table)}\n{out}")


if __name__ == "__main__":
    sys.exit(main())
