"""
Swap a mel spectrogram for a learnable one
==========================================

``LearnableMelFilterbank`` takes the place of a mel spectrogram in one line. It
starts with exactly the same features, so nothing changes until you train.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from learnable_frontends import LearnableMelFilterbank, MelFrontend, WaveformModel

RATE = 16000

# %%
# Four kinds of sounds
# --------------------
# A rising, a falling, a steady and a pulsed tone, each half a second long, at a
# random pitch and in noise.


def make_sounds(n):
    labels, time = torch.arange(n) % 4, torch.arange(RATE // 2) / RATE
    octaves_per_second = torch.tensor([3.0, -3.0, 0.0, 0.0])[labels][:, None]
    pitch = 800 * 2 ** (torch.rand(n, 1) + octaves_per_second * time)  # Hz
    tone = torch.sin(2 * torch.pi * pitch.cumsum(-1) / RATE)
    pulses = (torch.sin(2 * torch.pi * 20 * time) > 0).float()
    sounds = torch.where(labels[:, None] == 3, pulses * tone, tone)
    return 0.2 * (sounds + torch.randn(n, len(time))), labels


# %%
# The swap
# --------
# Replace ``MelFrontend`` (or torchaudio's ``MelSpectrogram`` and a logarithm) with
# ``LearnableMelFilterbank`` and the same arguments. Both compute the same numbers.

mel = MelFrontend(RATE, n_filters=40, win_length=400, n_fft=512)
learnable = LearnableMelFilterbank(RATE, n_filters=40, win_length=400, n_fft=512)

torch.manual_seed(0)
test_sounds, test_labels = make_sounds(400)
print("equal features:", torch.equal(learnable(test_sounds), mel(test_sounds)))

# %%
# Train a classifier behind each
# ------------------------------
# ``param_groups`` gives the filters a learning rate of their own. A mel spectrogram
# has nothing to learn, so the same lines train either model.


def train(frontend):
    torch.manual_seed(1)  # the same weights and the same sounds for both
    network = nn.Sequential(
        nn.BatchNorm1d(40), nn.Conv1d(40, 32, 5), nn.ReLU(),
        nn.BatchNorm1d(32), nn.Conv1d(32, 32, 5), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    model = WaveformModel(frontend, network)
    optimizer = torch.optim.Adam(model.param_groups(lr=3e-3, frontend_lr=1e-2))
    losses = []
    for _ in range(60):
        sounds, labels = make_sounds(64)
        loss = nn.functional.cross_entropy(model(sounds), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        right = model.eval()(test_sounds).argmax(-1) == test_labels
    return losses, 100 * right.float().mean()


mel_losses, mel_right = train(mel)
losses, right = train(learnable)

# %%
# The same start
# --------------
# The first losses are equal. After the first step the filters move, and the curves
# part.

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
label = f"mel: {mel_right:.0f} % of test clips right"
ax.plot(mel_losses, color="#0072B2", label=label)
label = f"learnable mel: {right:.0f} % right"
ax.plot(losses, "--", color="#D55E00", label=label)
title = f"The first losses differ by {abs(losses[0] - mel_losses[0]):.1g}"
ax.set_title(title, fontsize=11)
ax.set(xlabel="training step", ylabel="training loss (nats)", ylim=(0, None))
ax.grid(alpha=0.3)
ax.legend()
plt.show()
