"""
Train on a folder of sounds
===========================

You need a folder for each class, with sound files in it. This script writes such
folders, trains on them and shows which classes it confuses. To train on your own
sounds, set ``folder`` to theirs.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
import torch
from torch import nn

from learnable_frontends import LearnableMelFilterbank, WaveformModel

RATE = 16000

# %%
# Write the files
# ---------------
# Four classes of 40 sounds, each a second long: ``folder/<class>/<number>.wav``. A
# bell and a phone have the same pitch, and ring 2 and 8 times per second.

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
random, time = np.random.default_rng(0), np.arange(RATE) / RATE
lowest_pitch = {"bell": 900, "cricket": 4000, "horn": 300, "phone": 900}  # Hz
rings_per_second = {"bell": 2, "cricket": 12, "horn": 1, "phone": 8}
for name, pitch in lowest_pitch.items():
    (folder / name).mkdir()
    for number in range(40):
        tone = np.sin(2 * np.pi * pitch * random.uniform(1, 1.4) * time)
        since = (rings_per_second[name] * time + random.uniform()) % 1
        sound = 0.2 * np.exp(-4 * since) * tone + 0.1 * random.standard_normal(RATE)
        soundfile.write(folder / name / f"{number}.wav", sound, RATE)

# %%
# Read the files
# --------------
# Each sound is divided by its peak. Every fifth file is held out.

files = sorted(folder.glob("*/*.wav"))
names = sorted({file.parent.name for file in files})
labels = torch.tensor([names.index(file.parent.name) for file in files])
sounds = np.stack([soundfile.read(file, dtype="float32")[0] for file in files])
sounds = torch.from_numpy(sounds / np.abs(sounds).max(-1, keepdims=True))
held_out = torch.arange(len(files)) % 5 == 0
temporary.cleanup()

# %%
# Train
# -----

torch.manual_seed(0)
network = nn.Sequential(
    nn.BatchNorm1d(40), nn.Conv1d(40, 32, 5), nn.ReLU(), nn.BatchNorm1d(32),
    nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, len(names)),
)  # fmt: skip
model = WaveformModel(LearnableMelFilterbank(RATE, n_filters=40), network)
optimizer = torch.optim.AdamW(model.param_groups(lr=3e-3, frontend_lr=1e-2))
clips = torch.utils.data.TensorDataset(sounds[~held_out], labels[~held_out])
for _ in range(12):
    for batch, classes in torch.utils.data.DataLoader(clips, 16, shuffle=True):
        loss = nn.functional.cross_entropy(model(batch), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %%
# Which classes are confused?
# ---------------------------

with torch.no_grad():
    guesses = model.eval()(sounds[held_out]).argmax(-1)
counts = np.zeros((len(names), len(names)), dtype=int)
np.add.at(counts, (labels[held_out].numpy(), guesses.numpy()), 1)

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
fig.colorbar(ax.imshow(counts, cmap="cividis"), label="held-out sounds")
for (row, column), count in np.ndenumerate(counts):
    color = "white" if count < counts.max() / 2 else "black"
    ax.text(column, row, count, ha="center", va="center", color=color)
ax.set_xticks(range(len(names)), names)
ax.set_yticks(range(len(names)), names)
ax.set(xlabel="recognized as", ylabel="class")
title = f"{counts.trace()} of {counts.sum()} held-out sounds are recognized"
ax.set_title(title, fontsize=11)
plt.show()
