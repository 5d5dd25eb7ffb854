"""A control: `LearnableMelFilterbank` with triangles instead of Gaussians, like the filters of mel."""

from __future__ import annotations

import torch
from torch import Tensor

from learnable_frontends import LearnableMelFilterbank
from learnable_frontends.pretrained import register

__all__ = ["TriangularMelFilterbank"]


@register
class TriangularMelFilterbank(LearnableMelFilterbank):
    """Triangles whose three edges are learned.

    They are mel's when it is made, up to rounding, and need nothing in between. A triangle has a gradient in the bins
    that it covers only.
    """

    def _gains(self, frequencies: Tensor, triangles: Tensor, remainders: Tensor) -> Tensor:
        del triangles, remainders
        edges = self._places(self.raw_displacements).edges.to(frequencies.dtype)
        peak, low, high = edges[:, :, None].unbind()
        rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
        gains = torch.minimum(rising, falling).clamp_min(0)
        return gains * (2.0 / (high - low)) if self.norm == "slaney" else gains
