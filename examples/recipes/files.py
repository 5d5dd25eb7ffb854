"""Files that are written whole or not at all, whatever is killed meanwhile."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

PREDICTIONS = "predictions.csv"  # in a run's folder, written last: there when the run is finished


def write_whole(path: Path, text: str) -> None:
    """Write a text under another name, and rename it."""
    temporary = path.with_suffix(f".{secrets.token_hex(4)}.part")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def write_table(path: Path, lines: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    """Write lines of cells, the head first, by `write_whole`."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    write_whole(path, text.getvalue())
