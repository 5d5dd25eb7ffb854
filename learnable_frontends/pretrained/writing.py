"""Writing of front-ends to files: settings as a readable configuration, numbers as safetensors."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path

from safetensors.torch import save

from learnable_frontends import Frontend, __version__
from learnable_frontends.pretrained.reading import CONFIG, FORMAT_VERSION, TENSORS, make, restore
from learnable_frontends.pretrained.registry import describe
from learnable_frontends.pretrained.tensors import plain_defaults, tensors_to_store

__all__ = ["contents", "write_files"]


def contents(frontend: Frontend, folder: Path) -> dict[str, bytes]:
    """Return the bytes of the two files, after checking that the same front-end is loaded from them.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or of a class that is not known.
        ValueError: If it would not load unchanged.
    """
    if not isinstance(frontend, Frontend):
        raise TypeError(f"frontend must be a Frontend such as CosGaussFilterbank, got {type(frontend).__name__}")
    described = describe(frontend)
    with warnings.catch_warnings(), plain_defaults():
        warnings.simplefilter("ignore")  # the constructor has already warned
        data = save(tensors_to_store(frontend, make(described, folder / CONFIG)), {"format": "pt"})
        config = {
            "format_version": FORMAT_VERSION,
            "package_version": __version__,
            **described,
            "frozen": frontend.is_frozen,
            "fixed_parameters": [name for name, p in frontend.named_parameters() if not p.requires_grad],
            "tensors_sha256": hashlib.sha256(data).hexdigest(),
        }
        files = {TENSORS: data, CONFIG: (json.dumps(config, indent=2) + "\n").encode()}
        loaded = restore(folder, lambda file, _: files[file.name])
    if (again := describe(loaded)) != described:
        raise ValueError(f"frontend must keep its settings when it is made again, got {described} and then {again}")
    return files


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files to a folder, replacing each one as a whole, the configuration last."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as staged:
        for name, content in files.items():
            (Path(staged) / name).write_bytes(content)
        for name in sorted(files, key=lambda name: name == CONFIG):  # the configuration last
            os.replace(Path(staged) / name, folder / name)
