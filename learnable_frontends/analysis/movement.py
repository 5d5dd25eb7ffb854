"""How far filters have moved from where they started."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from learnable_frontends.frontend import Frontend
from learnable_frontends.functional import hz_to_scale

__all__ = ["Movement", "movement"]


class Movement(NamedTuple):
    """How far each filter moved; every tensor has shape ``(n_filters,)`` and positive shifts are upwards.

    Attributes:
        initial: Center as constructed, in Hz.
        current: Center now, in Hz.
        hz: Shift in Hz.
        bandwidths: Shift in the filter's own bandwidth as it is now (`Frontend.bandwidths`).
        erb: Shift on the ERB-rate scale, in its steps: one is about a critical band of human hearing.
    """

    initial: Tensor
    current: Tensor
    hz: Tensor
    bandwidths: Tensor
    erb: Tensor


@torch.no_grad()
def movement(frontend: Frontend) -> Movement:
    """Measure for each filter how far its center moved from where the constructor put it.

    Filters are told apart by their order, as everywhere: of two that pass each other, each counts as having stopped
    where the other one did. Loading a state does not change where filters started, so a module built with the
    arguments of the training gives the movement of that training.

    Args:
        frontend: Any front-end. A fixed one has moved by zero; the filters inside of `MultiHeadRelevance` count.

    Returns:
        The shifts, detached, computed in float64 on the CPU.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(16000, n_filters=3, init=[500.0, 1000.0, 2000.0])
        >>> with torch.no_grad():
        ...     _ = bank.raw_center[1].add_(0.1)
        >>> print([f"{shift:.0f} Hz" for shift in movement(bank).hz])
        ['0 Hz', '91 Hz', '0 Hz']
    """
    start, now = (module.to("cpu", torch.float64) for module in (frontend.as_initialized(), copy.deepcopy(frontend)))
    # A front-end without parameters has no type of its own.
    initial, current = start.center_frequencies.double(), now.center_frequencies.double()
    shift = current - initial
    erb = hz_to_scale(current, "erb") - hz_to_scale(initial, "erb")
    return Movement(initial, current, shift, shift / now.bandwidths, erb)
