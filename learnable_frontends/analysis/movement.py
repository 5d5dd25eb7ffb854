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
    """How far each filter moved. Every tensor has shape ``(n_filters,)``, and positive shifts are upward.

    Attributes:
        initial: Center after construction, in Hz.
        current: Center now, in Hz.
        hz: Shift in Hz.
        bandwidths: Shift in units of the filter's current bandwidth (`Frontend.bandwidths`).
        erb: Shift in steps of the ERB-rate scale; one step is about one critical band of human hearing.
    """

    initial: Tensor
    current: Tensor
    hz: Tensor
    bandwidths: Tensor
    erb: Tensor


@torch.no_grad()
def movement(frontend: Frontend) -> Movement:
    """Measure how far the center of each filter has moved from where the constructor put it.

    Filters are identified by their order: if two filters pass each other, each counts as having stopped where the other
    one did. Loading a state does not change where filters started, so the movement of a past training can be measured
    on a module that is built with the same arguments and loaded with the trained state.

    Args:
        frontend: Any front-end. The shifts of a fixed one are zero; for `MultiHeadRelevance` they are those of the
            filters inside it.

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
    # Without parameters there is nothing to cast, and the centers have the default type.
    initial, current = start.center_frequencies.double(), now.center_frequencies.double()
    shift = current - initial
    erb = hz_to_scale(current, "erb") - hz_to_scale(initial, "erb")
    return Movement(initial, current, shift, shift / now.bandwidths, erb)
