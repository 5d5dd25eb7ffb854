"""
Look at the masks of a clip
===========================

Relevance heads are small networks that weight each time-frequency bin of a clip
before the classifier sees it. After training, their masks show which bins count.
"""

from copy import deepcopy

import matplotlib.pyplot as plt
import torch
from torch import nn

from learnable_frontends import MelFrontend, MultiHeadRelevance, WaveformModel
from learnable_frontends.plotting import plot_features, plot_masks

RATE = 16000

# %%
# Calls in noise
# --------------
# The class is the direction of a short chirp at a random time in noise.


def make_sounds(n):
    labels, time = torch.arange(n) % 2, torch.arange(RATE) / RATE
    since = time - 0.2 - 0.5 * torch.rand(n, 1)  # s from its middle
    octaves = torch.where(labels == 0, 8.0, -8.0)[:, None]  # per second
    pitch = 800 * 2 ** (octaves * since.clamp(-0.1, 0.1))
    envelope = torch.exp(-((since / 0.08) ** 2))
    calls = envelope * torch.sin(2 * torch.pi * pitch.cumsum(-1) / RATE)
    return 0.3 * calls, 0.15 * torch.randn(n, RATE), labels


# %%
# Heads on a mel spectrogram
# --------------------------
# Two heads: one weights the lower half of the filters, the other the upper half.

torch.manual_seed(0)
frontend = MultiHeadRelevance(MelFrontend(RATE, n_filters=40), n_heads=2, context=5)
untrained = deepcopy(frontend)
network = nn.Sequential(
    nn.BatchNorm1d(40), nn.Conv1d(40, 32, 9, stride=2), nn.ReLU(),
    nn.BatchNorm1d(32), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(32, 2),
)  # fmt: skip
model = WaveformModel(frontend, network)
optimizer = torch.optim.Adam(model.param_groups(lr=5e-3, frontend_lr=1e-2))
for _ in range(80):
    calls, noise, labels = make_sounds(32)
    loss = nn.functional.cross_entropy(model(calls + noise), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
# Where are the weights high?
# ---------------------------
# The script made the sounds, so it knows the bins in which the call is louder than
# the noise. The calls lie in the band of the first head. Compare with untrained
# heads: their masks follow the features as well, since they are computed from them.

calls, noise, labels = make_sounds(200)
bank = frontend.frontend  # the mel spectrogram
rows = frontend.relevance.parts[0]  # filters of the first head
with torch.no_grad():
    right = (model.eval()(calls + noise).argmax(-1) == labels).float().mean()
    in_call = (bank.energies(calls) > bank.energies(noise))[:, rows]
    weights = {}
    for name, heads in ("untrained", untrained), ("trained", frontend):
        masks = heads.masks(calls + noise)
        call, other = (masks[:, rows][bins].mean() for bins in (in_call, ~in_call))
        weights[name] = f"{call:.2f} in calls, {other:.2f} elsewhere"
        print(f"{name}: mean weight {weights[name]}")
print(f"{100 * right:.0f} % of clips are classified right")

# %%
# The mask of one clip
# --------------------

fig, axes = plt.subplots(2, figsize=(6, 4.5), sharex=True, layout="constrained")
plot_features(bank(calls[0] + noise[0]), bank, ax=axes[0])
plot_masks(masks[0], frontend, head=0, limits=(0.2, 0.7), ax=axes[1])
axes[0].set_title("A call in noise, all 40 filters", fontsize=11)
axes[1].set_title(f"Head 1: weight {weights['trained']}", fontsize=11)
for ax in axes:
    ax.set_ylabel("center (Hz)")
    ax.label_outer()
plt.show()
