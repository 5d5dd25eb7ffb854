"""The paper's first experiment: DCASE 2020 task 1A on its official split, every front-end, and the tables."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _environment  # noqa: F401
from recipes import cross_validation

if __name__ == "__main__":
    sys.exit(cross_validation.main(Path(__file__).parent, ["test"]))
