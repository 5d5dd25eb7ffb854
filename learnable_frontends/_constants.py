"""Constants of modules: float64 arrays from which tensors are made where and as they are needed.

A constant that is a buffer is lost where others treat buffers as theirs: building on the meta device leaves it there,
``to_empty`` and `transformers.PreTrainedModel.from_pretrained` put uninitialized memory in its place, ``half`` rounds
it for good, averaging averages it. So modules hold none. They hold `Constants`, plain arrays that nobody but the module
knows, and ask for a tensor of the type and the device of the numbers that it meets.
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
    """Named arrays, and tensors of them by type and device.

    Tensors are kept, since a front-end asks for the same ones in each call; what is kept is not copied or pickled, and
    nothing is kept that a trace, an export or a transform of `torch.func` has made.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Float64Array] = {}
        self._exact: dict[str, Tensor] = {}  # views of the arrays, for traces: they cannot hold arrays
        self._kept: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a constant from anything that NumPy takes, a tensor on the CPU among it."""
        array = np.array(value.detach().numpy() if isinstance(value, Tensor) else value, dtype=np.float64)
        self.arrays[name] = array
        self._exact[name] = torch.from_numpy(array)
        self._kept = {key: tensor for key, tensor in self._kept.items() if key[0] != name}

    def __getitem__(self, name: str) -> Float64Array:
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def tensor(self, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a constant as a tensor of a type, float32 or wider or int64, on a device."""
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
        """Return a constant as a tensor of the type and on the device of another one."""
        return self.tensor(name, other.dtype, other.device)

    def __getstate__(self) -> dict[str, Any]:
        return {"arrays": self.arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        for name, array in state["arrays"].items():
            self[name] = array


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor outlives the call that made it: no trace, fake, batched or inference tensor."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and not torch.compiler.is_compiling()
        and not tensor.is_inference()
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


@contextmanager
def exact_construction() -> Iterator[None]:
    """Make tensors on the CPU in float64 without gradients, whatever the caller's defaults: for arrays of constants.

    Default devices and types are what frameworks set around constructors; a constant must not depend on them.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("cpu"), torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
