"""The arguments that families share: typed for editors, and written into the signature and help of each family.

The constructor of a family takes its own arguments and ``**options: Unpack[...]``, which it passes on. The base class
declares all arguments, so Python refuses a misspelled name. Editors know names and types from the dictionaries below.
`share_arguments` adds the arguments, with their defaults and descriptions, to `inspect.signature` and `help`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, get_type_hints

from torch import Tensor, nn

__all__ = ["FilterbankOptions", "FramingOptions", "KernelOptions", "MelOptions", "ResponseOptions", "share_arguments"]


class FramingOptions(TypedDict, total=False):
    """Arguments of `learnable_frontends.Filterbank`, which describes them, without the window, whose default varies."""

    win_length: int | None
    hop_length: int | None
    f_min: float
    f_max: float | None
    center: bool
    pad_mode: str
    compression: nn.Module | None
    inputs: nn.Module | None
    frame_stages: nn.Module | None
    pad: int | None
    drop_last: bool


class FilterbankOptions(FramingOptions, total=False):
    """Arguments of `learnable_frontends.Filterbank`, which describes them."""

    window: Callable[[int], Tensor]


class KernelOptions(FilterbankOptions, total=False):
    """Arguments of `learnable_frontends.KernelFilterbank`, which describes those that it adds."""

    kernel_size: int | None
    n_fft: int | None
    padding: str
    init: str | Sequence[float] | Tensor
    gain: str


class ResponseOptions(FilterbankOptions, total=False):
    """Arguments of `learnable_frontends.ResponseFilterbank`, which describes those that it adds."""

    n_fft: int | None
    power: float
    power_offset: float
    align: str


class MelOptions(ResponseOptions, total=False):
    """Arguments of `learnable_frontends.MelFrontend`, which describes those that it adds."""

    norm: str | None
    mel_scale: str
    triangles: str


ENTRY = re.compile(r"^ {8}(\**\w+): .*(?:\n {9,}.*)*\n", re.MULTILINE)  # of a docstring's "Args:"


def share_arguments(cls: type[Any]) -> None:
    """Add the arguments that a class passes on as ``**options`` to its signature and docstring."""
    init = cls.__dict__.get("__init__")
    if init is None:
        return
    declared = list(inspect.signature(init).parameters.values())
    own = [_with_type(parameter, init) for parameter in declared if parameter.name != "options"]
    base = next((base for base in cls.__mro__[1:] if "__signature__" in base.__dict__), None)
    if len(own) < len(declared) and base is not None:
        names = {parameter.name for parameter in own}
        inherited = base.__dict__["__signature__"].parameters.values()
        own += [parameter for parameter in inherited if parameter.name not in names]
        described = {match[1]: match[0] for match in ENTRY.finditer(base.__doc__ or "")}
        mine = {match[1] for match in ENTRY.finditer(cls.__doc__ or "")}
        missing = "".join(described[p.name] for p in own if p.name in described and p.name not in mine)
        cls.__doc__ = ENTRY.sub(lambda m: missing if m[1] == "**options" else m[0], cls.__doc__ or "") or None
    init.__signature__ = inspect.Signature(own)  # of the function as well, where tools that make parsers look
    cls.__signature__ = inspect.Signature(own[1:])


def _with_type(parameter: inspect.Parameter, function: Callable[..., Any]) -> inspect.Parameter:
    """Return a parameter whose annotation is a type instead of a name, so that it has a meaning in other modules."""
    try:
        return parameter.replace(annotation=get_type_hints(function)[parameter.name])
    except (KeyError, NameError):  # no annotation, or one with a name that exists for type checkers only
        return parameter
