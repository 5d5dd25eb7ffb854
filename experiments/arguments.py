"""The parser of command lines, and the numbers that it checks before anything starts."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from typing import Any


class _OneLineEach(argparse.RawDescriptionHelpFormatter):
    """Help with a line for each option where it fits, and no options in the first line."""

    def __init__(self, prog: str) -> None:
        super().__init__(f"{prog} [options]", max_help_position=30, width=118)

    def add_usage(self, usage: Any, actions: Iterable[argparse.Action], groups: Any, prefix: Any = None) -> None:
        super().add_usage(usage, [action for action in actions if not action.option_strings], groups, prefix)


def make_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of ``python -m <program>``, whose help keeps the lines of the description."""
    return argparse.ArgumentParser(f"python -m {program}", description=description, formatter_class=_OneLineEach)


def positive_int(text: str) -> int:
    """Read a whole number of 1 or more."""
    return _whole(text, 1)


def not_negative_int(text: str) -> int:
    """Read a whole number of 0 or more."""
    return _whole(text, 0)


def positive(text: str) -> float:
    """Read a positive, finite number."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be positive and finite, got {text}")
    return value


def not_negative(text: str) -> float:
    """Read a number of 0 or more, finite."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 or more and finite, got {text}")
    return value


def _whole(text: str, least: int) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
    return value
