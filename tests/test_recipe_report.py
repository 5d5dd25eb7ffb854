import csv
import json

import pytest
from recipes.report import read_run, share_table, summary_table, write_report


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
