"""The scale of a waveform, and the mean of a frame."""

from __future__ import annotations

from torch import Tensor, nn

from learnable_frontends._checks import number

__all__ = ["RemoveMean", "Scale"]


class Scale(nn.Module):
    """Multiply by a number, such as 32768 to convert samples between -1 and 1 to the 16-bit range that Kaldi expects.

    Args:
        factor: The number, positive.

    Shape:
        - Input and output: any.

    Raises:
        TypeError: If ``factor`` is not a number.
        ValueError: If ``factor`` is not positive and finite.

    Example:
        >>> import torch
        >>> Scale(32768.0)(torch.tensor([0.5]))
        tensor([16384.])
    """

    frame_by_frame = True

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = number("factor", factor, above=0)

    def forward(self, waveform: Tensor) -> Tensor:
        """Multiply by the factor."""
        return waveform * self.factor

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"factor={self.factor:g}"


class RemoveMean(nn.Module):
    """Subtract the mean of each frame, as Kaldi's option ``remove_dc_offset`` does.

    Shape:
        - Input and output: ``(..., samples)``.

    Example:
        >>> import torch
        >>> RemoveMean()(torch.tensor([1.0, 2.0, 3.0]))
        tensor([-1.,  0.,  1.])
    """

    frame_by_frame = True

    def forward(self, frames: Tensor) -> Tensor:
        """Subtract the mean of the last axis."""
        return frames - frames.mean(-1, keepdim=True)
