"""Argument checks that several modules share: each message states the name, the rule, the value and a hint."""

from __future__ import annotations

import math
from numbers import Integral, Real

from torch import Tensor

__all__ = ["floating_tensor", "number", "whole_number"]


def number(name: str, value: object, *, above: float | None = None, hint: str = "") -> float:
    """Return an argument as a float, after checking that it is finite and, if ``above`` is given, larger than that."""
    hint = f" ({hint})" if hint else ""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}{hint}")
    plain = float(value)
    if above is not None and not above < plain < math.inf:
        rule = "positive and finite" if above == 0 else f"larger than {above} and finite"
        raise ValueError(f"{name} must be {rule}, got {value}{hint}")
    if not math.isfinite(plain):
        raise ValueError(f"{name} must be finite, got {value}{hint}")
    return plain


def whole_number(name: str, value: object, least: int = 1) -> int:
    """Return an argument as an int, after checking that it is a whole number, ``least`` or more; ``2.0`` is whole."""
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value).is_integer():
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    plain = int(value) if isinstance(value, Integral) else int(float(value))
    if plain < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return plain


def floating_tensor(name: str, value: object, hint: str = "torch.as_tensor makes one") -> None:
    """Check that an argument is a floating-point tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__} ({hint})")
    if not value.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {value.dtype}")
