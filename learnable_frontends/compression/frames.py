"""Features with a fixed number of frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends._stages import within

__all__ = ["FixedFrames"]


class FixedFrames(nn.Module):
    """Cut or pad the features of each clip to a fixed number of frames.

    A longer clip keeps its first frames, and a shorter one is followed by frames of one value.

    Args:
        frames: Number of frames of the output. All of them count as frames of the clip in later stages.
        value: Value of the added frames, and of those beyond the end of a clip in a batch.

    Shape:
        - Input: ``(..., n_filters, any)``.
        - Output: ``(..., n_filters, frames)``.

    Raises:
        TypeError: If ``frames`` is not a whole number, or ``value`` is not a number.
        ValueError: If ``frames`` is not positive.

    Example:
        >>> FixedFrames(3)(torch.ones(1, 2))
        tensor([[1., 1., 0.]])
    """

    takes_counts = True
    frame_by_frame = False

    def __init__(self, frames: int, *, value: float = 0.0) -> None:
        super().__init__()
        self.frames, self.value = whole_number("frames", frames), number("value", value)

    def forward(self, features: Tensor, counts: Tensor | None = None) -> Tensor:
        """Cut or pad ``(..., n_filters, any)``; ``counts`` frames belong to each clip, or all if it is ``None``."""
        floating_tensor("features", features)
        missing = self.frames - features.shape[-1]
        fixed = F.pad(features, (0, missing), value=self.value)
        if counts is None:
            return fixed
        return fixed.masked_fill(~within(counts, fixed)[..., None, :], self.value)

    def output_counts(self, counts: Tensor) -> Tensor:
        """Return the number of frames of each clip after this stage, which is the same for all."""
        return torch.full_like(counts, self.frames)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"frames={self.frames}, value={self.value:g}"
