"""Compression: from band energies to the features a classifier sees."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from learnable_frontends.functional import at_least_float32

__all__ = ["Decibels", "Log"]


class Log(nn.Module):
    """Natural logarithm of the energies above a floor: ``log(energies + offset)``.

    Args:
        offset: Added to the energies, positive. Source: 1e-3 is the published code's, for waveforms scaled to a peak
            of one; the paper does not say.
        learn: Whether the offset is learned, one for all filters, from there on.

    Shape:
        - Input and output: any, energies not negative.

    Raises:
        ValueError: If ``offset`` is not positive.

    Example:
        >>> Log(offset=1.0)(torch.zeros(2))
        tensor([0., 0.])
    """

    def __init__(self, offset: float = 1e-3, *, learn: bool = False) -> None:
        super().__init__()
        if not offset > 0:
            raise ValueError(f"offset must be positive, got {offset} (silence would give -inf)")
        self.offset = float(offset)
        # Its logarithm, so that it stays positive; a module without it has the same state as ever.
        self.log_offset = nn.Parameter(torch.tensor(math.log(offset))) if learn else None

    def forward(self, energies: Tensor) -> Tensor:
        """Compress energies of any shape."""
        # In float16 a small offset would be zero, and silence -inf.
        exact = at_least_float32(energies)
        offset = self.offset if self.log_offset is None else self.log_offset.to(exact.dtype).exp()
        return torch.log(exact + offset).to(energies.dtype)

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        return f"offset={self.offset:g}" if self.log_offset is None else f"offset={self.offset:g}, learn=True"


class Decibels(nn.Module):
    """Energies in decibels: ``10 log10(max(energies, amin) / ref)``, cut off ``top_db`` below each clip's loudest bin.

    Args:
        ref: Energy that is 0 dB.
        amin: Smallest energy told apart.
        top_db: Dynamic range kept below the loudest bin of each clip, in dB; ``None`` keeps all.

    Shape:
        - Input and output: ``(..., n_filters, frames)``, energies not negative. A clip is one item of the leading
          axes, however many there are, so a clip's features do not depend on its batch.

    Raises:
        ValueError: If ``ref``, ``amin`` or ``top_db`` is not positive.

    Example:
        >>> Decibels(top_db=30.0)(torch.tensor([[1.0, 0.1, 1e-9]]))
        tensor([[  0., -10., -30.]])

    Source: `librosa.power_to_db`, which takes the loudest bin of everything it is given.
    """

    def __init__(self, *, ref: float = 1.0, amin: float = 1e-10, top_db: float | None = 80.0) -> None:
        super().__init__()
        for name, value in (("ref", ref), ("amin", amin), ("top_db", top_db)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.ref, self.amin, self.top_db = float(ref), float(amin), top_db

    def forward(self, energies: Tensor) -> Tensor:
        """Compress energies, shape ``(..., n_filters, frames)``."""
        decibels = 10.0 * torch.log10(at_least_float32(energies).clamp_min(self.amin) / self.ref)
        if self.top_db is not None:
            loudest = decibels.amax(dim=(-2, -1), keepdim=True)
            decibels = torch.maximum(decibels, loudest - self.top_db)
        return decibels.to(energies.dtype)

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        return f"ref={self.ref:g}, amin={self.amin:g}, top_db={self.top_db}"
