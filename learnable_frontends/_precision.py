"""The floating-point types that front-ends compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["at_least_float32", "without_autocast"]


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert a tensor of a smaller floating-point type to float32, and return any other as it is.

    Args:
        tensor: Any shape.

    Returns:
        The tensor in float32 or wider; ``tensor`` itself if its type is wide enough.

    Example:
        >>> at_least_float32(torch.ones(2, dtype=torch.float16)).dtype
        torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Turn autocast off inside a block, since squares of spectra exceed the range of float16.

    Args:
        device_type: ``"cpu"``, ``"cuda"``, ...

    Returns:
        A context manager. It does nothing where autocast is off anyway, so that traces without autocast stay simple.

    Example:
        >>> with torch.autocast("cpu"), without_autocast("cpu"):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    if device_type != "meta" and torch.is_autocast_enabled(device_type):  # there is no autocast on meta
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
