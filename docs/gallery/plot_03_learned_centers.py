"""
See where filters move
======================

What tells classes apart can lie in a band much narrower than a filter. Here the
band is 200 Hz wide, and the mel filter that contains it is many times as wide.
Training moves a filter there and makes it narrower.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from learnable_frontends import LearnableMelFilterbank, MelFrontend, WaveformModel

RATE = 16000

# %%
# Sounds with the answer in one band
# ----------------------------------
# Five bands of noise rise and fall in level, each at one of four rates. The rate of
# the band at 7.2 kHz is the class; the others are 6 dB quieter and carry no answer.
# These sounds are made so that moving pays. On recordings, learned filters have not
# been better than mel beyond chance so far (see the page "Which front-end?").

RATES = torch.tensor([4.0, 8.0, 16.0, 32.0])  # Hz
CENTERS = torch.tensor([6000, 6400, 6800, 7200, 7600])[:, None]  # Hz


def make_sounds(n):
    labels, time = torch.arange(n) % 4, torch.arange(RATE // 2) / RATE
    rates = RATES[torch.randint(4, (n, 5))]
    rates[:, 3] = RATES[labels]
    cycles = rates[..., None] * time + torch.rand(n, 5, 1)
    levels = 1 + torch.sin(2 * torch.pi * cycles)
    frequencies = torch.fft.rfftfreq(len(time), 1 / RATE)
    inside = (frequencies - CENTERS).abs() < 100
    noise = torch.fft.irfft(torch.fft.rfft(torch.randn(n, 5, len(time))) * inside)
    sounds = torch.tensor([0.5, 0.5, 0.5, 1.0, 0.5]) @ (levels * noise)
    sounds += 0.02 * torch.randn(n, len(time))
    return sounds / sounds.abs().amax(-1, keepdim=True), labels


torch.manual_seed(0)
train_sounds, train_labels = make_sounds(512)
test_sounds, test_labels = make_sounds(256)

# %%
# Train eight filters
# -------------------
# Once as a fixed mel spectrogram, and once as a learnable one that starts the same.


def train(frontend):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.BatchNorm1d(8), nn.Conv1d(8, 32, 15), nn.ReLU(), nn.BatchNorm1d(32),
        nn.Conv1d(32, 32, 9, stride=2), nn.ReLU(), nn.BatchNorm1d(32),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    model = WaveformModel(frontend, network)
    optimizer = torch.optim.Adam(model.param_groups(lr=3e-3, frontend_lr=2e-2))
    for _ in range(10):
        for batch in torch.randperm(len(train_sounds)).split(32):
            logits = model(train_sounds[batch])
            loss = nn.functional.cross_entropy(logits, train_labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        right = model.eval()(test_sounds).argmax(-1) == test_labels
    return 100 * right.float().mean()


mel = MelFrontend(RATE, 8, n_fft=512)
learned = LearnableMelFilterbank(RATE, 8, n_fft=512)
accuracies = train(mel), train(learned)
for name, bank in ("mel", mel), ("trained", learned):
    print(f"{name}: the top filter is {bank.bandwidths[-1]:.0f} Hz wide")

# %%
# Before and after
# ----------------
# ``power_response`` returns the gain of each filter over frequency. The filter that
# ends up closest to the band is drawn in blue.

nearest = (learned.center_frequencies - 7200).abs().argmin()
fig, axes = plt.subplots(2, figsize=(6, 4), sharex=True, layout="constrained")
for ax, bank, accuracy in zip(axes, (mel, learned), accuracies, strict=True):
    gains = bank.power_response(4096).detach()
    kilohertz = torch.linspace(0, RATE / 2000, gains.shape[1])
    ax.plot(kilohertz, gains.mT, color="0.6", linewidth=1.2)
    ax.plot(kilohertz, gains[nearest], color="#0072B2", linewidth=2.2)
    ax.axvspan(7.1, 7.3, color="#E69F00", alpha=0.7, linewidth=0)
    center = bank.center_frequencies[nearest] / 1000
    name = "Mel" if bank is mel else "Trained"
    title = f"{name}: blue filter at {center:.1f} kHz, {accuracy:.0f} % right"
    ax.set_title(title, fontsize=11)
    ax.set(ylabel="power gain", xlim=(0, RATE / 2000))
axes[1].set_xlabel("frequency (kHz); the answer is in the orange band")
plt.show()
