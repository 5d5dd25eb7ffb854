"""Train one small classifier on top of each front-end, jointly, and compare: the main job of this package.

Without --data it makes its own sounds: ten synthetic classes named after UrbanSound8K's. With --data DIR it reads
DIR/<class>/<clip>.wav|flac|ogg; folds come from a leading digit of the file names, or are made.

Everything goes to --out: results.csv, results.json, per_class.csv and confusion matrices, the exact configuration,
pictures, a checkpoint per front-end, and the cells of the comparison. The same command run again goes on where it was
stopped: finished cells are not run again, and a kill costs one epoch at most.
"""

from __future__ import annotations

import argparse
import sys

import _environment  # noqa: F401 - before torch
import reporting
from experiment import Variant, build_parser, conduct
from frontends import ALL_NAMES, NAMES


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; see the module's docstring and ``--help``."""
    return conduct("compare_frontends.py", _parser().parse_args(argv), _variants, reporting.report)


def _parser() -> argparse.ArgumentParser:
    parser = build_parser(__doc__, "runs/compare")
    group = parser.add_argument_group("compared")
    group.add_argument(
        "--frontends", nargs="+", default=list(NAMES), choices=ALL_NAMES, metavar="NAME", help=", ".join(ALL_NAMES)
    )
    group.add_argument("--heads", type=int, default=2, help="relevance heads (default: %(default)s)")
    group.add_argument(
        "--context", type=int, default=10, help="frames a head reads on each side (default: %(default)s)"
    )
    return parser


def _variants(args: argparse.Namespace) -> list[Variant]:
    return [Variant(name, name, {"n_heads": args.heads, "context": args.context}) for name in args.frontends]


if __name__ == "__main__":
    sys.exit(main())
