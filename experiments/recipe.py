"""Reproduce one of the paper's two experiments, UrbanSound8K or DCASE 2020 task 1A: a grid of front-ends and folds.

A recipe is a folder in experiments/recipes, with recipe.yaml and a file for each front-end. Its runs, tables and
figures go to --out. Run the command again to resume it: finished runs are not repeated, and an interruption costs one
epoch at most. --set changes any setting, for example: --set trainer.max_epochs=2 model.segment_frames=20
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from experiments.arguments import make_parser, not_negative_int, positive_int
from experiments.data.store import open_store
from experiments.files import BadDataError, check_among, check_folder, command
from experiments.grid import Variant, make_runs, merge, run_grid
from experiments.runs import flatten

RECIPES = Path(__file__).parent / "recipes"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a recipe; see the module's docstring and ``--help``."""
    parser = make_parser("experiments.recipe", __doc__)
    parser.add_argument("recipe", choices=sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml")))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, help="output folder (default: runs/RECIPE)")
    parser.add_argument("--cache", type=Path, help="folder of decoded clips (default: runs/cache/RECIPE)")
    parser.add_argument("--folds", nargs="+", help="folds to test on (default: all)")
    parser.add_argument("--seeds", type=not_negative_int, nargs="+", default=[0], help="one run for each (default: 0)")
    parser.add_argument(
        "--frontends", nargs="+", metavar="NAME", help="names in recipes/RECIPE/frontends (default: all)"
    )
    parser.add_argument("--config", nargs="+", type=Path, default=[], help="YAML files that override the recipe")
    parser.add_argument("--sample-rate", type=positive_int, help="Hz, for data and front-ends (default: the recipe's)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings that override all others")
    parser.add_argument("--jobs", type=positive_int, default=1, help="runs at the same time (default: %(default)s)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler, whose workers do the runs")
    args = parser.parse_args(argv)
    return command(lambda: _work(args), "experiments.recipe")


def _work(args: argparse.Namespace) -> None:
    folder, out = RECIPES / args.recipe, args.out or Path("runs", args.recipe)
    check_folder("--out", out)
    known = {path.stem: path for path in sorted((folder / "frontends").glob("*.yaml"))}
    check_among("--frontends", args.frontends or [], list(known))
    base = read_settings(folder / "recipe.yaml")
    for name in ("seed_everything", "run_dir"):  # each run's own
        base.pop(name, None)
    cache = {} if args.cache is None else {"cache": str(args.cache)}
    over: dict[str, Any] = {"data": {"root": str(args.data), **cache}}
    for path in args.config:
        over = merge(over, read_settings(path))
    for text in args.set:
        over = merge(over, _setting(text))
    if args.sample_rate is not None:
        over = merge(over, {"data": {"sample_rate": args.sample_rate}})

    def settings(name: str, *_: object) -> dict[str, Any]:
        found = merge(read_settings(known[name]), over)
        if args.sample_rate is not None:  # a front-end with heads has its filterbank's inside
            for path in flatten(merge(base, found)):
                if path.startswith("model.") and path.endswith(".sample_rate"):
                    found = merge(found, _setting(f"{path}={args.sample_rate}"))
        return found

    names = args.frontends or list(known)
    store = open_store(merge(base, settings(names[0], 0))["data"])
    folds = args.folds or (["test"] if "test" in store.catalog.folds else store.catalog.folds)
    check_among("--folds", folds, store.catalog.folds)
    variants = [Variant(name, partial(settings, name)) for name in names]
    runs = make_runs(base, variants, folds, args.seeds, out)
    store.claim(out / "clips.csv")
    print("\n".join([*store.notes(), f"{len(store)} clips in {len(store.catalog.classes)} classes"]))
    results = run_grid(runs, out / "clips.csv", jobs=args.jobs, cluster=args.cluster)
    from experiments.paper_figures import draw  # here: it loads slowly, and refusals need none of it
    from experiments.reporting import report_recipe

    for fold in folds:
        draw([r.folder for r in results if r.key[:2] == (fold, args.seeds[0])], out / "figures" / f"fold{fold}")
    print(report_recipe(results, out))


def read_settings(path: Path) -> dict[str, Any]:
    """Read settings from YAML.

    Raises:
        BadDataError: If the file cannot be read, or has something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadDataError(f"{path} cannot be read as YAML ({error})") from error
    if not isinstance(content, dict):
        raise BadDataError(f"{path} must have settings, NAME: VALUE, got {type(content).__name__}")
    return content


def _setting(text: str) -> dict[str, Any]:
    """Return ``a.b=c`` as nested settings; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise BadDataError(f"--set must be NAME=VALUE, got {text!r}")
    nested: Any = yaml.safe_load(value)
    for key in reversed(name.split(".")):
        nested = {key: nested}
    return dict(nested)


if __name__ == "__main__":
    sys.exit(main())
