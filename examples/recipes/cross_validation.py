"""Train every front-end on every fold through a recipe's own entry point, then write the tables and draw the figures.

Each run is a process of its own with a folder of its own, OUT/FRONT-END/foldK. A run that is finished is not run again;
one that was killed goes on from its last epoch. So the same command, typed again, goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from recipes.files import PREDICTIONS
from recipes.report import Run, read_run, write_report
from recipes.settings import flatten


def main(recipe: Path, folds: Sequence[str], arguments: Sequence[str] | None = None) -> int:
    """Run the command line of a recipe and return its exit code.

    Args:
        recipe: Folder with ``train.py``, ``recipe.yaml`` and ``frontends/``.
        folds: The data set's folds, the default of ``--folds``.
        arguments: Command line; ``None`` means that of the process.
    """
    known = {path.stem: path for path in sorted((recipe / "frontends").glob("*.yaml"))}
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"What follows -- goes to {recipe.name}/train.py, the data's path for one: -- --data.root /data/set",
    )
    parser.add_argument("--out", type=Path, default=Path("runs", recipe.name), help="folder (default: %(default)s)")
    parser.add_argument("--folds", nargs="+", default=list(folds), help="folds to test on (default: all)")
    parser.add_argument("--frontends", nargs="+", choices=known, default=list(known), help="(default: all)")
    parser.add_argument("--config", nargs="+", type=Path, default=[], help="configurations on top of recipe.yaml")
    parser.add_argument("--sample_rate", type=int, help="of data and front-ends, in Hz (default: the recipe's)")
    parser.add_argument("overrides", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    runs: dict[str, list[Run]] = {}
    for fold in options.folds:  # fold by fold, so that all front-ends can be compared early
        for name in options.frontends:
            folder = options.out / name / f"fold{fold}"
            command = _command(recipe, known[name], fold, folder, options)
            record, line = folder / "command.txt", shlex.join(command[1:])
            finished = (folder / PREDICTIONS).exists()
            if finished and (not record.exists() or record.read_text(encoding="utf-8") != line):
                print(f"{parser.prog}: error: {folder} has a run of another command (another --out)", file=sys.stderr)
                return 2
            if not finished:
                print(f"== {name}, fold {fold}: {folder}", file=sys.stderr, flush=True)
                folder.mkdir(parents=True, exist_ok=True)
                record.write_text(line, encoding="utf-8")
                if code := subprocess.run(command, check=False).returncode:
                    print(f"{parser.prog}: error: {name}, fold {fold} ended with {code}: {line}", file=sys.stderr)
                    return code
            runs.setdefault(name, []).append(read_run(folder))
    print(write_report(runs, options.out))
    print(f"\n{options.out / 'results.md'}")
    from recipes import figures  # here: it loads slowly, and help and refusals need none of it

    for fold in options.folds:
        folders = [str(options.out / name / f"fold{fold}") for name in options.frontends]
        if code := figures.main([*folders, "--out", str(options.out / "figures" / f"fold{fold}")]):
            return code
    return 0


def _command(recipe: Path, frontend: Path, fold: str, folder: Path, options: argparse.Namespace) -> list[str]:
    configs = [frontend, *options.config]  # on top of recipe.yaml, which train.py reads by itself
    command = [sys.executable, str(recipe / "train.py"), "fit", *(f"--config={path}" for path in configs)]
    command += [f"--data.test_fold={fold}", f"--run_dir={folder}", *options.overrides]
    if options.sample_rate is not None:
        # A front-end with heads has its filterbank's inside.
        found = flatten(yaml.safe_load(frontend.read_text(encoding="utf-8")))
        paths = ["data.sample_rate", *(path for path in found if path.endswith(".sample_rate"))]
        command += [f"--{path}={options.sample_rate}" for path in paths]
    return command
