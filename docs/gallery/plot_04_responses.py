"""
Compare the shapes of the filter families
=========================================

Six families of filters with the same eight centers. They differ in how wide a
filter is, how steep its sides are, and how far down it reaches elsewhere.
"""

import matplotlib.pyplot as plt

import learnable_frontends as lf
from learnable_frontends.plotting import plot_frequency_responses

RATE = 16000

# %%
# Build the banks
# ---------------
# ``init`` places the centers of every family but mel, whose scale is fixed.

mel = lf.LearnableMelFilterbank(RATE, 8, n_fft=512)
centers = mel.center_frequencies.detach()
banks = {
    "learnable mel": mel,
    "Gaussian": lf.GaussianFilterbank(RATE, 8, init=centers),
    "cos-Gauss": lf.CosGaussFilterbank(RATE, 8, init=centers, gain="peak"),
    "sinc": lf.SincFilterbank(RATE, 8, init=centers, gain="peak"),
    "Gabor": lf.GaborFilterbank(RATE, 8, init=centers, gain="peak"),
    "gammatone": lf.GammatoneFilterbank(RATE, 8, init=centers, gain="peak"),
}

# %%
# All filters of each family
# --------------------------
# Each panel shows the power response in dB. Mel's triangles end at the centers of
# their neighbors. The kernels of cos-Gauss and sinc end after 16 ms, which makes
# ripples and widens low filters.

fig = plt.figure(figsize=(6, 6), layout="constrained")
axes = fig.subplots(3, 2, sharex=True, sharey=True)
for ax, (name, bank) in zip(axes.flat, banks.items(), strict=True):
    plot_frequency_responses(bank, ax=ax)
    ax.set_title(name, fontsize=11)
    ax.label_outer()
    ax.set_xticks([100, 1000, 8000], ["100", "1k", "8k"])
    ax.set(xlim=(100, RATE / 2))
fig.suptitle("Eight filters with the same centers, six shapes", fontsize=11)

# %%
# One filter of each
# ------------------
# ``bandwidths`` compares families: it is the width of the ideal band-pass filter
# that lets as much white noise through.

index = int((centers - 1000).abs().argmin())
widths = {name: bank.bandwidths[index].item() for name, bank in banks.items()}
colors = ("#000000", "#56B4E9", "#D55E00", "#009E73", "#0072B2", "#CC79A7")
dashes = ("-", "-", "-.", ":", "--", (0, (4, 1, 1, 1)))
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for (name, bank), color, dash in zip(banks.items(), colors, dashes, strict=True):
    gain = bank.power_response(RATE)[index].detach()  # bins of 1 Hz
    style = {"color": color, "linestyle": dash, "linewidth": 2}
    ax.plot(gain / gain.max(), label=f"{name}, {widths[name]:.0f} Hz", **style)
low, high = min(widths.values()), max(widths.values())
title = f"At {centers[index]:.0f} Hz, filters are {low:.0f} to {high:.0f} Hz wide"
ax.set_title(title, fontsize=11)
ax.set(xlabel="frequency (Hz)", ylabel="power gain re peak")
ax.set(xlim=(0, 2500), ylim=(0, 1.05))
ax.grid(alpha=0.3)
ax.legend(fontsize=10)
plt.show()

# sphinx_gallery_thumbnail_number = 2
