"""Preemphasis of a waveform or of each frame: a share of the previous sample is subtracted from each sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnable_frontends._checks import number

__all__ = ["FramePreemphasis", "Preemphasis"]


class Preemphasis(nn.Module):
    """Subtract ``coefficient`` times the previous sample from each sample of a waveform.

    Args:
        coefficient: Share of the previous sample, 0 to 1.
        valid: Whether to drop the first sample, which has no previous one, so that the waveform becomes one sample
            shorter. Otherwise the first sample is unchanged.

    Shape:
        - Input: ``(..., time)``.
        - Output: ``(..., time)``, or ``(..., time - 1)``.

    Raises:
        TypeError: If ``coefficient`` is not a number.
        ValueError: If ``coefficient`` is not between 0 and 1.

    Example:
        >>> Preemphasis(0.5)(torch.tensor([2.0, 4.0, 8.0]))
        tensor([2., 3., 6.])
    """

    def __init__(self, coefficient: float = 0.97, *, valid: bool = False) -> None:
        super().__init__()
        self.coefficient, self.valid = _checked_coefficient(coefficient), bool(valid)

    def forward(self, waveform: Tensor) -> Tensor:
        """Filter the last axis."""
        filtered = _differences(waveform, self.coefficient)
        return filtered if self.valid else torch.cat([waveform[..., :1], filtered], dim=-1)

    def output_counts(self, counts: Tensor) -> Tensor:
        """Return the number of samples of each clip after this stage."""
        return (counts - 1).clamp_min(0) if self.valid else counts

    def resume(self, chunk: Tensor, last: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Filter the next samples of a stream; return them, and the last sample, which the next call needs."""
        if not chunk.shape[-1]:
            return chunk, last
        if last is None:
            return self.forward(chunk), chunk[..., -1:]
        return _differences(torch.cat([last, chunk], dim=-1), self.coefficient), chunk[..., -1:]

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"coefficient={self.coefficient:g}, valid={self.valid}"


class FramePreemphasis(nn.Module):
    """Subtract ``coefficient`` times the previous sample from each sample of a frame.

    The first sample of a frame takes the place of its own previous sample.

    Args:
        coefficient: Share of the previous sample, 0 to 1.

    Shape:
        - Input and output: ``(..., samples)``.

    Raises:
        TypeError: If ``coefficient`` is not a number.
        ValueError: If ``coefficient`` is not between 0 and 1.

    Example:
        >>> FramePreemphasis(0.5)(torch.tensor([2.0, 4.0, 8.0]))
        tensor([1., 3., 6.])

    Source: Kaldi, ``feature-window.cc``, which treats the first sample as HTK does.
    """

    frame_by_frame = True

    def __init__(self, coefficient: float = 0.97) -> None:
        super().__init__()
        self.coefficient = _checked_coefficient(coefficient)

    def forward(self, frames: Tensor) -> Tensor:
        """Filter the last axis."""
        return _differences(torch.cat([frames[..., :1], frames], dim=-1), self.coefficient)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"coefficient={self.coefficient:g}"


def _differences(samples: Tensor, coefficient: float) -> Tensor:
    """Return each sample but the first minus a share of the previous one."""
    return torch.sub(samples[..., 1:], samples[..., :-1], alpha=coefficient)


def _checked_coefficient(coefficient: float) -> float:
    """Check a coefficient of preemphasis."""
    value = number("coefficient", coefficient)
    if not 0 <= value <= 1:
        raise ValueError(f"coefficient must be between 0 and 1, got {coefficient} (0.97 is usual)")
    return value
