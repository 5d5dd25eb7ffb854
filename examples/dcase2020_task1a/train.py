"""Train and test a classifier of acoustic scenes on DCASE 2020 task 1A: ``train.py fit --data.root FOLDER``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _environment  # noqa: F401
from recipes.cli import main

if __name__ == "__main__":
    main(Path(__file__).parent)
