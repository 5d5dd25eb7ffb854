"""
Hear what a front-end keeps
===========================

``invert`` makes a waveform whose features are as near as possible to given ones.
What it does not bring back is what the front-end has lost.
"""

import base64
import io
import wave

import matplotlib.pyplot as plt
import torch

from learnable_frontends import Decibels, MelFrontend
from learnable_frontends.inversion import invert

RATE = 16000

# %%
# A melody
# --------
# Four notes of six harmonics each. ``Player`` puts a sound into a page or a
# notebook. In a notebook of your own, ``IPython.display.Audio`` does the same.


class Player:
    """Show a waveform as a player, with the sound inside."""

    def __init__(self, waveform):
        file, samples = io.BytesIO(), (32767 * waveform.clamp(-1, 1)).short()
        with wave.open(file, "wb") as out:
            out.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            out.writeframes(samples.numpy().tobytes())
        self.data = base64.b64encode(file.getvalue()).decode()

    def _repr_html_(self):
        return f'<audio controls src="data:audio/wav;base64,{self.data}"></audio>'


time, harmonics = torch.arange(RATE // 2) / RATE, torch.arange(1, 7)[:, None]
pitches = torch.tensor([262.0, 330.0, 392.0, 523.0])[:, None, None]  # Hz
notes = (torch.sin(2 * torch.pi * harmonics * pitches * time) / harmonics).sum(1)
melody = 0.2 * (notes * torch.exp(-5 * time)).flatten()
Player(melody)

# %%
# Back from 80 filters
# --------------------

settings = {"win_length": 1024, "hop_length": 256, "compression": Decibels()}
sounds = {"original": melody}
for n_filters in (80, 12):
    mel = MelFrontend(RATE, n_filters, **settings)
    sounds[f"{n_filters} filters"] = invert(mel, mel(melody), length=len(melody))
Player(sounds["80 filters"])

# %%
# Back from 12 filters
# --------------------
# The rhythm is left. The harmonics, and with them the pitch, are gone.

Player(sounds["12 filters"])

# %%
# The spectrograms
# ----------------
# How far each is from the original: the mean difference in dB over all bins, where
# what is more than 60 dB below the peak counts as 60 dB.

spectra, errors = {}, {}
for name, sound in sounds.items():
    spectrum = torch.stft(
        sound, 1024, 256, window=torch.hann_window(1024), return_complex=True
    )
    decibels = 20 * spectrum.abs().log10()
    spectra[name] = (decibels - decibels.max()).clamp_min(-60)
    errors[name] = (spectra[name] - spectra["original"]).abs().mean()

fig, axes = plt.subplots(1, 3, figsize=(6, 4), sharey=True, layout="constrained")
for ax, (name, decibels) in zip(axes, spectra.items(), strict=True):
    style = {"origin": "lower", "aspect": "auto", "vmin": -60}
    image = ax.imshow(decibels, extent=(0, 2, 0, RATE / 2000), **style)
    ax.set_title(name, fontsize=11)
    ax.set(xlabel="time (s)", ylim=(0, 4))
axes[0].set_ylabel("frequency (kHz)")
fig.colorbar(image, ax=axes, label="power re peak (dB)", pad=0.02)
fine, coarse = errors["80 filters"], errors["12 filters"]
title = f"Off by {fine:.1f} dB with 80 filters, by {coarse:.1f} dB with 12"
fig.suptitle(title, fontsize=11)
plt.show()
