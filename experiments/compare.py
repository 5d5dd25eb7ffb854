"""Train the same small classifier jointly with each of several front-ends, and compare them.

Without --data the sounds are synthetic: ten classes named after those of UrbanSound8K. With --data DIR each folder of
DIR is a class, and every sound file below it is a clip.

Everything goes to --out: results.md, .csv and .json, per_class.csv, confusion matrices, plots, and a folder for each
run with its front-end and network. Run the command again to resume it: finished runs are not repeated, and an
interruption costs one epoch at most.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from experiments.arguments import not_negative_int, positive_int
from experiments.frontends import ALL_NAMES, NAMES
from experiments.grid import Variant
from experiments.options import build_parser, conduct, model_settings
from experiments.reporting import report_comparison


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; see the module's docstring and ``--help``."""
    parser = build_parser(__doc__, "runs/compare")
    group = parser.add_argument_group("compared")
    group.add_argument(
        "--frontends", nargs="+", default=list(NAMES), choices=ALL_NAMES, metavar="NAME", help=", ".join(ALL_NAMES)
    )
    group.add_argument("--heads", type=positive_int, default=2, help="relevance heads (default: %(default)s)")
    group.add_argument(
        "--context", type=not_negative_int, default=10, help="frames read on each side (default: %(default)s)"
    )
    return conduct("experiments.compare", parser.parse_args(argv), _variants, report_comparison)


def _variants(args: argparse.Namespace, n_classes: int) -> list[Variant]:
    heads = {"n_heads": args.heads, "context": args.context}

    def settings(name: str, seed: int, _: str) -> dict[str, Any]:
        return {"model": model_settings(name, args, n_classes, seed, heads=heads)}

    return [Variant(name, partial(settings, name)) for name in args.frontends]


if __name__ == "__main__":
    sys.exit(main())
