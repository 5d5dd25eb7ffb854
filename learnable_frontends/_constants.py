"""Constants of modules: float64 arrays, from which tensors are made on the device and in the type that is needed.

A constant kept as a buffer does not survive everything that frameworks do to buffers: building on the meta device
leaves it there, ``to_empty`` and `transformers.PreTrainedModel.from_pretrained` replace it with uninitialized memory,
``half`` rounds it for good, and weight averaging averages it. Modules therefore hold their constants in `Constants`,
plain arrays that are registered nowhere, and convert them to tensors of the type and device of their input.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["Constants", "Float64Array", "exact_construction", "is_plain"]

Float64Array = NDArray[np.float64]

NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64, torch.int64: np.int64}


class Constants:
    """Named float64 arrays, and a cache of them as tensors by type and device.

    A front-end needs the same tensors in each call, so they are cached. The cache is not copied or pickled, and never
    holds a tensor that was made by a trace, an export or a transform of `torch.func`.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Float64Array] = {}
        self._exact: dict[str, Tensor] = {}  # share memory with the arrays, since traces cannot hold arrays
        self._kept: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a constant from anything that NumPy accepts, including a tensor on the CPU."""
        array = np.array(value.detach().numpy() if isinstance(value, Tensor) else value, dtype=np.float64)
        self.arrays[name] = array
        self._exact[name] = torch.from_numpy(array)
        self._kept = {key: tensor for key, tensor in self._kept.items() if key[0] != name}

    def __getitem__(self, name: str) -> Float64Array:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def tensor(self, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a constant as a tensor on a device; the type is float32, float64 or int64."""
        kept = self._kept.get((name, dtype, device))
        if kept is not None:
            return kept
        if torch.compiler.is_dynamo_compiling():
            return self._exact[name].to(device, dtype)
        with torch.inference_mode(False):
            made = torch.from_numpy(self.arrays[name].astype(NUMPY_TYPES[dtype])).to(device)
        if is_plain(made):
            self._kept[name, dtype, device] = made
        return made

    def like(self, name: str, other: Tensor) -> Tensor:
        """Return a constant as a tensor of the type and on the device of another tensor."""
        return self.tensor(name, other.dtype, other.device)

    def __getstate__(self) -> dict[str, Any]:
        return {"arrays": self.arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        for name, array in state["arrays"].items():
            self[name] = array


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor may be kept after the call: it is not a traced, fake, batched or inference tensor."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and not torch.compiler.is_compiling()
        and not tensor.is_inference()
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


@contextmanager
def exact_construction() -> Iterator[None]:
    """Make new tensors on the CPU, in float64 and without gradients, whatever the caller's defaults are.

    Frameworks set default devices and types around constructors, and a constant must not depend on them.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("cpu"), torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
