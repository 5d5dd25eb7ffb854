"""Train and test a classifier on UrbanSound8K: ``train.py fit --data.root FOLDER --data.test_fold 1``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _environment  # noqa: F401
from recipes.cli import main

if __name__ == "__main__":
    main(Path(__file__).parent)
