"""Loading of front-ends from files. Nothing in them is executed or imported, and what breaks a rule is refused."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import reprlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from learnable_frontends import Frontend, __version__
from learnable_frontends.pretrained.registry import SETTINGS, STAND_INS, plain
from learnable_frontends.pretrained.tensors import constants_of, plain_defaults, required_constants

__all__ = ["make", "refuse", "restore"]

CONFIG, TENSORS = "config.json", "model.safetensors"
# A new setting of a class, or a new meaning of one, raises the version and needs a step here: a function from a whole
# configuration of the version that is its key to one of the next version.
FORMAT_VERSION = 3
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
OLDEST_VERSION = min(UPGRADES, default=FORMAT_VERSION)  # older versions were never released
KEYS = {"format_version", "package_version", "class", "settings", "frozen", "fixed_parameters", "tensors_sha256"}
# Limit of the memory that a file can make this program use: the largest product of these settings.
LARGEST = 2**25
SIDES = (
    ("sample_rate",),
    ("n_filters", "n_fft"),
    ("n_filters", "kernel_size"),
    ("n_filters", "win_length"),
    ("n_heads", "hidden", "context"),
)
DEEPEST = 16  # levels of nested configurations
MARGIN = 2**20  # largest size in bytes of a configuration, and of the header of a file of tensors
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}

Read = Callable[[Path, int], bytes]


def refuse(file: Path, name: str, rule: str, value: object, hint: str = "") -> NoReturn:
    """Raise the error for a file that breaks a rule."""
    raise ValueError(f"{file}: {name} must {rule}, got {reprlib.repr(value)}" + (f" ({hint})" if hint else ""))


def restore(folder: Path, read: Read | None = None) -> Frontend:
    """Return the front-end in a folder; ``read`` maps a path and a limit to at most so many bytes and one more."""
    read = read or _read
    file = folder / CONFIG
    config = _parse(_limited(read, file, MARGIN), file)
    with plain_defaults():
        frontend = make({key: config[key] for key in ("class", "settings")}, file)
        if not isinstance(frontend, Frontend):
            refuse(file, "class", "be that of a front-end", config["class"])
        size = 8 * sum(tensor.numel() for tensor in frontend.state_dict().values())
        size += 8 * sum(constants[name].size for constants, name in constants_of(frontend).values())
        data = _limited(read, folder / TENSORS, size + MARGIN)
        if (checksum := hashlib.sha256(data).hexdigest()) != config["tensors_sha256"]:
            hint = "saving was cut off, or a file was changed or not downloaded; save it again"
            refuse(folder / TENSORS, "SHA-256", f"be {config['tensors_sha256']!r}, as in {CONFIG}", checksum, hint)
        _fill(frontend, data, folder / TENSORS)
        if config["frozen"]:
            frontend.freeze()
    fixed, parameters = set(config["fixed_parameters"]), dict(frontend.named_parameters())
    if unknown := fixed - parameters.keys():
        refuse(file, "fixed_parameters", f"be among {sorted(parameters)}", sorted(unknown))
    for name, parameter in parameters.items():
        parameter.requires_grad_(name not in fixed)
    return frontend


def _read(file: Path, limit: int) -> bytes:
    if not file.is_file():
        raise FileNotFoundError(f"{file} must be a file, got none (save_pretrained writes {CONFIG} and {TENSORS})")
    with file.open("rb") as stream:
        return stream.read(limit + 1)


def _limited(read: Read, file: Path, limit: int) -> bytes:
    data = read(file, limit)
    if len(data) > limit:
        raise ValueError(f"{file}: the file must have at most {limit} bytes, got more")
    return data


def _parse(text: bytes, file: Path) -> dict[str, Any]:
    """Return the configuration in its current version, after checking all of it except class and settings."""
    try:
        config = json.loads(text.decode(), parse_constant=_number, parse_float=_number, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: the text must be JSON, got {reprlib.repr(text)} ({error})") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if type(version) is not int or version < 1:
        refuse(file, "format_version", "be a positive whole number", version, "is this a front-end's configuration?")
    if version < OLDEST_VERSION:
        hint = "saved by a version before the first release; save it again"
        refuse(file, "format_version", f"be at least {OLDEST_VERSION} for version {__version__}", version, hint)
    if version > FORMAT_VERSION:
        hint = f"saved by version {config.get('package_version')}; pip install --upgrade learnable-frontends"
        refuse(file, "format_version", f"be at most {FORMAT_VERSION} for version {__version__}", version, hint)
    for older in range(version, FORMAT_VERSION):
        config = UPGRADES[older](config)
    _check_names(file, "the keys", KEYS, config)
    for key, kind in (("frozen", bool), ("fixed_parameters", list), ("tensors_sha256", str)):
        if not isinstance(config[key], kind):
            refuse(file, key, f"be of type {kind.__name__}", config[key])
    if not all(isinstance(name, str) for name in config["fixed_parameters"]):
        refuse(file, "fixed_parameters", "be names", config["fixed_parameters"])
    return dict(config)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"numbers must be finite, got {text[:20]}")
    return int(text) if text.lstrip("-").isdigit() else value


def _check_names(file: Path, what: str, expected: Collection[str], given: Collection[str]) -> None:
    if unknown := set(given) - set(expected):
        refuse(file, what, f"be among {sorted(expected)}", sorted(unknown))
    if missing := set(expected) - set(given):
        refuse(file, what, f"have {sorted(missing)}", sorted(given))


def make(described: Any, file: Path, depth: int = 1) -> nn.Module:
    """Construct the module that a configuration describes. Only known classes are called, with known arguments."""
    if depth > DEEPEST:
        raise ValueError(f"{file}: settings must be at most {DEEPEST} modules deep, got more")
    if not isinstance(described, dict) or described.keys() != {"class", "settings"}:
        refuse(file, "a module", "be given by 'class' and 'settings'", described)
    name, settings = described["class"], described["settings"]
    known = {cls.__name__: cls for cls in SETTINGS}
    if not isinstance(name, str) or name not in known:
        hint = "nothing is imported by name: define a class of your own and register it before loading"
        refuse(file, "class", f"be one of {sorted(known)}", name, hint)
    if not isinstance(settings, dict):
        refuse(file, f"settings of {name}", "be named", settings)
    cls = known[name]
    _check_names(file, f"settings of {name}", SETTINGS[cls], settings)
    for sides in SIDES:
        values = [settings[side] for side in sides if isinstance(settings.get(side), (int, float))]
        if math.prod(max(1.0, abs(float(value))) for value in values) > LARGEST:
            refuse(file, " * ".join(sides), f"be at most {LARGEST}", values)
    arguments = {key: _made(value, file, depth + 1) for key, value in settings.items()}
    taken = inspect.signature(cls).parameters.keys() - settings.keys()
    arguments |= {key: value for key, value in STAND_INS.items() if key in taken}
    try:
        module = cls(**arguments)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ValueError(f"{file}: settings of {name} must be those of its constructor: {error}") from error
    for key, read in SETTINGS[cls].items():  # refuse what the constructor has converted to a flag or a whole number
        value, kept = settings[key], plain(key, read(module))
        if not _is_kept(value, kept):
            refuse(file, f"{key} of {name}", f"be what the constructor makes of it, {kept!r}", value)
    return module


def _made(value: Any, file: Path, depth: int) -> Any:
    """Return a setting, with each configuration of a module in it replaced by the module."""
    if isinstance(value, list):
        return [make(item, file, depth) if isinstance(item, dict) else item for item in value]
    return make(value, file, depth) if isinstance(value, dict) else value


def _is_kept(value: Any, kept: Any) -> bool:
    if isinstance(value, dict) and isinstance(kept, dict):  # a module, whose settings have been checked already
        return bool(value["class"] == kept["class"])
    if isinstance(value, list) and isinstance(kept, list):  # numbers, rounded to float32 here
        return len(value) == len(kept)
    return bool(value == kept)


def _fill(frontend: nn.Module, data: bytes, file: Path) -> None:
    """Load the tensors of a file into a front-end that was made from its settings."""
    try:
        tensors = {name: tensor.clone() for name, tensor in load(data).items()}
    except (SafetensorError, AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: the file must be of safetensors, got {reprlib.repr(data)} ({error})") from error
    state, constants = frontend.state_dict(), constants_of(frontend)
    needed = state.keys() | required_constants(frontend)
    _check_names(file, "tensors", state.keys() | constants.keys(), tensors.keys() | (constants.keys() - needed))
    if missing := needed - tensors.keys():
        refuse(file, "tensors", f"have {sorted(missing)}", sorted(tensors))
    blanks: dict[str, Tensor] = {**state}
    blanks |= {key: torch.from_numpy(own[name]) for key, (own, name) in constants.items()}
    for name, tensor in tensors.items():
        blank = blanks[name]
        if tensor.shape != blank.shape:
            refuse(file, name, f"have shape {tuple(blank.shape)}", tuple(tensor.shape))
        if tensor.dtype != blank.dtype and not ({tensor.dtype, blank.dtype} <= FLOATS and name in state):
            refuse(file, name, f"be of a type like {blank.dtype}", tensor.dtype)
        if not tensor.isfinite().all():
            refuse(file, name, "be finite", tensor[~tensor.isfinite()].tolist())
    try:
        frontend.load_state_dict({name: tensors[name] for name in state}, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{file}: {error}") from error
    for key in tensors.keys() - state.keys():
        own, name = constants[key]
        own[name] = tensors[key].numpy()
