"""Draw the responses of learned cos-Gauss filters.

python -m experiments.compare --data esc10 --out runs/esc10 --folds 1 --epochs 30 \
    --win-length 1024 --hop-length 512 --frontends cos-gauss
python docs/pictures/responses.py runs/esc10/cos-gauss/fold1-seed0
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from learnable_frontends.plotting.drawing import COLORS
from learnable_frontends.pretrained import from_pretrained

N_FFT = 16384
LOW, HIGH = 1000, 10000  # Hz, between which the title compares gains
EVERY = 8


def main(run: Path, path: Path) -> None:
    """Draw every eighth filter in dB below the highest gain, and the peaks of all."""
    frontend = from_pretrained(run / "frontend")
    power = frontend.power_response(N_FFT).detach().double()
    decibels = 10 * torch.log10(power / power.max()).clamp(min=-12)
    frequencies = torch.linspace(0, frontend.sample_rate / 2, N_FFT // 2 + 1)
    peaks, places = decibels.max(-1)
    near = [int((frequencies[places] - hertz).abs().argmin()) for hertz in (LOW, HIGH)]
    fall = float(peaks[near[0]] - peaks[near[1]])
    plt.rcParams["font.size"] = 11
    fig, ax = plt.subplots(figsize=(6, 4), layout="constrained", facecolor="white")
    ax.plot(frequencies, decibels[::EVERY].mT, color=COLORS[0], linewidth=1, alpha=0.8)
    ax.plot(frequencies[places], peaks, "o", color=COLORS[1], markersize=4, label=f"peaks of all {len(peaks)} filters")
    ax.plot([], [], color=COLORS[0], label="every eighth filter")
    ax.set(
        xscale="log", xlim=(20, frequencies[-1]), ylim=(-60, 5), xlabel="frequency (Hz)", ylabel="gain (dB, peak at 0)"
    )
    ax.set_xticks([20, 100, 1000, 10000], ["20", "100", "1,000", "10,000"])
    ax.set_title(f"From 1 to 10 kHz the raw gain falls by {fall:.0f} dB", fontsize=12)
    ax.grid(color="0.9")
    ax.legend(fontsize=10, loc="lower left", framealpha=1)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parents[1] / "_static" / "esc10_responses_cos-gauss.png")
