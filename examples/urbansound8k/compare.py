"""The paper's second experiment: UrbanSound8K on its ten official folds, every front-end, and the tables."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _environment  # noqa: F401
from recipes import cross_validation

if __name__ == "__main__":
    sys.exit(cross_validation.main(Path(__file__).parent, [str(fold) for fold in range(1, 11)]))
