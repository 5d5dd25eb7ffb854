"""
Ask the probe which bank to use
===============================

Before you train anything, ``probe`` measures where in frequency your classes
differ, compares banks with a linear classifier, and recommends one.
"""

import matplotlib.pyplot as plt
import torch

import learnable_frontends as lf
from learnable_frontends.analysis import probe
from learnable_frontends.plotting import plot_band_information

RATE = 16000

# %%
# Four classes that differ at high frequencies
# --------------------------------------------
# Tones between 5.6 and 6.8 kHz, such as songs of insects, in noise that gets weaker
# toward high frequencies.

torch.manual_seed(0)
labels = [i % 4 for i in range(240)]
time = torch.arange(RATE // 4) / RATE
pitch = 5600 + 400 * torch.tensor(labels) + 120 * torch.randn(len(labels))
tones = torch.sin(2 * torch.pi * pitch[:, None] * time)
spectra = torch.fft.rfft(torch.randn(len(labels), len(time)))
spectra *= (1 + torch.fft.rfftfreq(len(time), 1 / RATE) / 500) ** -0.5
clips = 0.02 * tones + 0.2 * torch.fft.irfft(spectra)

# %%
# The probe
# ---------
# The first bank is the reference: mel with as many filters as you have now. The
# others have an interval for the difference from it, in points. ``print(found)``
# shows all that was found, with the recommended bank as a line of code.

found = probe(clips, labels, RATE, n_filters=16, win_length=512)
reference, *others = found.candidates
print(f"{reference.scale:<12} {100 * reference.accuracy:.1f} % right")
for bank in others:
    interval = f"[{100 * bank.low:+.1f}, {100 * bank.high:+.1f}]"
    print(f"{bank.scale:<12} {100 * bank.accuracy:.1f} % right {interval:>16}")
print("recommended:", found.recommended)

# %%
# Where the classes differ, and the filters
# -----------------------------------------
# You would paste the line of code into yours; ``eval`` does so here.

mel = lf.MelFrontend(RATE, 16, win_length=512)
recommended = eval(found.recommended.code, {**vars(lf)})
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
banks = {"mel": mel, "recommended": recommended}
plot_band_information(found.information, banks, ax=ax)
best = found.recommended
points = 100 * best.difference
title = f"Filters placed by {best.scale}: {points:+.1f} points over mel"
ax.set_title(title, fontsize=11)
ax.set(xscale="linear", xlim=(0, RATE / 2))
ax.set_ylabel("variance between / within classes")
ax.legend(loc="center left", reverse=True, fontsize=10)
plt.show()
