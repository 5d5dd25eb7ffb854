"""Download a data set with soundata and check its files: ``python -m experiments.data.download urbansound8k ROOT``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.files import BadDataError, command

# Names in soundata. The second is the development and the evaluation set, 50 GB; the first has 6 GB.
SETS = {"urbansound8k": "urbansound8k", "dcase2020_task1a": "tau2020uas_mobile"}


def download(dataset: str, root: Path) -> None:
    """Download a set, or what is not there of it, and compare its files with soundata's checksums.

    Args:
        dataset: A key of ``SETS``.
        root: Folder to download into.

    Raises:
        BadDataError: If files are missing or differ.
    """
    import soundata

    source = soundata.initialize(SETS[dataset], data_home=str(root))
    source.download()
    counts = [sum(map(len, found.values())) for found in source.validate()]
    if any(counts):
        raise BadDataError(f"{root} misses {counts[0]} files of {dataset}, and {counts[1]} differ from their checksums")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=SETS, help="urbansound8k has 6 GB, dcase2020_task1a 50 GB")
    parser.add_argument("root", type=Path, help="folder to download into")
    options = parser.parse_args(arguments)
    return command(lambda: download(options.dataset, options.root), "experiments.data.download")


if __name__ == "__main__":
    sys.exit(main())
