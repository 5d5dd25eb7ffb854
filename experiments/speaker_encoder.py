"""Resemblyzer's speaker encoder, and the equal error rate of its embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.files import BadDataError

LOUDNESS = -30.0  # dB below full scale, which Resemblyzer raises quieter clips to


class VoiceEncoder(nn.Module):
    """The network of Resemblyzer 0.1: frames of 40 bands to an embedding of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)

    def forward(self, frames: Tensor) -> Tensor:
        """Embed ``(batch, frames, 40)``: shape ``(batch, 256)``."""
        return self.embed(self.lstm(frames)[1][0][-1])

    def embed(self, hidden: Tensor) -> Tensor:
        """Embed the last state of the recurrent layers, ``(batch, 256)``."""
        return F.normalize(self.linear(hidden).relu(), dim=-1)


def load_encoder(weights: Path) -> VoiceEncoder:
    """Read the weights of the wheel; nothing in the file is executed.

    Raises:
        BadDataError: If the file has not these weights.
    """
    encoder = VoiceEncoder()
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)["model_state"]
        encoder.load_state_dict({name: value for name, value in state.items() if name in encoder.state_dict()})
    except Exception as error:  # torch.load raises another type for each way a file can be broken
        raise BadDataError(
            f"--weights must be pretrained.pt of Resemblyzer's wheel, got {weights} ({error})"
        ) from error
    return encoder.eval().requires_grad_(False)


def raised(waveforms: Tensor) -> Tensor:
    """Bring clips to the loudness that the network expects."""
    level = 10 * waveforms.square().mean(-1, keepdim=True).clamp_min(1e-12).log10()
    return waveforms * 10 ** ((LOUDNESS - level).clamp_min(0) / 20)


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply a function to clips, 64 at a time."""
    return torch.cat([function(some) for some in values.split(64)])


def equal_error_rate(enrolled: Tensor, tested: Tensor, speakers: Tensor) -> float:
    """Share of wrong decisions where as many strangers are let in as friends are kept out."""
    scores = enrolled @ tested.T
    same = speakers[:, None] == speakers
    others = ~torch.eye(len(speakers), dtype=torch.bool)  # a clip against itself is no trial
    friends, strangers = scores[same & others].sort().values, scores[~same].sort().values
    refused = torch.arange(len(friends)) / len(friends)
    let_in = 1 - torch.searchsorted(strangers, friends).float() / len(strangers)
    crossing = int((refused - let_in).abs().argmin())
    return float((refused[crossing] + let_in[crossing]) / 2)
