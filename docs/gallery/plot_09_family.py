"""
Write a filter family of your own
=================================

A family defines its parameters and its response over frequency. Framing, spectra,
streaming, plots, learning rates and relevance heads come from the base class.
"""

import matplotlib.pyplot as plt
import torch

from learnable_frontends import (
    CenteredFilterbank,
    MultiHeadRelevance,
    ResponseFilterbank,
)
from learnable_frontends.plotting import plot_frequency_responses

RATE = 16000

# %%
# The family
# ----------
# Band-pass filters that are flat near the center, as Butterworth's are; a higher
# order makes steeper sides. Each has a learned center and a learned width.


class ButterworthFilterbank(CenteredFilterbank, ResponseFilterbank):
    """Flat-topped filters with a learned center and width each."""

    def __init__(self, sample_rate, n_filters=80, *, order=3, **options):
        super().__init__(sample_rate, n_filters, **options)
        self.order = order
        self.set_init("mel")
        self.declare_centers()
        self.declare_widths("spacing", learn_width=True)
        self.set_bins()

    def response(self, frequencies):
        centers, widths = self.centers_and_widths()
        distance = (frequencies - centers[:, None]) / (widths[:, None] / 2)
        return 1 / (1 + distance.square() ** self.order)


# %%
# Use it like any other front-end
# -------------------------------
# Its parameters are known to optimizers as filters, and heads fit on top.

bank = ButterworthFilterbank(RATE, n_filters=8)
torch.manual_seed(0)
print(bank(torch.randn(2, RATE)).shape)
model = MultiHeadRelevance(bank, n_heads=2)
for group in model.param_groups(lr=1e-3, frontend_lr=1e-2):
    print(group["name"], [tuple(parameter.shape) for parameter in group["params"]])

# %%
# Check it against its definition
# -------------------------------
# Plots work for any front-end. A filter lets half of the power through over its
# declared width: the response, in bins of 1 Hz, has to agree.

gain = bank.power_response(RATE).detach()
measured = (gain > 0.5).sum(-1)  # Hz
error = (measured - bank.widths.detach()).abs().max()
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
plot_frequency_responses(bank, db_floor=-40, ax=ax)
title = f"Half-power widths are within {error:.1f} Hz of the declared ones"
ax.set_title(title, fontsize=11)
ax.axhline(-3.01, color="black", linewidth=1, linestyle="--")
ax.text(RATE / 1900, -2.6, "half power", va="bottom", fontsize=10)
ax.set(xlim=(RATE / 2000, RATE / 2))
plt.show()
