import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import levers
import mismatch

RATE = 16000


@pytest.fixture
def clips():
    return 0.3 * np.random.default_rng(5).standard_normal((3, 4 * RATE))


@pytest.mark.parametrize(("name", "decibels"), [("noise at 20 dB", 20), ("at 10 dB", 10), ("at 0 dB", 0)])
def test_noise_has_the_ratio_that_its_name_says(clips, name, decibels):
    noise = mismatch.CONDITIONS[name](clips, RATE) - clips
    ratio = 10 * np.log10(np.square(clips).mean(-1) / np.square(noise).mean(-1))
    np.testing.assert_allclose(ratio, decibels, atol=0.1)
    np.testing.assert_array_equal(noise, mismatch.CONDITIONS[name](clips, RATE) - clips)
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.02


@pytest.mark.parametrize(("name", "low", "high"), [("below 4 kHz", 0, 4000), ("300 to 3400 Hz", 300, 3400)])
def test_a_band_passes_and_nothing_else(clips, name, low, high):
    frequency, before = welch(clips[0], RATE, nperseg=1024)
    after = welch(mismatch.CONDITIONS[name](clips, RATE)[0], RATE, nperseg=1024)[1]
    change = 10 * np.log10(after / before)
    inside, outside = (frequency > 1.3 * low) & (frequency < 0.75 * high), frequency > 1.5 * high
    assert np.abs(change[inside][1:]).max() < 2.0
    assert change[outside].max() < -20
    if low:
        assert change[(frequency > 0) & (frequency < 0.6 * low)].max() < -20


def test_cells_of_a_run_are_tested_and_clean_clips_give_their_accuracy(tmp_path, capsys):
    words = f"--out {tmp_path} --synthetic urban --limit 5 --seconds 0.5 --epochs 1 --folds 1 2 --n-filters 6"
    assert (
        levers.main([*words.split(), "--batch-size", "8", "--variants", "mel", "sinc", "mel, one normalization"]) == 0
    )
    assert mismatch.main([str(tmp_path)]) == 0
    assert "minus mel" in capsys.readouterr().out
    with (tmp_path / "mismatch.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(mismatch.CONDITIONS)
    trained = {row["variant"]: row["accuracy"] for row in json.loads((tmp_path / "levers.json").read_text())["rows"]}
    clean = {row["variant"]: float(row["accuracy"]) for row in rows if row["condition"] == "as they are"}
    assert clean == pytest.approx(trained)
    assert (tmp_path / "mismatch.md").read_text().count("\n|---|") == 2


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert mismatch.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"mismatch.py: {tmp_path} is not the output folder of an experiment: it has no config.json\n"
    )
