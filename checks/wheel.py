"""Install a built wheel alone, and run the examples of a text with it: ``python -m checks.wheel WHEEL README.md``.

The new environment has the wheel and, as links, the installed distributions that it declares and those that these
declare, so that a dependency that is not declared is missing there, and nothing is downloaded.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_RUN = """
import doctest, pathlib, sys
import learnable_frontends
assert pathlib.Path(learnable_frontends.__file__).is_relative_to(sys.prefix), learnable_frontends.__file__
flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
failed, attempted = doctest.testfile(sys.argv[1], module_relative=False, optionflags=flags)
print(f"{attempted - failed} of {attempted} examples of {sys.argv[1]} pass with {learnable_frontends.__file__}")
sys.exit(failed > 0 or attempted == 0)
"""


def declared(requires: Iterable[str], extras: set[str]) -> Iterator[tuple[str, set[str]]]:
    """Yield name and extras of each requirement that holds here, in an environment with ``extras``."""
    for line in requires:
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield canonicalize_name(requirement.name), requirement.extras


def closure(wheel: Distribution, extras: set[str]) -> list[Distribution]:
    """Return the distributions installed here that ``wheel`` with ``extras`` needs, directly or not, without itself."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = list(declared(wheel.requires or [], extras))
    while queue:
        name, wanted = queue.pop()
        if (name, frozenset(wanted)) not in seen and name != canonicalize_name(wheel.name):
            seen.add((name, frozenset(wanted)))
            found[name] = distribution(name)
            queue += declared(found[name].requires or [], wanted)
    return list(found.values())


def make_environment(folder: Path, wheel: Path, extras: set[str]) -> Path:
    """Make an environment in ``folder`` with ``wheel`` and what it declares, and return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    python = Path(sysconfig.get_path("scripts", "venv", vars=scheme), "python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    (installed,) = distributions(path=[str(packages)])
    for needed in closure(installed, extras):
        for name in {path.parts[0] for path in needed.files or [] if path.parts[0] not in ("..", "__pycache__")}:
            link = packages / name
            if not link.exists():
                link.symlink_to(Path(str(needed.locate_file(name))).resolve())
    return python


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the examples of texts with an installed wheel, and return 1 if one fails or there are none."""
    parser = argparse.ArgumentParser(prog="python -m checks.wheel", description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("texts", type=Path, nargs="+", metavar="TEXT", help="Markdown with examples")
    parser.add_argument("--extras", nargs="*", default=["plot"], help="extras of the package that the texts use")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        python = make_environment(Path(folder), options.wheel, set(options.extras))
        command = [str(python), "-I", "-c", _RUN]  # isolated: it does not see this checkout
        codes = [
            subprocess.run([*command, str(text.resolve())], cwd=folder, check=False).returncode
            for text in options.texts
        ]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
