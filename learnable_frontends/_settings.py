"""Settings of a module that are read-only once the module is made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Hashable
from typing import Any, cast

from torch import nn

__all__ = ["ReadOnlySettings"]


class ReadOnlySettings(nn.Module):
    """A module whose constructor arguments are read-only attributes.

    What the constructor derives from an argument (constants, shapes of parameters, a framing) would not follow a later
    change of the attribute, so that the change would have no effect, or only part of it. Submodules may be replaced.
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
