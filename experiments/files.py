"""Files that are written as a whole or not at all, and the exit of a command after an error."""

from __future__ import annotations

import csv
import io
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


class BadDataError(ValueError):
    """Input of an experiment that cannot be used: files, rows, folds, settings or results."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under another name in its folder, which is made, and rename it: a kill leaves the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_table(path: Path, lines: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    """Write lines of values, the head first, as CSV in UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    write_whole(path, text.getvalue())


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows that share their keys, in any order, as CSV."""
    write_table(path, [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)])


def read_table(path: Path, columns: Sequence[str], delimiter: str = ",") -> list[tuple[str, dict[str, str]]]:
    """Return the place, file and line, and the values of each row of a table.

    Raises:
        BadDataError: If the file is missing, is no CSV in UTF-8, or lacks one of the columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            found = reader.fieldnames or []
            rows = [(f"{path.name}, line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadDataError(f"{path} cannot be read: {error}") from error
    if missing := [name for name in columns if name not in found]:
        raise BadDataError(f"{path} must have the columns {', '.join(columns)}, got {', '.join(found)} (no {missing})")
    return [(place, {name: (row[name] or "").strip() for name in found}) for place, row in rows]


def shown(path: Path, root: Path) -> str:
    """Return the path from a root as text that every encoding of Unicode holds, bytes that are not UTF-8 escaped."""
    relative = Path(os.path.relpath(path, root))  # blind sets and copies lie beside the root
    return os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")


def check_folder(option: str, folder: Path) -> None:
    """Make a folder to write to, and see that it can be written to.

    Raises:
        BadDataError: If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ".writable", "")
        (folder / ".writable").unlink(missing_ok=True)  # another process may have looked too
    except OSError as error:
        raise BadDataError(f"{option} must be a folder to write to, got {folder} ({error.strerror})") from error


def check_different(what: str, values: Sequence[object]) -> None:
    """See that nothing is there twice: it would be counted twice.

    Raises:
        BadDataError: If something is.
    """
    if repeated := sorted({str(value) for value in values if list(values).count(value) > 1}):
        raise BadDataError(f"{what} must differ, got {', '.join(repeated)} more than once")


def check_among(what: str, values: Sequence[str], known: Sequence[str]) -> None:
    """See that all values are known.

    Raises:
        BadDataError: If one is not.
    """
    if missing := sorted(set(values) - set(known)):
        raise BadDataError(f"{what} must be among {', '.join(known)}, got {', '.join(missing)}")


def command(main: Callable[[], object], program: str) -> int:
    """Run the work of a command and return its exit status; what stops it is told in a line, not in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that is not UTF-8 lacks some characters
    try:
        main()
    except BadDataError as problem:
        print(f"{program}: error: {problem}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{program}: error: {where}{error.strerror or error} (the same command resumes)", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0
