"""
Stream: chunks in, the same features out
========================================

``StreamingFrontend`` takes sound in chunks of any size, as a microphone delivers
it, and returns the frames that each chunk completes. Together they are the features
of the whole sound.
"""

import matplotlib.pyplot as plt
import torch

from learnable_frontends import CosGaussFilterbank
from learnable_frontends.plotting import plot_features
from learnable_frontends.streaming import StreamingFrontend

RATE = 16000

# %%
# A sound that arrives in chunks
# ------------------------------
# A rising tone of two seconds, cut at random places into chunks of up to 0.2 s.

torch.manual_seed(0)
time = torch.arange(2 * RATE) / RATE
tone = torch.sin(2 * torch.pi * (300 * time + 400 * time**2))
sound = tone + 0.1 * torch.randn(len(time))
sizes = torch.randint(1, RATE // 5, (100,))
cuts = sizes.cumsum(0)[sizes.cumsum(0) < len(sound)]
chunks = sound.tensor_split(cuts)

# %%
# Features chunk by chunk
# -----------------------
# ``center=False`` starts the first frame at the first sample, as a stream has to.
# The stream works on a frozen copy of the front-end. ``flush`` ends it.

frontend = CosGaussFilterbank(RATE, n_filters=40, center=False)
stream = StreamingFrontend(frontend)
parts = [stream(chunk) for chunk in chunks]
streamed = torch.cat([*parts, stream.flush()], dim=-1)
with torch.no_grad():
    offline = frontend(sound)
difference = (streamed - offline).abs().max().item()
print("frames from the first chunks:", [part.shape[-1] for part in parts[:6]])

# %%
# The features of the stream
# --------------------------
# White lines mark the ends of the chunks.

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
plot_features(streamed, frontend, ax=ax)
ax.autoscale(False)
ax.vlines(cuts / RATE, *ax.get_ylim(), color="white", linewidth=1)
title = f"{len(chunks)} chunks: at most {difference:.0e} from the offline features"
ax.set_title(title, fontsize=11)
plt.show()
