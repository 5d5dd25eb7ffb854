"""Classes that can be saved and loaded, and the settings from which a module of each can be made again."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, TypeVar

import torch
from torch import nn

from learnable_frontends import (
    PCEN,
    Chain,
    ClipNormalize,
    ConcatFrontend,
    CosGaussFilterbank,
    Decibels,
    FixedFrames,
    FreeFilterbank,
    FreeResponseFilterbank,
    GaborFilterbank,
    GammatoneFilterbank,
    GaussianFilterbank,
    LearnableMelFilterbank,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    Normalize,
    SincFilterbank,
)
from learnable_frontends.inputs import FixedLength, FramePreemphasis, Preemphasis, RemoveMean, Scale

__all__ = ["OWN", "SETTINGS", "STAND_INS", "describe", "plain", "register"]

Module = TypeVar("Module", bound=type[nn.Module])
Reader = Callable[[Any], Any]

# Arguments that get these values when a module is loaded: the samples of a window are among the tensors.
STAND_INS: dict[str, Any] = {"window": torch.ones}


def _arguments(cls: type[nn.Module]) -> list[inspect.Parameter]:
    return list(inspect.signature(cls).parameters.values())


def _reader(name: str) -> Reader:
    """Return a function that reads a constructor argument from a module, from ``_name`` if that exists or ``name``."""
    return lambda module: getattr(module, f"_{name}") if hasattr(module, f"_{name}") else getattr(module, name)


def _all_arguments(cls: type[nn.Module], but: str = "") -> dict[str, Reader]:
    names = [argument.name for argument in _arguments(cls)]
    return {name: _reader(name) for name in names if name not in STAND_INS and name != but}


# For each class, the arguments of its constructor and how they are read from a module. All else is in the tensors.
SETTINGS: dict[type[nn.Module], dict[str, Reader]] = {
    **{
        family: _all_arguments(family)
        for family in (
            CosGaussFilterbank,
            SincFilterbank,
            MelFrontend,
            LearnableMelFilterbank,
            GaussianFilterbank,
            GaborFilterbank,
            GammatoneFilterbank,
        )
    },
    FreeFilterbank: _all_arguments(FreeFilterbank, but="start"),  # all taps are in the tensors
    FreeResponseFilterbank: _all_arguments(FreeResponseFilterbank, but="start"),
    ConcatFrontend: {"frontends": attrgetter("frontends")},
    MultiHeadRelevance: {
        argument.name: attrgetter(argument.name if argument.name == "frontend" else f"relevance.{argument.name}")
        for argument in _arguments(MultiHeadRelevance)
    },
    Log: {**_all_arguments(Log), "learn": lambda log: log.log_offset is not None},
    **{
        stage: _all_arguments(stage)
        for stage in (
            Decibels,
            Normalize,
            ClipNormalize,
            FixedFrames,
            Chain,
            FixedLength,
            FramePreemphasis,
            Preemphasis,
            Scale,
        )
    },
    PCEN: {"n_filters": attrgetter("n_filters"), "eps": attrgetter("eps")},  # learn is saved as fixed parameters
    RemoveMean: {},
    nn.Identity: {},
}
OWN = tuple(SETTINGS)


def register(cls: Module, settings: Sequence[str] | None = None) -> Module:
    """Make a class from outside the package known, so that its front-ends or stages can be saved and loaded.

    Call it once after the class is defined, for example as a decorator, both in the program that saves and in the
    program that loads. Settings are arguments of the constructor that the module stores in attributes of the same name,
    or of that name after an underscore. They may be numbers, strings, flags, lists of these, and modules of known
    classes. ``window`` needs no attribute, since its samples are saved as a tensor.

    Args:
        cls: A class of modules. Files identify it by its name, without the name of the Python module.
        settings: Names of the settings; ``None`` means all arguments of the constructor except ``window``. Pass them if
            an argument only sets the first value of a parameter.

    Returns:
        The class itself.

    Raises:
        TypeError: If ``cls`` is not a class of modules.
        ValueError: If another class has the same name, ``settings`` are not arguments of the constructor, or an
            argument without a default is not among them.

    Example:
        >>> import tempfile
        >>> from learnable_frontends.pretrained import from_pretrained, save_pretrained
        >>> @register
        ... class NarrowFilterbank(CosGaussFilterbank):
        ...     def __init__(self, sample_rate, n_filters=40, *, f_max=None):
        ...         super().__init__(sample_rate, n_filters, f_max=f_max, width=10.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(NarrowFilterbank(16000), folder)
        ...     from_pretrained(folder).widths[0]
        tensor(10.)
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"cls must be a class of modules, got {cls!r}")
    again = [other for other in SETTINGS if other.__name__ == cls.__name__]  # defined again, as in a notebook
    for other in again:
        if other in OWN or (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"cls must have a name of its own, got {cls.__name__}, which {other!r} has")
    arguments = inspect.signature(cls).parameters
    named = [name for name, a in arguments.items() if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
    if settings is None:
        if len(named) < len(arguments):
            raise ValueError(f"settings must be given for {cls.__name__}, whose arguments are not all named, got None")
        settings = [name for name in named if name not in STAND_INS]
    elif len(named) == len(arguments) and not set(settings) <= set(named):
        raise ValueError(f"settings must be arguments of {cls.__name__}, {named}, got {list(settings)}")
    needed = {name for name in named if arguments[name].default is inspect.Parameter.empty} - STAND_INS.keys()
    if missing := needed - set(settings):
        raise ValueError(f"settings must have {sorted(missing)}, which {cls.__name__} needs, got {list(settings)}")
    for other in again:
        del SETTINGS[other]
    inherited = {name: read for base in reversed(cls.__mro__) for name, read in SETTINGS.get(base, {}).items()}
    SETTINGS[cls] = {name: inherited.get(name, _reader(name)) for name in settings}
    return cls


def describe(module: nn.Module) -> dict[str, Any]:
    """Return the class and the settings of a module, as the configuration holds them."""
    cls = type(module)
    if cls not in SETTINGS:
        raise TypeError(
            f"frontend must be made of known classes to be saved, got {cls.__name__} (make it known by "
            f"learnable_frontends.pretrained.register({cls.__name__}), here and where it is loaded)"
        )
    settings = {}
    for name, read in SETTINGS[cls].items():
        try:
            settings[name] = plain(name, read(module))
        except AttributeError as error:
            raise TypeError(f"{cls.__name__} must keep its setting {name!r} as an attribute, got {error}") from error
    return {"class": cls.__name__, "settings": settings}


def plain(name: str, value: Any) -> Any:
    """Return the value of a setting as a JSON value."""
    if isinstance(value, nn.Module) and not isinstance(value, nn.ModuleList):
        return describe(value)
    if hasattr(value, "tolist"):  # of torch and NumPy
        value = value.tolist()
    if isinstance(value, (list, tuple, nn.ModuleList)):
        return [plain(name, item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Real) and math.isfinite(value):
        return int(value) if isinstance(value, Integral) else float(value)
    raise ValueError(f"{name} must be a finite number, a name, a flag or a list of them to be saved, got {value!r}")
