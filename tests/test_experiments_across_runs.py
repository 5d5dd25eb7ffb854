import csv

import pytest
from made_runs import RATE, make_run, make_runs
from scipy.stats import ttest_rel

from experiments import across_runs
from learnable_frontends import MelFrontend

FEW = {"mel": [0.5, 0.6, 0.4], "sinc": [0.7, 0.5, 0.9], "gauss": [0.5, 0.4, 0.5]}
MANY = {"mel": [0.6, 0.7, 0.8], "sinc": [0.6, 0.9, 0.7]}


@pytest.fixture
def folders(tmp_path):
    """Experiments with other numbers of filters on the same clips; the second lacks a variant."""
    make_runs(tmp_path / "few", FEW, root="/sounds/urban")
    make_runs(tmp_path / "many", MANY, root="/sounds/urban", frontend=MelFrontend(RATE, 6))
    return [tmp_path / "few", tmp_path / "many"]


def test_each_experiment_is_compared_and_all_together(folders, tmp_path, capsys):
    arguments = [*map(str, folders), "--variants", "sinc", "gauss", "--out", str(tmp_path / "out")]
    assert across_runs.main(arguments) == 0
    assert "minus mel" in capsys.readouterr().out
    with (tmp_path / "out" / "across.csv").open(newline="") as file:
        rows = {(row["variant"], row["experiment"]): row for row in csv.DictReader(file)}
    both = [("sinc", "few"), ("sinc", "many"), ("sinc", "all"), ("gauss", "few"), ("gauss", "all")]
    assert list(rows) == both
    pairs = [*zip(FEW["sinc"], FEW["mel"], strict=True), *zip(MANY["sinc"], MANY["mel"], strict=True)]
    # Runs of several experiments with the same fold, seed and clips are pairs of their own.
    assert rows["sinc", "all"]["runs"] == "6"
    assert float(rows["sinc", "all"]["difference"]) == pytest.approx(sum(a - b for a, b in pairs) / 6)
    assert float(rows["sinc", "all"]["p"]) == pytest.approx(ttest_rel(*zip(*pairs, strict=True)).pvalue)
    assert (rows["sinc", "many"]["n_filters"], rows["sinc", "many"]["sounds"]) == ("6", "urban")
    assert float(rows["sinc", "many"]["difference"]) == pytest.approx(0.1 / 3)
    assert (tmp_path / "out" / "across.md").read_text("utf-8").startswith("| front-end | experiment |")
    assert (tmp_path / "out" / "across.png").stat().st_size > 5000


def test_a_picture_is_drawn_where_nothing_has_an_interval(tmp_path, capsys):
    make_runs(tmp_path / "one", {"mel": [0.5], "sinc": [0.7]})
    assert across_runs.main([str(tmp_path / "one"), "--variants", "sinc", "--out", str(tmp_path / "out")]) == 0
    assert "+20.0" in capsys.readouterr().out
    assert (tmp_path / "out" / "across.png").exists()


def test_what_cannot_be_compared_is_refused(folders, tmp_path, capsys):
    def refused(*arguments):
        assert across_runs.main([*map(str, arguments), "--out", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err

    few, many = folders
    assert f"{tmp_path / 'out'} has no finished run" in refused(tmp_path / "out", "--variants", "sinc")
    assert "no folder has a finished run of gauss" in refused(many, "--variants", "gauss")
    assert "no folder has a finished run of none" in refused(few, "--variants", "sinc", "--reference", "none")
    assert "folders must differ" in refused(few, few, "--variants", "sinc")
    assert "--variants must differ, got sinc more than once" in refused(few, "--variants", "sinc", "sinc")
    make_run(tmp_path / "few", "other", clips="b")
    assert "no run of other has the fold, seed and test clips of one of mel" in refused(few, "--variants", "other")
