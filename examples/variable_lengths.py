"""Clips of different lengths in one batch: padded for the front-end, packed for a recurrent classifier.

Each clip of a batch has the same features as on its own, even behind relevance heads, so its class does
not depend on the other clips of the batch. The sounds are generated.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader

from learnable_frontends import CosGaussFilterbank, MultiHeadRelevance
from learnable_frontends.batching import collate_clips

SAMPLE_RATE = 16000
CLASSES = ("rising", "falling", "steady", "pulsed")


class PackedClassifier(nn.Module):
    """Learned filters, two relevance heads and a recurrent network that stops at the end of each clip."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        # Pad clips with zeros, so that they may have any length; "reflect" needs half a frame.
        self.frontend = MultiHeadRelevance(CosGaussFilterbank(SAMPLE_RATE, 40, pad_mode="constant"))
        self.recurrent = nn.GRU(40, 64, batch_first=True, bidirectional=True)
        self.classify = nn.Linear(2 * 64, n_classes)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Classify waveforms ``(batch, time)`` of ``lengths`` samples."""
        features, frames = self.frontend(waveforms, lengths)
        packed = pack_padded_sequence(features.mT, frames.cpu(), batch_first=True, enforce_sorted=False)
        last = self.recurrent(packed)[1]  # (directions, batch, 64), at the end of each clip
        logits: Tensor = self.classify(torch.cat([last[0], last[1]], dim=-1))
        return logits


def make_clips(n: int, generator: torch.Generator) -> list[tuple[Tensor, int]]:
    """Generate tones of 0.25 to 0.5 s in noise, and their classes."""
    clips = []
    for label in (torch.arange(n) % len(CLASSES)).tolist():
        low, speed, level = torch.rand(3, generator=generator).tolist()
        length = int(torch.randint(SAMPLE_RATE // 4, SAMPLE_RATE // 2 + 1, (), generator=generator))
        time = torch.arange(length) / SAMPLE_RATE
        glide = (1 + speed) * (1, -1, 0, 0)[label]  # octaves a second
        pitch = 400 * 2 ** (3 * low + glide * time)
        tone = torch.sin(2 * math.pi * pitch.cumsum(0) / SAMPLE_RATE)
        if CLASSES[label] == "pulsed":
            tone = tone * (torch.sin(2 * math.pi * (15 + 25 * speed) * time) > 0)
        clip = tone + 0.3 * level * torch.randn(length, generator=generator)
        clips.append((clip / clip.abs().max(), label))
    return clips


def main() -> None:
    """Parse the command line, train and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4000, help="clips to learn from (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and sounds (default: %(default)s)")
    options = parser.parse_args()
    if options.clips < 1:
        parser.error(f"--clips must be at least 1, got {options.clips}")

    torch.manual_seed(options.seed)
    train = make_clips(options.clips, torch.Generator().manual_seed(options.seed))
    test = make_clips(200, torch.Generator().manual_seed(options.seed + 1_000_000))
    model = PackedClassifier(len(CLASSES))
    groups = [
        *model.frontend.param_groups(lr=3e-3, frontend_lr=1e-2),
        {"params": [*model.recurrent.parameters(), *model.classify.parameters()], "lr": 3e-3},
    ]
    optimizer = torch.optim.Adam(groups)
    batches: DataLoader[Any] = DataLoader(train, 30, shuffle=True, collate_fn=collate_clips)  # type: ignore[arg-type]
    for waveforms, lengths, labels in batches:
        loss = F.cross_entropy(model(waveforms, lengths), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.eval()
    with torch.no_grad():
        waveforms, lengths, labels = collate_clips(test)
        together = model(waveforms, lengths)
        alone = torch.cat([model(clip[None], torch.tensor([len(clip)])) for clip, _ in test])
    print(f"{len(test)} unseen clips of {int(lengths.min())} to {int(lengths.max())} samples")
    print(f"accuracy {100 * float((together.argmax(-1) == labels).float().mean()):.1f} %")
    print(f"largest difference of a logit, in the batch and alone: {float((together - alone).abs().max()):.1g}")


if __name__ == "__main__":
    main()
