"""Download a data set with soundata, and check its files against its checksums."""

from __future__ import annotations

import argparse
from pathlib import Path


def main(name: str, description: str) -> bool:
    """Run the command line, and say whether files are missing or invalid.

    Args:
        name: Of the data set in soundata.
        description: For ``--help``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("root", type=Path, help="folder to download into")
    options = parser.parse_args()
    import soundata

    dataset = soundata.initialize(name, data_home=str(options.root))
    dataset.download()
    missing, invalid = dataset.validate()
    return any(missing.values()) or any(invalid.values())
