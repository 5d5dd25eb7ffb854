"""A cached tensor that stays valid for as long as the parameters that it was computed from do not change."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from learnable_frontends._constants import is_plain

__all__ = ["Kept"]


class Kept:
    """A cache of one tensor that is computed from parameters.

    The cache needs no invalidation. Each call compares the parameters, by identity, version, memory and type, with
    those that the tensor was computed from, and computes it again if anything changed: by training, loading in place or
    with ``assign=True``, moving, casting, parametrizing or `torch.func.functional_call`. It is not copied or pickled.
    """

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._state: list[object] = []
        self._parameters: list[tuple[weakref.ref[nn.Parameter], int]] = []

    def get(self, make: Callable[[], Tensor], parameters: Sequence[nn.Parameter], *key: object) -> Tensor:
        """Return the cached result of ``make`` for these parameters and this key, or call it, without gradients.

        Inside `torch.compile` it is always called, and is a part of the graph. `torch.export` replaces parameters with
        stand-ins; there a tensor that is still valid becomes a constant of the program.
        """
        if torch.compiler.is_dynamo_compiling():
            return make()
        exporting = torch.compiler.is_compiling()
        if not exporting and not all(map(is_plain, parameters)):
            return make()
        state: list[object] = [key]
        if not exporting:
            state += [(id(p), p.data_ptr(), p.dtype, p.device) for p in parameters]
        as_before = self._state[: len(state)] == state and all(map(_is_unchanged, self._parameters))
        if self._tensor is not None and as_before:
            return self._tensor
        if exporting:
            return make()
        with torch.inference_mode(False), torch.no_grad():
            made = make()
        if is_plain(made):
            self._tensor, self._state = made, state
            self._parameters = [(weakref.ref(p), p._version) for p in parameters]
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]


def _is_unchanged(entry: tuple[weakref.ref[nn.Parameter], int]) -> bool:
    parameter = entry[0]()
    return parameter is not None and parameter._version == entry[1]
