"""The floating-point types that front-ends compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["at_least_float32", "without_autocast"]


def at_least_float32(tensor: Tensor) -> Tensor:
    """Give a tensor in its own type, or in float32 if that is a smaller floating-point type.

    Args:
        tensor: Any shape.

    Returns:
        ``tensor`` itself where nothing has to change.

    Example:
        >>> at_least_float32(torch.ones(2, dtype=torch.float16)).dtype
        torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Keep autocast out of a block: squares of spectra leave the range of float16.

    Args:
        device_type: ``"cpu"``, ``"cuda"``, ...

    Returns:
        A context manager; where autocast is off it does nothing, so that traces without it stay plain.

    Example:
        >>> with torch.autocast("cpu"), without_autocast("cpu"):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    if device_type != "meta" and torch.is_autocast_enabled(device_type):  # tensors without values know no autocast
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
