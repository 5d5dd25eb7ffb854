"""Compression of energies by a logarithm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, number
from learnable_frontends._parameters import DeclaredParameters
from learnable_frontends._precision import at_least_float32

__all__ = ["Decibels", "Log"]


class Log(DeclaredParameters):
    """Logarithm of energies, with an offset or a floor: ``log(max(energies + offset, floor))``.

    Args:
        offset: Number that is added to the energies; positive, or zero if there is a ``floor``. The default of 1e-3 is
            that of the published code of Dutta et al. 2021, for waveforms scaled to a peak of one; the paper does not
            state it.
        learn: Whether the offset is learned, one number for all filters, starting from ``offset``.
        floor: Smallest value of the sum, to which smaller ones are raised; ``None`` means no floor.
        base: Base of the logarithm; the default is the natural logarithm.

    Shape:
        - Input and output: any shape; energies are not negative.

    Raises:
        TypeError: If an argument is not a number, or the energies are not a floating-point tensor.
        ValueError: If ``offset`` or ``floor`` is not positive and finite, or ``base`` is not larger than 1.

    Example:
        >>> Log(offset=1.0)(torch.zeros(2))
        tensor([0., 0.])
        >>> Log(0.0, floor=1e-10, base=10.0)(torch.tensor([0.0, 100.0]))
        tensor([-10.,   2.])
    """

    frame_by_frame = True

    def __init__(
        self, offset: float = 1e-3, *, learn: bool = False, floor: float | None = None, base: float = math.e
    ) -> None:
        super().__init__()
        self.floor = None if floor is None else number("floor", floor, above=0, hint="silence would give -inf")
        self.base = number("base", base, above=1)
        floored = floor is not None and not learn
        self.offset = (
            0.0 if floored and offset == 0 else number("offset", offset, above=0, hint="silence would give -inf")
        )
        self.log_offset: nn.Parameter | None
        if learn:  # the parameter is the logarithm of the offset, so that the offset stays positive
            self.declare("log_offset", math.log(self.offset), "free")
        else:
            self.log_offset = None

    def forward(self, energies: Tensor) -> Tensor:
        """Compress energies of any shape."""
        floating_tensor("energies", energies)
        exact = at_least_float32(energies)  # in float16 a small offset would be zero, and silence -inf
        if self.log_offset is None:
            return self._log(exact + self.offset if self.offset else exact).to(energies.dtype)
        finite = exact.detach().abs() < math.inf  # any other number would make the gradient of the offset NaN
        features = self._log(torch.where(finite, exact, 0.0) + self.log_offset.to(exact.dtype).exp())
        return torch.where(finite, features, math.nan).to(energies.dtype)

    def _log(self, energies: Tensor) -> Tensor:
        if self.floor is not None:
            energies = energies.clamp_min(self.floor)
        if self.base == 10.0:
            return torch.log10(energies)
        return torch.log(energies) if self.base == math.e else torch.log(energies) / math.log(self.base)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        shown = f"offset={self.offset:g}" + (", learn=True" if self.log_offset is not None else "")
        shown += "" if self.floor is None else f", floor={self.floor:g}"
        return shown if self.base == math.e else f"{shown}, base={self.base:g}"


class Decibels(nn.Module):
    """Energies in decibels: ``10 log10(max(energies, amin) / ref)``, at most ``top_db`` below each clip's loudest bin.

    Args:
        ref: Energy that corresponds to 0 dB.
        amin: Smallest energy, to which smaller ones are raised.
        top_db: Dynamic range below the loudest bin of each clip, in dB; lower values are raised to its end. ``None``
            keeps the whole range.

    Shape:
        - Input and output: ``(..., n_filters, frames)``; energies are not negative. Each item of the leading axes is a
          clip of its own, so the features of a clip do not depend on its batch. Energies that are not finite become
          NaN, and are ignored when the loudest bin is found.

    Raises:
        TypeError: If ``ref``, ``amin`` or ``top_db`` is not a number, or the energies are not a floating-point tensor.
        ValueError: If one of the three is not positive and finite, or the energies have no axes for filters and frames.

    Example:
        >>> Decibels(top_db=30.0)(torch.tensor([[1.0, 0.1, 1e-9]]))
        tensor([[  0., -10., -30.]])

    Source: `librosa.power_to_db`, which uses the loudest bin of its whole input instead.
    """

    def __init__(self, *, ref: float = 1.0, amin: float = 1e-10, top_db: float | None = 80.0) -> None:
        super().__init__()
        self.ref, self.amin = number("ref", ref, above=0), number("amin", amin, above=0)
        self.top_db = None if top_db is None else number("top_db", top_db, above=0)

    @property
    def frame_by_frame(self) -> bool:
        """Whether the features of a frame depend on no other frame, as is the case without ``top_db``."""
        return self.top_db is None

    def forward(self, energies: Tensor) -> Tensor:
        """Compress energies, shape ``(..., n_filters, frames)``."""
        floating_tensor("energies", energies)
        if energies.dim() < 2:
            raise ValueError(f"energies must have filters and frames, got shape {tuple(energies.shape)}")
        exact = at_least_float32(energies)
        finite = exact.detach().abs() < math.inf
        decibels = 10.0 * torch.log10(torch.where(finite, exact, 0.0).clamp_min(self.amin) / self.ref)
        if self.top_db is not None and energies.shape[-1]:  # without frames there is no loudest bin
            loudest = decibels.amax(dim=(-2, -1), keepdim=True)
            decibels = torch.maximum(decibels, loudest - self.top_db)
        return torch.where(finite, decibels, math.nan).to(energies.dtype)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"ref={self.ref:g}, amin={self.amin:g}, top_db={self.top_db}"
