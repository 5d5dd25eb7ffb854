"""Save a front-end as a readable configuration and its tensors; load it, share it. Needs the extra ``[hub]``."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import re
import reprlib
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from learnable_frontends import (
    PCEN,
    CosGaussFilterbank,
    Decibels,
    Filterbank,
    Frontend,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
    __version__,
)
from learnable_frontends.frontend import INITIAL

try:
    from huggingface_hub import HfApi, snapshot_download
    from safetensors import SafetensorError
    from safetensors.torch import load, save
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'learnable_frontends.pretrained needs huggingface_hub and safetensors: pip install "learnable-frontends[hub]"'
    ) from error

__all__ = ["from_pretrained", "push_to_hub", "register", "save_pretrained"]

CONFIG, TENSORS, CARD = "config.json", "model.safetensors", "README.md"
# A new setting of a class, or another meaning of one, raises the version and gets a step here: from the version that
# is its key to the next one, a function from the whole configuration to the whole configuration.
FORMAT_VERSION = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
KEYS = {"format_version", "package_version", "class", "settings", "frozen", "fixed_parameters", "tensors_sha256"}
# What a file can make this program hold: the product of these settings is at most that.
LARGEST = 2**25
SIDES = (
    ("sample_rate",),
    ("n_filters", "n_fft"),
    ("n_filters", "kernel_size"),
    ("n_filters", "win_length"),
    ("n_heads", "hidden", "context"),
)
DEEPEST = 16  # configurations in each other
MARGIN = 2**20  # bytes of a configuration, and of the header of a file of tensors
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}

Module = TypeVar("Module", bound=type[nn.Module])
Read = Callable[[Path, int], bytes]


def _attributes(*names: str, of: str = "") -> dict[str, Callable[[Any], Any]]:
    return {name: attrgetter(of + name) for name in names}


def _width(bank: CosGaussFilterbank) -> Any:
    return bank.fixed_widths if bank.width is None else bank.width


_BANK = _attributes(
    *("sample_rate", "n_filters", "win_length", "hop_length", "f_min", "f_max", "center", "pad_mode", "compression")
)
_KERNELS = _BANK | _attributes("kernel_size", "padding", "gain")
_HEADS = _attributes("n_heads", "context", "hidden", "split", "first_layer", "gate", "skip", of="relevance.")
# For each class the arguments of its constructor, and how they are read from a module. What is not here is in tensors.
SETTINGS: dict[type[nn.Module], dict[str, Callable[[Any], Any]]] = {
    CosGaussFilterbank: _KERNELS | {"width": _width, "learn_width": lambda bank: bank.raw_width is not None},
    SincFilterbank: _KERNELS,
    MelFrontend: _BANK | _attributes("n_fft", "power", "norm", "mel_scale"),
    MultiHeadRelevance: _attributes("frontend") | _HEADS,
    Log: _attributes("offset") | {"learn": lambda log: log.log_offset is not None},
    Decibels: _attributes("ref", "amin", "top_db"),
    PCEN: _attributes("n_filters", "eps"),  # what does not learn is in fixed_parameters
    nn.Identity: {},
}
OWN = tuple(SETTINGS)
# Arguments that are given these values instead: their effect is in tensors, which are filled in afterwards. The window
# of ones shows where a family puts the samples of its window in a longer frame.
STAND_INS: dict[str, Any] = {"window": torch.ones, "init": "linear"}


def register(cls: Module, settings: Sequence[str] | None = None) -> Module:
    """Let front-ends or compressions of a class from outside the package be saved and loaded.

    Call it once after the class is defined, in the program that saves and in the one that loads; as a decorator it does
    so. Settings are arguments of the constructor that the module keeps as attributes of the same name: numbers, names
    and flags, lists of them, or modules of known classes. ``window`` and ``init`` need no attribute, their effect is in
    the tensors.

    Args:
        cls: A class of modules; its name, without that of its module, is what a file says.
        settings: Names of its settings; ``None`` means all arguments of the constructor but ``window`` and ``init``.
            Name them if some argument only sets the first value of a parameter.

    Returns:
        The class itself.

    Raises:
        TypeError: If ``cls`` is not a class of modules.
        ValueError: If another class has its name, ``settings`` are not arguments of its constructor, or an argument
            without a default is not among them.

    Example:
        >>> @register
        ... class NarrowFilterbank(CosGaussFilterbank):
        ...     def __init__(self, sample_rate, n_filters=40, *, f_max=None, window=torch.hann_window):
        ...         super().__init__(sample_rate, n_filters, f_max=f_max, window=window, width=10.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(NarrowFilterbank(16000), folder)
        ...     from_pretrained(folder).width
        10.0
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"cls must be a class of modules, got {cls!r}")
    again = [other for other in SETTINGS if other.__name__ == cls.__name__]  # defined anew in a notebook
    for other in again:
        if other in OWN or (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"cls must have a name of its own, got {cls.__name__}, which {other!r} has")
    arguments = inspect.signature(cls).parameters
    named = [name for name, a in arguments.items() if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
    if settings is None:
        if len(named) < len(arguments):
            raise ValueError(f"settings must be given for {cls.__name__}, whose constructor takes any, got None")
        settings = [name for name in named if name not in STAND_INS]
    elif len(named) == len(arguments) and not set(settings) <= set(named):
        raise ValueError(f"settings must be arguments of {cls.__name__}, {named}, got {list(settings)}")
    needed = {name for name in named if arguments[name].default is inspect.Parameter.empty} - STAND_INS.keys()
    if missing := needed - set(settings):
        raise ValueError(f"settings must have {sorted(missing)}, which {cls.__name__} needs, got {list(settings)}")
    for other in again:
        del SETTINGS[other]
    inherited = {name: read for base in reversed(cls.__mro__) for name, read in SETTINGS.get(base, {}).items()}
    SETTINGS[cls] = {name: inherited.get(name, attrgetter(name)) for name in settings}
    return cls


def save_pretrained(frontend: Frontend, folder: str | os.PathLike[str]) -> None:
    """Save a front-end into a folder: ``config.json`` and ``model.safetensors``.

    The configuration has the settings of the constructor, in Hz and samples. The tensors are the state dict and what
    the constructor cannot be told: the samples of the frame window, the first values of filters, from which
    `learnable_frontends.movement.movement` counts, and constants of another type than float32. Before a file is
    written, the front-end is loaded from what would be in it and compared.

    Each file is replaced as a whole, and the configuration, which is written last, knows the checksum of the tensors:
    a folder in which saving was cut off does not load.

    Args:
        frontend: A front-end of the package, or of a class that was given to `register`; on any device.
        folder: Where to; made if it is not there.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or it or a module in it is of a class that is not known.
        ValueError: If it would not load as it is: a setting or parameter is not finite, or it has other tensors than
            its constructor makes.

    Example:
        >>> bank = CosGaussFilterbank(16000, n_filters=40)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(bank, folder)
        ...     sorted(os.listdir(folder))
        ['config.json', 'model.safetensors']
    """
    _write(Path(folder), _contents(frontend, Path(folder)))


def from_pretrained(
    folder_or_repo_id: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Frontend:
    """Load a front-end from a folder, or from a repository on the Hugging Face Hub.

    It has the settings, parameters and first values of the one that was saved, and on the same machine its output bit
    for bit. Filters that did not ask for gradients do not, and a frozen front-end is frozen. It is on the CPU and in
    training mode, as every new module; nothing in this package depends on the mode. A transform that was chosen with
    `set_transform` is not kept.

    Nothing in the files is executed or imported: classes are looked up by name among those of this package and those
    given to `register`, and files that break a rule are refused. What the tensors make of sounds is up to who made
    them; name a commit as ``revision`` to get what you have looked at.

    Args:
        folder_or_repo_id: A folder; or ``"owner/name"``, unless there is a folder of that name.
        revision: Branch, tag or commit of the repository; ``None`` means its main branch.
        token: For private repositories; ``None`` means the one that is logged in.
        cache_dir: Where downloads are kept; ``None`` means the cache of ``huggingface_hub``.
        local_files_only: Whether to load only what is there already.

    Returns:
        The front-end.

    Raises:
        FileNotFoundError: If there is no such folder, or a file is not in it.
        ValueError: If ``revision`` is given for a folder, or a file breaks a rule: the message has the file, the rule
            and the value.

    Example:
        >>> bank = MultiHeadRelevance(CosGaussFilterbank(16000, n_filters=40), n_heads=2)
        >>> waveform = torch.randn(16000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(bank, folder)
        ...     torch.equal(from_pretrained(folder)(waveform), bank(waveform))
        True
    """
    folder = Path(folder_or_repo_id)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision must be None for a folder, got {revision!r} ({folder})")
    elif isinstance(folder_or_repo_id, str) and _is_repo_id(folder_or_repo_id):
        downloaded = snapshot_download(
            folder_or_repo_id,
            revision=revision,
            token=token,
            cache_dir=None if cache_dir is None else Path(cache_dir),
            local_files_only=local_files_only,
            allow_patterns=[CONFIG, TENSORS],
        )
        folder = Path(str(downloaded))
    else:
        raise FileNotFoundError(
            f"folder_or_repo_id must be a folder or 'owner/name' on the Hub, got {str(folder_or_repo_id)!r}"
        )
    return _restore(folder, _read)


def push_to_hub(
    frontend: Frontend,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    card: bool = True,
    commit_message: str = "Save a front-end",
) -> str:
    """Save a front-end into a repository on the Hugging Face Hub, in one commit; the repository is made if need be.

    Args:
        frontend: As for `save_pretrained`.
        repo_id: ``"owner/name"``.
        private: Whether a new repository is private; ``None`` means the owner's default.
        revision: Branch; ``None`` means the main one.
        token: ``None`` means the one that is logged in.
        card: Whether to write ``README.md`` too, with the settings and the line that loads it; it replaces the one
            that is there.
        commit_message: First line of the commit.

    Returns:
        The commit, which `from_pretrained` takes as ``revision``.

    Raises:
        TypeError: As `save_pretrained`.
        ValueError: As `save_pretrained`, or if ``repo_id`` is not of that form.

    Example:
        >>> commit = push_to_hub(frontend, "owner/name")  # doctest: +SKIP
        >>> frontend = from_pretrained("owner/name", revision=commit)  # doctest: +SKIP
        >>> push_to_hub(CosGaussFilterbank(16000), "name")
        Traceback (most recent call last):
        ValueError: repo_id must be 'owner/name', got 'name'
    """
    if not _is_repo_id(repo_id):
        raise ValueError(f"repo_id must be 'owner/name', got {repo_id!r}")
    files = _contents(frontend, Path(repo_id))
    if card:
        files[CARD] = _card(_describe(frontend), repo_id).encode()
    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), files)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=commit_message,
            allow_patterns=list(files),
        )
    return str(commit.oid)


def _is_repo_id(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text, re.ASCII) is not None


def _refuse(file: Path, name: str, rule: str, value: object, hint: str = "") -> NoReturn:
    raise ValueError(f"{file}: {name} must {rule}, got {reprlib.repr(value)}" + (f" ({hint})" if hint else ""))


# From a front-end to files.


def _contents(frontend: Frontend, folder: Path) -> dict[str, bytes]:
    """Bytes of the two files; they have been loaded, and gave the same front-end."""
    if not isinstance(frontend, Frontend):
        raise TypeError(f"frontend must be a Frontend such as CosGaussFilterbank, got {type(frontend).__name__}")
    described = _describe(frontend)
    with warnings.catch_warnings(), _plain_defaults():
        warnings.simplefilter("ignore")  # the constructor has warned before
        data = save(_to_store(frontend, _make(described, folder / CONFIG)), {"format": "pt"})
        config = {
            "format_version": FORMAT_VERSION,
            "package_version": __version__,
            **described,
            "frozen": frontend.is_frozen,
            "fixed_parameters": [name for name, p in frontend.named_parameters() if not p.requires_grad],
            "tensors_sha256": hashlib.sha256(data).hexdigest(),
        }
        files = {TENSORS: data, CONFIG: (json.dumps(config, indent=2) + "\n").encode()}
        loaded = _restore(folder, lambda file, _: files[file.name])
    if (again := _describe(loaded)) != described:
        raise ValueError(f"frontend must keep its settings when it is made again, got {described} and then {again}")
    return files


def _describe(module: nn.Module) -> dict[str, Any]:
    """Class and settings of a module, as they are in the configuration."""
    cls = type(module)
    if cls not in SETTINGS:
        raise TypeError(
            f"frontend must be made of known classes to be saved, got {cls.__name__} (make it known by "
            f"learnable_frontends.pretrained.register({cls.__name__}), here and where it is loaded)"
        )
    settings = {}
    for name, read in SETTINGS[cls].items():
        try:
            settings[name] = _plain(name, read(module))
        except AttributeError as error:
            raise TypeError(f"{cls.__name__} must keep its setting {name!r} as an attribute, got {error}") from error
    return {"class": cls.__name__, "settings": settings}


def _plain(name: str, value: Any) -> Any:
    """Value of a setting as JSON has it."""
    if isinstance(value, nn.Module):
        return _describe(value)
    if hasattr(value, "tolist"):  # of torch and NumPy
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Real) and math.isfinite(value):
        return int(value) if isinstance(value, Integral) else float(value)
    raise ValueError(f"{name} must be a finite number, a name, a flag or a list of them to be saved, got {value!r}")


def _to_store(frontend: nn.Module, made: nn.Module) -> dict[str, Tensor]:
    """Tensors of a front-end that one just made from its settings does not have."""
    held, blanks, insides = _held(frontend), _held(made), _insides(made)
    odd = {name for name, blank in blanks.items() if name not in held or held[name].shape != blank.shape}
    odd |= frontend.state_dict().keys() ^ made.state_dict().keys()
    if odd:
        raise ValueError(f"frontend must have the tensors that its settings make, got others: {sorted(odd)}")
    required, tensors = _required(made), {}
    for name, blank in blanks.items():
        tensor = held[name].detach().cpu()
        if name in insides:
            tensors[name] = tensor[insides[name]]
        elif name in required or tensor.dtype != blank.dtype or not tensor.equal(blank):
            tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
    return tensors


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as staged:
        for name, content in files.items():
            (Path(staged) / name).write_bytes(content)
        for name in sorted(files, key=lambda name: name == CONFIG):  # the configuration last
            os.replace(Path(staged) / name, folder / name)


def _card(described: dict[str, Any], repo_id: str) -> str:
    rows = list(_rows(described))
    foreign = sorted({value for _, value in rows} & {cls.__name__ for cls in SETTINGS if cls not in OWN})
    hint = "".join(f"\nFirst define `{name}` and call `register({name})` of the same module.\n" for name in foreign)
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""---
library_name: learnable-frontends
tags:
- audio
- learnable-frontends
---

# {described["class"]}

An audio front-end: waveforms `(..., time)` in, features `(..., n_filters, frames)` out. Saved by learnable-frontends
{__version__}, `pip install "learnable-frontends[hub]"`.

```python
from learnable_frontends.pretrained import from_pretrained

frontend = from_pretrained("{repo_id}")
```
{hint}
Frequencies are in Hz, lengths in samples.

| setting | value |
|---|---|
{table}
"""


def _rows(described: dict[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    yield name or "class", described["class"]
    for key, value in described["settings"].items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            yield from _rows(value, path)
        else:
            long = isinstance(value, list) and len(value) > 8
            yield path, f"{len(value)}, one each" if long else json.dumps(value).replace("|", "\\|")


# From files to a front-end.


def _restore(folder: Path, read: Read) -> Frontend:
    """Make the front-end of two files, which ``read`` gives by path, at most so many bytes and one more."""
    file = folder / CONFIG
    config = _parse(_limited(read, file, MARGIN), file)
    with _plain_defaults():
        frontend = _make({key: config[key] for key in ("class", "settings")}, file)
        if not isinstance(frontend, Frontend):
            _refuse(file, "class", "be that of a front-end", config["class"])
        size = 8 * sum(tensor.numel() for tensor in _held(frontend).values())
        data = _limited(read, folder / TENSORS, size + MARGIN)
        if (checksum := hashlib.sha256(data).hexdigest()) != config["tensors_sha256"]:
            hint = "saving was cut off, or a file was changed or not downloaded; save it again"
            _refuse(folder / TENSORS, "SHA-256", f"be {config['tensors_sha256']!r}, as in {CONFIG}", checksum, hint)
        _fill(frontend, data, folder / TENSORS)
        if config["frozen"]:
            frontend.freeze()
    fixed, parameters = set(config["fixed_parameters"]), dict(frontend.named_parameters())
    if unknown := fixed - parameters.keys():
        _refuse(file, "fixed_parameters", f"be among {sorted(parameters)}", sorted(unknown))
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
    """Check the configuration but for class and settings, and bring it to the version of today."""
    try:
        config = json.loads(text.decode(), parse_constant=_number, parse_float=_number, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: the text must be JSON, got {reprlib.repr(text)} ({error})") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if type(version) is not int or version < 1:
        _refuse(file, "format_version", "be a positive whole number", version, "is this a front-end's configuration?")
    if version > FORMAT_VERSION:
        hint = f"saved by version {config.get('package_version')}; pip install --upgrade learnable-frontends"
        _refuse(file, "format_version", f"be at most {FORMAT_VERSION} for version {__version__}", version, hint)
    for older in range(version, FORMAT_VERSION):
        config = UPGRADES[older](config)
    _check_names(file, "the keys", KEYS, config)
    for key, kind in (("frozen", bool), ("fixed_parameters", list), ("tensors_sha256", str)):
        if not isinstance(config[key], kind):
            _refuse(file, key, f"be of type {kind.__name__}", config[key])
    if not all(isinstance(name, str) for name in config["fixed_parameters"]):
        _refuse(file, "fixed_parameters", "be names", config["fixed_parameters"])
    return dict(config)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"numbers must be finite, got {text[:20]}")
    return int(text) if text.lstrip("-").isdigit() else value


def _check_names(file: Path, what: str, expected: Collection[str], given: Collection[str]) -> None:
    if unknown := set(given) - set(expected):
        _refuse(file, what, f"be among {sorted(expected)}", sorted(unknown))
    if missing := set(expected) - set(given):
        _refuse(file, what, f"have {sorted(missing)}", sorted(given))


def _make(described: Any, file: Path, depth: int = 1) -> nn.Module:
    """Construct what a configuration describes. Only classes of the table are called, by keywords of the table."""
    if depth > DEEPEST:
        raise ValueError(f"{file}: settings must be at most {DEEPEST} modules deep, got more")
    if not isinstance(described, dict) or described.keys() != {"class", "settings"}:
        _refuse(file, "a module", "be given by 'class' and 'settings'", described)
    name, settings = described["class"], described["settings"]
    known = {cls.__name__: cls for cls in SETTINGS}
    if not isinstance(name, str) or name not in known:
        hint = "nothing is imported by name: define a class of your own and register it before loading"
        _refuse(file, "class", f"be one of {sorted(known)}", name, hint)
    if not isinstance(settings, dict):
        _refuse(file, f"settings of {name}", "be named", settings)
    cls = known[name]
    _check_names(file, f"settings of {name}", SETTINGS[cls], settings)
    for sides in SIDES:
        values = [settings[side] for side in sides if isinstance(settings.get(side), (int, float))]
        if math.prod(max(1.0, abs(float(value))) for value in values) > LARGEST:
            _refuse(file, " * ".join(sides), f"be at most {LARGEST}", values)
    arguments = {
        key: _make(value, file, depth + 1) if isinstance(value, dict) else value for key, value in settings.items()
    }
    taken = inspect.signature(cls).parameters.keys() - settings.keys()
    arguments |= {key: value for key, value in STAND_INS.items() if key in taken}
    try:
        module = cls(**arguments)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ValueError(f"{file}: settings of {name} must be those of its constructor: {error}") from error
    for key, read in SETTINGS[cls].items():  # what it takes for a flag or a whole number may be neither
        value, kept = settings[key], _plain(key, read(module))
        if not _is_kept(value, kept):
            _refuse(file, f"{key} of {name}", f"be what the constructor makes of it, {kept!r}", value)
    return module


def _is_kept(value: Any, kept: Any) -> bool:
    if isinstance(value, dict) and isinstance(kept, dict):  # a module, whose settings have been looked at
        return bool(value["class"] == kept["class"])
    if isinstance(value, list) and isinstance(kept, list):  # numbers, rounded to float32 here
        return len(value) == len(kept)
    return bool(value == kept)


def _fill(frontend: nn.Module, data: bytes, file: Path) -> None:
    """Put the tensors of a file into a front-end that was made from its settings."""
    try:
        tensors = {name: tensor.clone() for name, tensor in load(data).items()}
    except (SafetensorError, AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: the file must be of safetensors, got {reprlib.repr(data)} ({error})") from error
    blanks, insides, state = _held(frontend), _insides(frontend), frontend.state_dict()
    _check_names(file, "tensors", blanks, tensors.keys() | (blanks.keys() - _required(frontend)))
    for name, tensor in tensors.items():
        blank = blanks[name][insides[name]] if name in insides else blanks[name]
        if tensor.shape != blank.shape:
            _refuse(file, name, f"have shape {tuple(blank.shape)}", tuple(tensor.shape))
        if tensor.dtype != blank.dtype and not {tensor.dtype, blank.dtype} <= FLOATS:
            _refuse(file, name, f"be of a type like {blank.dtype}", tensor.dtype)
        if not tensor.isfinite().all():
            _refuse(file, name, "be finite", tensor[~tensor.isfinite()].tolist())
    frontend.load_state_dict({name: tensors[name] for name in state}, assign=True)
    for name in tensors.keys() - state.keys():
        owner, _, leaf = name.rpartition(".")
        tensor = tensors[name]
        if name in insides:
            tensor = tensor.new_zeros(blanks[name].shape).masked_scatter(insides[name], tensor)
        setattr(frontend.get_submodule(owner), leaf, tensor)


def _held(frontend: nn.Module) -> dict[str, Tensor]:
    """Tensors of a front-end by name: its state, and constants that are not in its state dict.

    Buffers that a constructor leaves empty are for what is computed of the others later, as `Frontend.freeze` does.
    """
    buffers = frontend.named_buffers(remove_duplicate=False)
    return {**{name: buffer for name, buffer in buffers if buffer.numel()}, **frontend.state_dict()}


def _insides(made: nn.Module) -> dict[str, Tensor]:
    """Where in longer frames the window's samples are, for each window of a front-end made with windows of ones."""
    modules = ((name, module) for name, module in made.named_modules() if isinstance(module, Filterbank))
    return {f"{name}.window" if name else "window": module.window != 0 for name, module in modules}


def _required(made: nn.Module) -> set[str]:
    first = {name for name in _held(made) if name.rpartition(".")[2].startswith(INITIAL)}
    return first | made.state_dict().keys() | _insides(made).keys()


@contextmanager
def _plain_defaults() -> Iterator[None]:
    """Modules are made in float32 on the CPU, whatever the defaults, and leave random numbers alone."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
