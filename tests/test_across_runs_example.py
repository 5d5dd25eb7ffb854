import csv
import json
import sys
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import across_runs
import levers

LINES = ["mel", "sinc", "mel, one normalization"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of other sizes; the second lacks a line."""
    folders = []
    for n_filters, names in ((4, LINES), (6, LINES[:2])):
        folder = tmp_path_factory.mktemp(f"filters-{n_filters}-")
        words = f"--out {folder} --limit 6 --seconds 0.5 --epochs 1 --folds 1 2 --n-filters {n_filters} --batch-size 8"
        assert levers.main([*words.split(), "--synthetic", "urban", "--seeds", "0", "1", "--variants", *names]) == 0
        folders.append(folder)
    return folders


def test_each_run_is_compared_and_all_together(runs, tmp_path, capsys):
    arguments = [*map(str, runs), "--variants", *LINES[1:], "--out", str(tmp_path)]
    assert across_runs.main(arguments) == 0
    assert "minus mel" in capsys.readouterr().out
    with (tmp_path / "across.csv").open(newline="") as file:
        rows = {(row["variant"], row["run"]): row for row in csv.DictReader(file)}
    expected = [("sinc", runs[0].name), ("sinc", runs[1].name), ("sinc", "all")]
    assert list(rows) == [*expected, ("mel, one normalization", runs[0].name), ("mel, one normalization", "all")]
    pairs = []
    for run in runs:
        cells = json.loads((run / "levers.json").read_text())["cells"]
        found = {(cell["variant"], cell["fold"], cell["seed"]): cell["accuracy"] for cell in cells}
        own = [(found["sinc", fold, seed], found["mel", fold, seed]) for fold in (1, 2) for seed in (0, 1)]
        row = rows["sinc", run.name]
        assert (row["cells"], row["sounds"]) == ("4", "urban")
        if row["difference"]:
            assert float(row["difference"]) == pytest.approx(sum(a - b for a, b in own) / 4)
        pairs += own
    both = rows["sinc", "all"]
    assert both["cells"] == "8"
    assert float(both["difference"]) == pytest.approx(sum(a - b for a, b in pairs) / 8)
    assert float(both["p"]) == pytest.approx(ttest_rel(*zip(*pairs, strict=True)).pvalue)
    assert (tmp_path / "across.md").read_text().startswith("| front-end | run |")
    assert (tmp_path / "across.png").stat().st_size > 5000


def test_what_cannot_be_compared_is_refused(runs, tmp_path, capsys):
    assert across_runs.main([str(tmp_path), "--variants", "sinc"]) == 2
    assert "cells has no finished cell" in capsys.readouterr().err
    assert across_runs.main([str(runs[1]), "--variants", LINES[2], "--reference", "mel"]) == 2
    assert capsys.readouterr().err == f"across_runs.py: no run has a finished cell of {LINES[2]}\n"
    assert across_runs.main([str(runs[0]), "--variants", "sinc", "--reference", "none"]) == 2
    assert "no run has a finished cell of none" in capsys.readouterr().err
