"""The tensors of a front-end: its state dict, and the constants that its settings do not determine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from learnable_frontends import Filterbank
from learnable_frontends._constants import Constants
from learnable_frontends.filterbanks.spectra import DFT

__all__ = ["constants_of", "plain_defaults", "required_constants", "tensors_to_store"]


def constants_of(frontend: nn.Module) -> dict[str, tuple[Constants, str]]:
    """Return the constants of a front-end's modules, by their name in a file."""
    found: dict[str, tuple[Constants, str]] = {}
    for path, module in frontend.named_modules():
        constants = getattr(module, "_constants", None)
        if isinstance(constants, Constants):
            prefix = f"{path}.constants" if path else "constants"
            found |= {f"{prefix}.{name}": (constants, name) for name in constants.arrays}
    return found


def required_constants(frontend: nn.Module) -> set[str]:
    """Return the names of the constants that a file must have: windows, which settings do not describe."""
    windows = {id(module._constants) for module in frontend.modules() if isinstance(module, Filterbank)}
    return {
        key
        for key, (constants, name) in constants_of(frontend).items()
        if id(constants) in windows and name in ("window", "frame_window")
    }


def tensors_to_store(frontend: nn.Module, made: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a front-end that have to be stored, given one that was just made from its settings.

    Raises:
        ValueError: If it has tensors of other names or shapes than the one that was made.
    """
    state, blanks = frontend.state_dict(), made.state_dict()
    constants, remade = constants_of(frontend), constants_of(made)
    # The matrices of `Frontend.set_transform` are optional; a loaded front-end uses the FFT.
    chosen = {key for key, (_, name) in constants.items() if name in DFT} - remade.keys()
    odd = (state.keys() ^ blanks.keys()) | ((constants.keys() - chosen) ^ remade.keys())
    odd |= {name for name in state.keys() & blanks.keys() if state[name].shape != blanks[name].shape}
    for key in constants.keys() & remade.keys():
        (own, name), (other, _) = constants[key], remade[key]
        odd |= {key} if own[name].shape != other[name].shape else set()
    if odd:
        raise ValueError(f"frontend must have the tensors that its settings make, got others: {sorted(odd)}")
    tensors = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    for key in remade:
        (own, name), (other, _) = constants[key], remade[key]
        if key in required_constants(made) or not np.array_equal(own[name], other[name]):
            tensors[key] = torch.from_numpy(own[name].copy())
    return tensors


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Make modules in float32 on the CPU, whatever the defaults are, without changing the state of random numbers."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
