"""Settings of a module that cannot be set again once it is made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Hashable
from typing import Any, cast

from torch import nn

__all__ = ["ReadOnlySettings"]


class ReadOnlySettings(nn.Module):
    """A module whose constructor's arguments are read-only attributes.

    What the constructor made of an argument (constants, shapes of parameters, a framing) would not follow a later
    change of the attribute, so the change would do nothing, or half of it. Submodules may be replaced.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        made = name in self.__dict__ and name in _arguments(cast(Hashable, type(self)))
        if made or getattr(getattr(type(self), name, None), "fset", self) is None:
            raise AttributeError(
                f"{name} of {type(self).__name__} must stay as it was made, got {value!r} (make a new module)"
            )
        super().__setattr__(name, value)


@functools.lru_cache(maxsize=256)
def _arguments(cls: Hashable) -> frozenset[str]:
    return frozenset(inspect.signature(cast(type, cls)).parameters)
