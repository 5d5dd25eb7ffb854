# What mismatch does to clips; runs are tested in test_experiments_levers.py, which trains some.
import numpy as np
import pytest
from scipy.signal import welch

from experiments import mismatch

RATE = 16000


@pytest.fixture
def clip():
    return 0.3 * np.random.default_rng(5).standard_normal(4 * RATE)


@pytest.mark.parametrize(("name", "decibels"), [("noise at 20 dB", 20), ("at 10 dB", 10), ("at 0 dB", 0)])
def test_noise_has_the_ratio_that_its_name_says(clip, name, decibels):
    first, again, other = (mismatch.CONDITIONS[name](clip, RATE, seed) - clip for seed in (0, 0, 1))
    ratio = 10 * np.log10(np.square(clip).mean() / np.square(first).mean())
    np.testing.assert_allclose(ratio, decibels, atol=0.1)
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.02


@pytest.mark.parametrize(("name", "low", "high"), [("below 4 kHz", 0, 4000), ("300 to 3400 Hz", 300, 3400)])
def test_a_band_passes_and_nothing_else(clip, name, low, high):
    frequency, before = welch(clip, RATE, nperseg=1024)
    after = welch(mismatch.CONDITIONS[name](clip, RATE, 0), RATE, nperseg=1024)[1]
    change = 10 * np.log10(after / before)
    inside, outside = (frequency > 1.3 * low) & (frequency < 0.75 * high), frequency > 1.5 * high
    assert np.abs(change[inside][1:]).max() < 2.0
    assert change[outside].max() < -20
    if low:
        assert change[(frequency > 0) & (frequency < 0.6 * low)].max() < -20


def test_an_end_above_half_of_the_sample_rate_does_nothing(clip):
    np.testing.assert_array_equal(mismatch.CONDITIONS["below 4 kHz"](clip, 8000, 0), clip)
    passed = mismatch.CONDITIONS["300 to 3400 Hz"](clip, 6000, 0)
    frequency, before = welch(clip, 6000, nperseg=1024)
    change = 10 * np.log10(welch(passed, 6000, nperseg=1024)[1] / before)
    assert np.abs(change[frequency > 400]).max() < 2.0
    assert change[(frequency > 0) & (frequency < 180)].max() < -20


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert mismatch.main([str(tmp_path)]) == 2
    assert f"experiments.mismatch: error: {tmp_path} has no finished run" in capsys.readouterr().err
