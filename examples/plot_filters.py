"""Plot where the filters of trained front-ends have moved, and print how far.

A CHECKPOINT is a folder of save_pretrained or train_on_folder.py, or a file of Lightning or torch.save with a state
dict. For files, give the class and the arguments used in training:

  plot_filters.py best.ckpt --frontend CosGaussFilterbank sample_rate=16000 n_filters=40
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

import learnable_frontends
from learnable_frontends import Frontend, MultiHeadRelevance
from learnable_frontends.analysis import movement
from learnable_frontends.plotting import plot_center_frequencies
from learnable_frontends.pretrained import from_pretrained


def parse(arguments: list[str]) -> dict[str, Any]:
    """Parse ``name=value``; a value that is not a Python literal is text."""
    parsed: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise ValueError(f"arguments must be name=value, got {argument} (put checkpoints first)")
        try:
            parsed[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parsed[name] = value
    return parsed


def tensors(content: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Find the tensors of nested dictionaries: ``state_dict.model.frontend.raw_center``, ..."""
    if isinstance(content, Tensor):
        yield name, content
    items = content.state_dict() if isinstance(content, nn.Module) else content
    for key, value in items.items() if isinstance(items, Mapping) else ():
        yield from tensors(value, f"{name}.{key}" if name else str(key))


def read(path: Path, trust: bool) -> dict[str, Tensor]:
    """Read the tensors of a file, except those of compressions, which do not move filters."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=not trust)
        return {name: value for name, value in tensors(content) if ".compression." not in f".{name}"}
    except Exception as error:  # arbitrary bytes raise arbitrary errors
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            hint = "--trust loads it, and runs what code the file names"
            raise ValueError(f"file has an object that is not a tensor: {found[1]} ({hint})") from error
        reason = f"{type(error).__name__}: {str(error).partition('. ')[0]}"
        raise ValueError(f"file must be one that torch.load reads, got {reason}") from error


def load(path: Path, options: argparse.Namespace) -> Frontend:
    """Load a front-end from a folder, or from the one prefix under which a file has exactly its keys."""
    if path.is_dir():
        return from_pretrained(path / "frontend" if (path / "frontend").is_dir() else path)
    state = read(path, options.trust)
    name, *arguments = options.frontend or ["none (a file needs it)"]
    kind = vars(learnable_frontends).get(name)
    if not (isinstance(kind, type) and issubclass(kind, Frontend)):
        raise ValueError(f"--frontend must name a class such as CosGaussFilterbank, got {name}")
    frontend = kind(**parse(arguments))
    if options.heads is not None:
        frontend = MultiHeadRelevance(frontend, **parse(options.heads))
    wanted = set(frontend.state_dict())
    starts = {name[: -len(key)] for name in state for key in wanted if f".{name}".endswith(f".{key}")}
    under = {start: {name[len(start) :] for name in state if name.startswith(start)} for start in sorted(starts)}
    exact = [start for start in under if under[start] == wanted and options.prefix in (None, start)]
    if len(exact) != 1:
        seen = "; ".join(f"'{start}' has {', '.join(sorted(keys)[:6])}" for start, keys in under.items())
        hint = "--prefix chooses one" if exact else "are --frontend and --heads those of the training?"
        raise ValueError(f"file must have {', '.join(sorted(wanted))} under one prefix, got {seen or 'none'} ({hint})")
    frontend.load_state_dict({key: state[exact[0] + key] for key in wanted})
    return frontend


def main() -> None:
    """Parse the command line, plot and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--frontend", nargs="+", metavar=("CLASS", "name=value"), help="class and arguments, for files")
    parser.add_argument("--heads", nargs="*", metavar="name=value", help="its relevance heads, such as n_heads=2")
    parser.add_argument("--prefix", help="prefix of the keys, if a file has several front-ends")
    parser.add_argument("--trust", action="store_true", help="unpickle any object in a file, which may run code")
    parser.add_argument("--out", type=Path, default=Path("filters.png"), help="plot to write (default: %(default)s)")
    options, frontends = parser.parse_args(), {}
    for path in options.checkpoints:
        try:
            frontends[str(path)] = load(path, options)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            parser.error(f"{path}: {' '.join(str(error).split())}")
    moved = {name: movement(frontend) for name, frontend in frontends.items()}
    fig, (top, bottom) = plt.subplots(2, figsize=(8, 9), layout="constrained")
    plot_center_frequencies(frontends, initial={name: move.initial for name, move in moved.items()}, ax=top)
    for line, (name, move) in zip(top.lines, moved.items(), strict=False):  # the dashed lines follow
        bottom.plot(move.initial, move.bandwidths, "o", color=line.get_color(), markersize=4)
        middle, far = move.hz.abs().median(), int(move.hz.abs().argmax())
        print(f"{name}: median move {middle:.1f} Hz, farthest {move.initial[far]:.0f} -> {move.current[far]:.0f} Hz")
    bottom.set(xscale="log", xlabel="initial center frequency (Hz)", ylabel="shift (own bandwidths)")
    bottom.axhline(0, color="black", linewidth=0.8)
    try:
        fig.savefig(options.out, dpi=120)
    except (OSError, ValueError) as error:
        parser.error(f"--out cannot be written: {error}")


if __name__ == "__main__":
    main()
