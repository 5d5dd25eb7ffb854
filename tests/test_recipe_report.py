import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from recipes import cross_validation
from recipes.report import read_run, share_table, summary_table, write_report
from urbansound8k import make_fixture


def write_predictions(folder, fold, lines):
    folder.mkdir(parents=True)
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "prediction", "fold", "device"])
        writer.writerows([f"{i}.wav", *line[:2], fold, *line[2:]] for i, line in enumerate(lines))
    return read_run(folder)


@pytest.fixture
def runs(tmp_path):
    right, wrong, dog = ("siren", "siren", "a"), ("siren", "dog", "s1"), ("dog", "dog", "a")
    return {
        "mel": [
            write_predictions(tmp_path / "m1", 1, [right, wrong, dog, dog]),
            write_predictions(tmp_path / "m2", 2, [right, wrong]),
        ],
        "sinc": [
            write_predictions(tmp_path / "s1", 1, [right, right, dog, dog]),
            write_predictions(tmp_path / "s2", 2, [wrong, wrong]),
        ],
    }


def test_accuracy_is_the_mean_over_folds_and_the_difference_is_paired_by_fold(runs):
    head, mel, sinc = summary_table(runs)
    assert head == ["front-end", "accuracy %", "minus mel", "folds", "test clips"]
    assert mel == ["mel", "62.5 ± 17.7", "+0.0 ± 0.0", "2", "6"]  # 75 and 50
    assert sinc == ["sinc", "50.0 ± 70.7", "-12.5 ± 37.5", "2", "6"]  # +25 and -50


def test_classes_and_devices_are_averaged_over_the_folds_that_have_them(runs):
    assert share_table(runs, "label", ["dog", "siren"]) == [
        ["class", "mel", "sinc"],
        ["dog", "100.0", "100.0"],  # fold 1 only
        ["siren", "50.0", "50.0"],
    ]
    assert share_table(runs, "device", ["a", "s1", "s9"])[1:] == [
        ["a", "100.0", "100.0"],
        ["s1", "0.0", "0.0"],
        ["s9", "-", "-"],
    ]


def test_the_report_is_written_and_says_what_the_screen_says(runs, tmp_path):
    text = write_report(runs, tmp_path / "out")
    markdown = (tmp_path / "out" / "results.md").read_text()
    for cell in ("62.5 ± 17.7", "-12.5 ± 37.5", "siren", "s1"):
        assert cell in text
        assert cell in markdown
    assert json.loads((tmp_path / "out" / "results.json").read_text())["mel"] == {"1": 0.75, "2": 0.5}


def test_predictions_without_their_columns_are_refused_by_name(tmp_path):
    (tmp_path / "predictions.csv").write_text("file,label\n")
    with pytest.raises(ValueError, match=r"predictions\.csv must have columns label, prediction and fold"):
        read_run(tmp_path)


RECIPE = Path(__file__).parents[1] / "examples" / "urbansound8k"


def test_every_frontend_runs_on_every_fold_once(tmp_path, monkeypatch, capsys):
    started = []

    def run(command, **_):
        started.append(command)
        folder = Path(next(part for part in command if part.startswith("--run_dir=")).partition("=")[2])
        (folder / "predictions.csv").write_text("label,prediction,fold\nsiren,siren,1\n")
        return type("Done", (), {"returncode": 0})

    drawn = []
    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr("recipes.figures.main", lambda given: drawn.append(given) or 0)
    arguments = ["--out", str(tmp_path), "--folds", "1", "2", "--frontends", "mel", "cos-gauss-heads"]
    arguments += ["--sample_rate", "16000", "--", "--data.root=here"]
    assert cross_validation.main(RECIPE, ["1"], arguments) == 0
    assert [command[0] for command in started] == [sys.executable] * 4
    heads = shlex.join(started[1])
    for part in (
        "frontends/cos-gauss-heads.yaml",
        "--data.test_fold=1",
        "--data.sample_rate=16000",
        "--model.frontend.init_args.frontend.init_args.sample_rate=16000",
        "--data.root=here",
    ):
        assert part in heads
    assert "100.0" in capsys.readouterr().out
    second = [str(tmp_path / name / "fold2") for name in ("mel", "cos-gauss-heads")]
    assert drawn[1:] == [[*second, "--out", str(tmp_path / "figures" / "fold2")]]
    assert cross_validation.main(RECIPE, ["1"], arguments) == 0
    assert len(started) == 4
    assert cross_validation.main(RECIPE, ["1"], [*arguments, "--data.batch_size=1"]) == 2
    assert "has a run of another command" in capsys.readouterr().err


def test_one_command_gives_tables_and_figures(tmp_path):
    root, out = tmp_path / "UrbanSound8K", tmp_path / "out"
    make_fixture.main([str(root), "--seconds=0.3"])
    command = [sys.executable, "-W", "ignore", str(RECIPE / "compare.py"), "--out", str(out), "--folds", "3"]
    command += ["--frontends", "cos-gauss-heads", "--sample_rate", "8000", "--", f"--data.root={root}"]
    command += ["--data.cache=null", "--data.workers=0", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "minus mel" in result.stdout
    for name in ("results.md", "figures/fold3/center_frequencies.png", "figures/fold3/relevance_cos-gauss-heads.png"):
        assert (out / name).stat().st_size > 100


def test_a_run_that_fails_stops_the_comparison_and_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: type("Done", (), {"returncode": 3}))
    assert cross_validation.main(RECIPE, ["1"], ["--out", str(tmp_path), "--frontends", "mel"]) == 3
    assert "mel, fold 1 ended with 3" in capsys.readouterr().err
