"""Waveforms of a fixed length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnable_frontends._checks import whole_number

__all__ = ["FixedLength"]


class FixedLength(nn.Module):
    """Cut or pad each clip to a fixed number of samples.

    A longer clip keeps its first samples, and a shorter one is followed by zeros or by repetitions of itself.

    Args:
        samples: Number of samples of the output.
        fill: What follows a shorter clip: ``"zeros"``, or ``"repeat"`` for as many whole repetitions as fit and then
            zeros.

    Shape:
        - Input: ``(..., time)``, one sample or more.
        - Output: ``(..., samples)``.

    Raises:
        TypeError: If ``samples`` is not a whole number.
        ValueError: If ``samples`` is not positive, or ``fill`` is neither of the two.

    Example:
        >>> FixedLength(5, fill="repeat")(torch.tensor([1.0, 2.0]))
        tensor([1., 2., 1., 2., 0.])

    Source: the feature extractors of Whisper (zeros) and CLAP (``"repeatpad"``) in Transformers.
    """

    takes_counts = True
    frame_by_frame = False

    def __init__(self, samples: int, *, fill: str = "zeros") -> None:
        super().__init__()
        self.samples = whole_number("samples", samples)
        if fill not in ("zeros", "repeat"):
            raise ValueError(f"fill must be 'zeros' or 'repeat', got {fill!r}")
        self.fill = fill

    def forward(self, waveform: Tensor, counts: Tensor | None = None) -> Tensor:
        """Cut or pad ``(..., time)``; ``counts`` samples belong to each clip, or all if it is ``None``."""
        time = waveform.shape[-1]
        place = torch.arange(self.samples, device=waveform.device)
        length = torch.full_like(place[:1], time) if counts is None else counts.to(waveform.device)[..., None]
        length = length.clamp_min(1)
        kept = place < (length if self.fill == "zeros" else (self.samples // length).clamp_min(1) * length)
        source = place.clamp_max(time - 1) if self.fill == "zeros" else place % length
        if counts is None:
            return torch.where(kept, waveform.index_select(-1, source), 0.0)
        return torch.where(kept, waveform.gather(-1, source.expand(*waveform.shape[:-1], self.samples)), 0.0)

    def output_counts(self, counts: Tensor) -> Tensor:
        """Return the number of samples of each clip after this stage, which is the same for all."""
        return torch.full_like(counts, self.samples)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"samples={self.samples}, fill={self.fill!r}"
