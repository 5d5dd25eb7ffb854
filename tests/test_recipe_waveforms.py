import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from dcase2020_task1a import dataset, make_fixture
from hypothesis import given
from hypothesis import strategies as st
from recipes import offline
from recipes.catalog import BadDataError, Catalog, Clip, add_copies, another
from recipes.data import RecipeData
from recipes.spectrum_correction import fit, parallel_clips
from recipes.waveforms import WaveformAugmentation, fit_length
from scipy.signal import lfilter, welch

RATE = 16000
OFF = {"pitch": 0.0, "speed": (1, 1), "noise": 0.0, "mix": (1, 1)}
TONE = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)


def only(**one):
    return WaveformAugmentation(RATE, **{**OFF, **one}, probability=1.0)


def pitch_of(waveform):
    frequencies, power = welch(waveform, RATE, nperseg=4096)
    return frequencies[power.argmax()]


def test_the_result_depends_on_seed_epoch_and_clip_alone_and_touches_no_global_generator():
    augment = WaveformAugmentation(RATE, probability=1.0)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = augment(TONE, epoch=2, index=3, same_class=lambda: TONE[::-1])
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    random.seed(5)
    augment(TONE, epoch=1, index=1)
    again = augment(TONE, epoch=2, index=3, same_class=lambda: TONE[::-1])
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert first.shape == TONE.shape
    others = [augment(TONE, epoch=2, index=4), augment(TONE, epoch=3, index=3)]
    others.append(WaveformAugmentation(RATE, probability=1.0, seed=1)(TONE, epoch=2, index=3))
    assert not any(np.array_equal(first, other) for other in others)


def test_nothing_changes_without_probability():
    augment = WaveformAugmentation(RATE, probability=0.0)
    np.testing.assert_array_equal(augment(TONE, epoch=0, index=0, same_class=lambda: TONE[::-1]), TONE)


def test_pitch_moves_the_tone_within_its_range_and_speed_does_not():
    shifts = [12 * np.log2(pitch_of(only(pitch=12.0)(TONE, epoch=0, index=i)) / 500) for i in range(12)]
    assert all(abs(shift) < 12.3 for shift in shifts)
    assert min(shifts) < -3
    assert max(shifts) > 3
    for i in range(4):
        assert pitch_of(only(speed=(0.5, 2.0))(TONE, epoch=0, index=i)) == pytest.approx(500, abs=5)


def test_speed_changes_the_distance_of_clicks():
    clicks = np.zeros(2 * RATE, np.float32)
    clicks[RATE // 4 :: RATE // 4] = 1.0
    fast = only(speed=(2.0, 2.0))(clicks, epoch=0, index=0)
    assert fast.shape == clicks.shape
    # Twice as many clicks a second: the strongest period of the envelope is half.
    envelope = np.convolve(fast**2, np.ones(200), "same")
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    period = len(fast) / (1 + spectrum[1:40].argmax())
    assert period == pytest.approx(RATE // 8, rel=0.1)


@pytest.mark.parametrize("speed", [0.25, 0.5])
def test_the_slowest_speeds_are_the_same_again(speed):
    noise = np.random.default_rng(0).standard_normal(22050).astype(np.float32)
    slow = WaveformAugmentation(44100, **{**OFF, "speed": (speed, speed)}, probability=1.0)
    np.testing.assert_array_equal(slow(noise, epoch=0, index=0), slow(noise, epoch=0, index=0))


def test_noise_is_at_most_its_share_of_the_peak():
    levels = [np.std(only(noise=0.01)(0.5 * TONE, epoch=0, index=i) - 0.5 * TONE) for i in range(20)]
    assert min(levels) > 0
    assert 0.002 < max(levels) < 0.0051


@given(st.integers(0, 1000), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_mixtures_keep_the_weight_of_the_clip_itself_in_its_range(index, low, share):
    high = low + share * (1 - low)
    mixed = only(mix=(low, high))(np.ones(100, np.float32), epoch=0, index=index, same_class=lambda: np.zeros(7))
    assert low - 1e-6 <= mixed[0] <= high + 1e-6
    np.testing.assert_array_equal(mixed, mixed[0])


@given(st.integers(1, 50), st.integers(1, 200))
def test_lengths_are_cut_or_repeated(length, wanted):
    fitted = fit_length(np.arange(length), wanted)
    np.testing.assert_array_equal(fitted, np.arange(wanted) % length)


@pytest.mark.parametrize(
    "bad", [{"pitch": 30.0}, {"speed": (2.0, 1.0)}, {"mix": (0.5, 1.5)}, {"noise": -1.0}, {"probability": 2.0}]
)
def test_bad_ranges_are_refused_by_name(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
        WaveformAugmentation(RATE, **bad)


def test_correction_undoes_a_coloration():
    noises = np.random.default_rng(0).standard_normal((4, 4 * RATE))
    color = [1.0, 0.6, 0.2]  # minimum phase, no zeros on the circle
    taps = fit([(noise, lfilter(color, 1.0, noise)) for noise in noises[:3]])
    corrected = only(correction=taps)(lfilter(color, 1.0, noises[3]).astype(np.float32), epoch=0, index=0)
    left_alone = only(correction=taps)(TONE, epoch=0, index=0, correct=False)
    np.testing.assert_array_equal(left_alone, TONE)
    _, before = welch(noises[3], nperseg=512)
    _, after = welch(corrected, nperseg=512)
    decibels = 10 * np.log10(after / before)[2:-2]
    assert np.abs(decibels).max() < 0.5
    assert np.abs(10 * np.log10(welch(lfilter(color, 1.0, noises[3]), nperseg=512)[1] / before)).max() > 4
    with pytest.raises(ValueError, match="pairs must hold one pair or more"):
        fit([])


@pytest.fixture(scope="module")
def tau(tmp_path_factory):
    root = tmp_path_factory.mktemp("tau")
    make_fixture.main([str(root), "--seconds", "0.3"])
    return root


def test_parallel_clips_differ_in_the_device_alone(tau):
    catalog = dataset.read(tau)
    pairs = parallel_clips(catalog)
    assert len(pairs) == 50  # ten scenes, five devices besides a
    for reference, other in pairs:
        a, b = catalog.clips[reference], catalog.clips[other]
        assert (a.device, a.fold, b.fold) == ("a", "train", "train")
        assert a.path.stem[:-2] == b.path.stem.rsplit("-", 1)[0]


def test_parallel_clips_of_a_set_of_the_real_size_are_of_every_device():
    devices = ("a", "b", "c", "s1", "s2", "s3")
    clips = [Clip(Path(f"bus-lyon-{i}-{i}-{device}.wav"), 0, "train", device) for i in range(750) for device in devices]
    pairs = parallel_clips(Catalog(("bus",), tuple(clips)))
    assert len(pairs) == 150
    counts = Counter(clips[other].device for _, other in pairs)
    assert set(counts) == set(devices[1:])
    assert min(counts.values()) >= 15  # 30 expected, standard deviation 5


def test_spectra_are_corrected_while_training_but_those_of_the_reference(tau):
    augmentation = WaveformAugmentation(RATE, **OFF, probability=1.0)
    data = RecipeData(
        tau, "dcase2020_task1a", test_fold="test", sample_rate=RATE, augmentation=augmentation, correct_spectra=True
    )
    data.setup("fit")
    clips, seen = data.train_dataloader().dataset, Counter()
    taps = fit([(data.store[i], data.store[k]) for i, k in parallel_clips(data.catalog)])
    for i, clip in enumerate(data.catalog.clips):
        if clip.fold == "train":
            waveform, _, _ = clips[0, i]
            expected = data.store[i]
            if clip.device != "a":
                expected = np.convolve(expected.astype(float), taps, "same")
            np.testing.assert_allclose(waveform, expected / (np.abs(expected).max() + 1e-4), atol=1e-4)
            seen[clip.device != "a"] += 1
    assert seen == {True: 50, False: 10}


def test_correction_needs_augmentation_and_two_devices(tau, tmp_path):
    with pytest.raises(ValueError, match="augmentation must be given with correct_spectra, got None"):
        RecipeData(tau, "dcase2020_task1a", test_fold="test", correct_spectra=True)
    for fold, name in enumerate(("dog", "rain"), 1):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / f"{fold}-1.wav", TONE, RATE)
    augmentation = WaveformAugmentation(RATE)
    data = RecipeData(tmp_path, "folders", test_fold="1", augmentation=augmentation, correct_spectra=True)
    with pytest.raises(BadDataError, match="has no training clips of device a and another at once"):
        data.setup("fit")
    with pytest.raises(BadDataError, match=r"test_fold must be one of \['1', '2'\], got '3'"):
        RecipeData(tmp_path, "folders", test_fold="3").setup("fit")


def test_a_clip_is_mixed_with_another_one():
    chosen = Counter(another([3, 5, 8], 5, 0, epoch) for epoch in range(40))
    assert chosen.keys() == {3, 8}
    assert another([3, 5, 8], 5, 0, 1) == another([3, 5, 8], 5, 0, 1)
    assert another([5], 5, 0) is None


def test_copies_are_written_on_request_alone_and_not_twice(tau, tmp_path, capsys):
    arguments = ["dcase2020_task1a", str(tau), str(tmp_path / "out"), "--copies", "1", "--jobs", "1"]
    assert offline.main(arguments) == 0
    said = capsys.readouterr().out
    assert "60 clips of 60" in said
    assert "nothing written" in said
    assert not (tmp_path / "out").exists()
    assert offline.main([*arguments, "--yes"]) == 0
    files = sorted((tmp_path / "out").glob("*.flac"))
    assert len(files) == 60
    assert soundfile.info(files[0]).frames == int(0.3 * 44100)
    assert len((tmp_path / "out" / "augmented.csv").read_text().splitlines()) == 61
    catalog = add_copies(dataset.read(tau), tau, tmp_path / "out")
    assert {clip.fold for clip in catalog.clips} == {"train", "test", "copy of train"}
    assert [clip.label for clip in catalog.clips if clip.fold == "train"] == [
        clip.label for clip in catalog.clips if clip.fold == "copy of train"
    ]
    first, kept = files[0].read_bytes(), files[1].stat().st_mtime_ns
    files[0].unlink()
    assert offline.main([*arguments, "--yes"]) == 0
    assert files[0].read_bytes() == first
    assert files[1].stat().st_mtime_ns == kept


def test_finished_copies_need_no_room_and_are_not_taken_for_those_of_other_settings(tau, tmp_path, capsys, monkeypatch):
    arguments = ["dcase2020_task1a", str(tau), str(tmp_path / "out"), "--copies", "1", "--jobs", "1", "--yes"]
    assert offline.main(arguments) == 0
    with pytest.raises(SystemExit):
        offline.main([*arguments, "--seed", "1"])
    assert "has copies made with" in capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**5, "total": 10**6}))
    assert offline.main(arguments) == 0
    assert "0 clips of 60" in capsys.readouterr().out


@pytest.mark.parametrize("bad", ["--copies", "--sample_rate", "--jobs"])
def test_counts_below_one_are_refused(tau, tmp_path, bad):
    with pytest.raises(SystemExit):
        offline.main(["dcase2020_task1a", str(tau), str(tmp_path / "out"), bad, "0"])


def test_a_disk_that_would_be_full_is_refused(tau, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6, "total": 10**6}))
    assert offline.main(["dcase2020_task1a", str(tau), str(tmp_path), "--yes"]) == 2
    assert "less than a tenth of the disk would be left" in capsys.readouterr().err


def test_copies_of_another_set_are_refused_with_every_line(tau, tmp_path):
    (tmp_path / "augmented.csv").write_text("file,source\na.flac,audio/none.wav\nb.flac,audio/bus-helsinki-1-0-a.wav\n")
    with pytest.raises(BadDataError) as raised:
        add_copies(dataset.read(tau), tau, tmp_path)
    assert "line 2: no clip audio/none.wav" in str(raised.value)
    assert "line 3: no file b.flac" in str(raised.value)
