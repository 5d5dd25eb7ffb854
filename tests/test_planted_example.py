import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt, welch
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import compare_frontends
import planted_tasks
from planted_sounds import TASKS, plant

RATE, COUNT = 16000, 12


@pytest.fixture(scope="module", params=list(TASKS))
def planted(request):
    """Name and task, its clips and their classes."""
    clips, names = plant(request.param, RATE, 1.0, COUNT, seed=0)
    return request.param, TASKS[request.param], clips.astype(float), np.arange(len(clips)) // COUNT, names


def guess(clips, low, high, rates):
    """Class by the strongest of the modulation rates in what a band-pass filter lets through."""
    band = butter(4, (low, high), "bandpass", fs=RATE, output="sos")
    envelopes = np.abs(hilbert(sosfiltfilt(band, clips, axis=-1), axis=-1))
    spectra = np.abs(np.fft.rfft(envelopes - envelopes.mean(-1, keepdims=True), axis=-1))  # bins of 1 Hz
    return spectra[:, list(map(int, rates))].argmax(-1)


def test_the_narrow_band_tells_the_class_and_a_wide_one_does_not(planted):
    _, task, clips, labels, _ = planted
    narrow = guess(clips, task.target - task.width / 2, task.target + task.width / 2, task.rates)
    assert (narrow == labels).mean() > 0.95
    everything = min(task.others) - task.width / 2, max(task.others) + task.width / 2
    assert (guess(clips, *everything, task.rates) == labels).mean() < 0.8
    for other in task.others:
        wrong = guess(clips, other - task.width / 2, other + task.width / 2, task.rates)
        assert (wrong == labels).mean() < 0.6


def test_the_spectrum_does_not_tell_the_class(planted):
    _, task, clips, labels, _ = planted
    frequency, power = welch(clips / clips.std(-1, keepdims=True), RATE, nperseg=RATE // 8)
    near = np.abs(frequency - task.target) < task.width / 2
    levels = 10 * np.log10(power[:, near].mean(-1))
    means = [levels[labels == label].mean() for label in range(4)]
    assert max(means) - min(means) < 2 * levels.std()


def test_clips_are_the_same_for_a_seed_and_have_a_peak_of_one(planted):
    name, _, clips, _, names = planted
    again, _ = plant(name, RATE, 1.0, COUNT, seed=0)
    np.testing.assert_array_equal(again, clips.astype(np.float32))
    assert not np.array_equal(plant(name, RATE, 1.0, COUNT, seed=1)[0], again)
    np.testing.assert_allclose(np.abs(clips).max(-1), 1.0, rtol=1e-6)
    assert len(set(names)) == 4


def test_a_rate_too_low_for_the_task_is_refused():
    with pytest.raises(ValueError, match=r"^sample_rate must be more than 15800 Hz for planted-high, got 8000$"):
        plant("planted-high", 8000, 1.0, 1, seed=0)


def test_a_run_writes_its_tables_and_goes_on(tmp_path, capsys):
    words = f"--out {tmp_path} --synthetic planted-low --limit 10 --epochs 1 --folds 1 2".split()
    assert planted_tasks.main(words) == 0
    shown = capsys.readouterr().out
    assert "in band" in shown
    cells = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.pt")}
    assert len(cells) == 2 * len(planted_tasks.VARIANTS)
    assert planted_tasks.main(words) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in cells.items())
    with (tmp_path / "planted.csv").open(newline="") as file:
        rows = {row["front-end"]: row for row in csv.DictReader(file)}
    assert list(rows) == [variant.name for variant in planted_tasks.VARIANTS]
    assert float(rows["mel"]["minus_mel"]) == 0
    assert rows["mel"]["p"] == ""
    assert (tmp_path / "planted.md").read_text().startswith("| front-end |")
    assert (tmp_path / "planted.png").stat().st_size > 5000
    centers = {
        (c["variant"], c["fold"]): c["centers"] for c in json.loads((tmp_path / "planted.json").read_text())["cells"]
    }
    assert centers["cos-gauss, fixed", 1] == centers["cos-gauss, fixed", 2]
    assert centers["cos-gauss", 1] != centers["cos-gauss", 2]
    config = json.loads((tmp_path / "config.json").read_text())["arguments"]
    assert (config["win_length"], config["hop_length"], config["kernel_size"]) == (1600, 400, 1001)


def test_p_is_that_of_the_paired_differences():
    values, reference = ({(fold, 0): value for fold, value in enumerate(v)} for v in ((0.9, 0.8, 1.0), (0.5, 0.6, 0.7)))
    differences = np.array([0.4, 0.2, 0.3])
    t = differences.mean() / (differences.std(ddof=1) / 3**0.5)
    expected = 2 * student.sf(t, 2)
    assert planted_tasks._p_value(values, {**reference, (7, 0): 0.1}) == pytest.approx(expected)
    assert planted_tasks._p_value(reference, reference) is None


def test_sounds_without_a_known_answer_are_refused(capsys):
    with pytest.raises(SystemExit):
        planted_tasks.main(["--synthetic", "urban"])
    assert "--synthetic must be one of planted-high, planted-low" in capsys.readouterr().err


def test_planted_sounds_are_compared_too(tmp_path, capsys):
    words = f"--out {tmp_path} --synthetic planted-high --limit 5 --seconds 0.5 --epochs 1 --folds 1 --n-filters 6"
    assert (
        compare_frontends.main([*words.split(), "--frontends", "cos-gauss", "--learn-width", "--batch-size", "8"]) == 0
    )
    assert "12" in capsys.readouterr().out  # a center and a width for each filter
