"""Features of a fixed number of frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number, whole_number
from learnable_frontends._stages import within

__all__ = ["FixedFrames"]


class FixedFrames(nn.Module):
    """Bring each clip to so many frames: the first of a longer one; a shorter one followed by frames of one value.

    Args:
        frames: Frames of the output, all of which belong to the clip behind it.
        value: What fills the added frames, and those beyond the end of a clip in a batch.

    Shape:
        - Input: ``(..., n_filters, any)``.
        - Output: ``(..., n_filters, frames)``.

    Raises:
        TypeError: If ``frames`` is not a whole number, or ``value`` not a number.
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
        """Bring ``(..., n_filters, any)``, of which ``counts`` belong to each clip (``None``: all), to the number."""
        floating_tensor("features", features)
        missing = self.frames - features.shape[-1]
        fixed = F.pad(features, (0, missing), value=self.value)
        if counts is None:
            return fixed
        return fixed.masked_fill(~within(counts, fixed)[..., None, :], self.value)

    def output_counts(self, counts: Tensor) -> Tensor:
        """Return the frames of each clip behind it, the same for all."""
        return torch.full_like(counts, self.frames)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"frames={self.frames}, value={self.value:g}"
