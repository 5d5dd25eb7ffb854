import random
import shutil
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter, welch

from experiments.data import dcase2020_task1a as tau
from experiments.data import offline, small_sets
from experiments.data.augmentation import WaveformAugmentation, fit_length
from experiments.data.catalog import Catalog, Clip, add_copies, another
from experiments.data.module import ClipData
from experiments.data.spectrum_correction import fit, parallel_clips
from experiments.files import BadDataError, write_whole

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
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tau")
    assert small_sets.main(["dcase2020_task1a", str(root), "--seconds", "0.3"]) == 0
    return root


def test_parallel_clips_differ_in_the_device_alone(root):
    catalog = tau.read(root)
    pairs = parallel_clips(catalog)
    assert len(pairs) == 50  # ten scenes, five devices besides a
    for reference, other in pairs:
        a, b = catalog.clips[reference], catalog.clips[other]
        assert (a.device, a.fold, b.fold) == ("a", "train", "train")
        assert a.path.stem[:-2] == b.path.stem.rsplit("-", 1)[0]


def test_parallel_clips_of_a_set_of_the_real_size_are_of_every_device():
    devices = ("a", "b", "c", "s1", "s2", "s3")
    clips = [Clip(Path(f"bus-lyon-{i}-{i}-{device}.wav"), 0, "train", device) for i in range(750) for device in devices]
    pairs = parallel_clips(Catalog(Path(), ("bus",), tuple(clips)))
    assert len(pairs) == 150
    counts = Counter(clips[other].device for _, other in pairs)
    assert set(counts) == set(devices[1:])
    assert min(counts.values()) >= 15  # 30 expected, standard deviation 5


def test_spectra_are_corrected_while_training_but_those_of_the_reference(root, tmp_path):
    augmentation = WaveformAugmentation(RATE, **OFF, probability=1.0)
    options = {"test_fold": "test", "sample_rate": RATE, "augmentation": augmentation, "correct_spectra": True}
    data = ClipData(root, "dcase2020_task1a", cache=tmp_path, **options)
    data.setup("fit")
    clips, seen = data.train_dataloader().dataset, Counter()
    taps = fit([(data.store.read(i), data.store.read(k)) for i, k in parallel_clips(data.catalog)])
    for k in range(len(clips)):
        waveform, _, i = clips[0, k]
        clip, expected = data.catalog.clips[i], data.store.read(i)
        assert clip.fold == "train"
        if clip.device != "a":
            expected = np.convolve(expected.astype(float), taps, "same")
        np.testing.assert_allclose(waveform, expected / (np.abs(expected).max() + 1e-4), atol=1e-4)
        seen[clip.device != "a"] += 1
    assert seen == {True: 50, False: 10}


def test_correction_needs_two_devices(tmp_path):
    for fold, name in enumerate(("dog", "rain", "dog", "rain")):
        (tmp_path / name).mkdir(exist_ok=True)
        soundfile.write(tmp_path / name / f"{1 + fold // 2}-1.wav", TONE, RATE)
    options = {"cache": tmp_path / ".cache", "augmentation": WaveformAugmentation(RATE), "correct_spectra": True}
    with pytest.raises(BadDataError, match="has no training clips of device a and another at once"):
        ClipData(tmp_path, test_fold="1", **options).setup("fit")


def test_training_clips_are_augmented_anew_in_each_epoch_and_others_never(root, tmp_path):
    data = ClipData(root, "dcase2020_task1a", test_fold="test", val_fold="test", sample_rate=RATE, cache=tmp_path)
    data.setup("fit")
    plain = [loader().dataset for loader in (data.train_dataloader, data.test_dataloader)]
    data.augmentation = only(mix=(0.5, 0.5))
    trained, tested, validated = (
        loader().dataset for loader in (data.train_dataloader, data.test_dataloader, data.val_dataloader)
    )
    for k in (0, 17, 59):
        first, label, i = trained[0, k]
        np.testing.assert_array_equal(trained[0, k][0], first)
        assert not all(np.array_equal(trained[epoch, k][0], first) for epoch in range(1, 5))
        # Half of it is the clip itself, and half one of its class and of the training.
        own = data.store.read(i)
        others = [data.store.read(n) for n, c in enumerate(data.catalog.clips) if (c.fold, c.label) == ("train", label)]
        mixtures = [0.5 * own + 0.5 * other for other in others]
        assert any(np.allclose(first, mixture / (np.abs(mixture).max() + 1e-4), atol=1e-5) for mixture in mixtures)
        assert not np.allclose(first, plain[0][0, k][0], atol=1e-3)
        for evaluated in (tested, validated):
            np.testing.assert_array_equal(evaluated[3, k][0], plain[1][0, k][0])


def test_a_clip_is_mixed_with_another_one():
    chosen = Counter(another([3, 5, 8], 5, 0, epoch) for epoch in range(40))
    assert chosen.keys() == {3, 8}
    assert another([3, 5, 8], 5, 0, 1) == another([3, 5, 8], 5, 0, 1)
    assert another([5], 5, 0) is None


def write_copies(root, out, *more):
    words = ["dcase2020_task1a", root, out, "--copies", 1, "--jobs", 1, "--sample_rate", RATE, *more]
    return offline.main([str(word) for word in words])


@pytest.fixture(scope="module")
def copies(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("copies") / "out"
    assert write_copies(root, out, "--yes") == 0
    return out


def test_copies_are_written_on_request_alone(root, tmp_path, capsys):
    assert write_copies(root, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "60 clips of 60, 0.0 hours, at most 0.00 GiB in" in printed
    assert "nothing written" in printed
    assert not (tmp_path / "out").exists()


def test_copies_are_of_each_training_clip_and_belong_to_its_fold(root, copies):
    files = sorted(copies.glob("*.flac"))
    assert len(files) == 60
    assert (soundfile.info(files[0]).frames, soundfile.info(files[0]).samplerate) == (int(0.3 * RATE), RATE)
    catalog = add_copies(tau.read(root), copies, "test")
    assert {clip.fold for clip in catalog.clips} == {"train", "test", "copy of train"}
    assert catalog.folds == ["test", "train"]
    own, copied = ([c for c in catalog.clips if c.fold == fold] for fold in ("train", "copy of train"))
    assert [(clip.label, clip.device) for clip in own] == [(clip.label, clip.device) for clip in copied]
    assert all(a.path.stem in b.path.stem for a, b in zip(own, copied, strict=True))
    assert all(catalog.name(catalog.clips.index(clip)).endswith(clip.path.name) for clip in copied)


def test_copies_are_trained_on_unless_their_source_is_held_out(root, copies, tmp_path):
    options = {"sample_rate": RATE, "copies": copies, "cache": tmp_path}
    data = ClipData(root, "dcase2020_task1a", test_fold="test", **options)
    data.setup("fit")
    trained = [data.catalog.clips[i].fold for i, _ in data.train_dataloader().dataset.items]
    assert Counter(trained) == {"train": 60, "copy of train": 60}
    with pytest.raises(BadDataError, match="has copies for test_fold test, got train"):
        ClipData(root, "dcase2020_task1a", test_fold="train", **options).setup("fit")
    watched = ClipData(root, "dcase2020_task1a", test_fold="test", val_fold="train", **options)
    watched.setup("fit")
    with pytest.raises(BadDataError, match="at most the 0 training examples"):
        watched.train_dataloader()


def test_a_stopped_writing_resumes_and_the_number_of_jobs_changes_nothing(root, copies, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(copies, out)
    files = sorted(out.glob("*.flac"))
    (out / "augmented.csv").unlink()
    for path in files[:4]:
        path.unlink()
    kept = files[4].stat().st_mtime_ns
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # of processes that are started
        assert write_copies(root, out, "--yes", "--jobs", 2) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in copies.iterdir()
    }
    assert files[4].stat().st_mtime_ns == kept


def test_a_kill_while_a_copy_is_written_leaves_nothing_that_is_taken_for_it(root, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", stop)
        patch.setattr(offline, "check_folder", lambda *_: None)
        patch.setattr(
            offline, "write_whole", lambda path, content: path.suffix == ".flac" and write_whole(path, content)
        )
        assert write_copies(root, tmp_path / "out", "--yes") == 130
    assert list((tmp_path / "out").iterdir()) == []


def test_finished_copies_need_no_room_and_are_not_taken_for_those_of_other_settings(root, copies, capsys, monkeypatch):
    for option, value in (("--seed", 1), ("--sample_rate", 8000), ("--test_fold", "train")):
        assert write_copies(root, copies, option, value, "--yes") == 2
        assert "was begun with other settings" in capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**4, "total": 10**6}))
    assert write_copies(root, copies, "--yes") == 0
    assert "0 clips of 60" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--copies", "--sample_rate", "--jobs"])
@pytest.mark.parametrize(("value", "rule"), [(0, "must be at least 1, got 0"), ("nan", "value: 'nan'")])
def test_counts_that_are_none_are_refused_before_anything(tmp_path, capsys, option, value, rule):
    with pytest.raises(SystemExit):
        write_copies(tmp_path / "nowhere", tmp_path / "out", option, value)
    said = capsys.readouterr().err
    assert option in said
    assert rule in said


def test_sets_that_cannot_be_copied_are_refused(root, tmp_path, capsys, monkeypatch):
    assert write_copies(tmp_path / "nowhere", tmp_path / "out", "--yes") == 2
    assert "fold1_train.csv cannot be read" in capsys.readouterr().err
    assert write_copies(root, tmp_path / "out", "--test_fold", "10", "--yes") == 2
    assert "--test_fold must be one of ['test', 'train'], got '10'" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**6, "total": 10**6}))
        assert write_copies(root, tmp_path / "out", "--copies", 50, "--yes") == 2
    assert "less than a tenth of the disk would be left" in capsys.readouterr().err
    shutil.copytree(root, tmp_path / "set")
    (tmp_path / "set" / "audio" / "bus-helsinki-1-0-b.wav").write_bytes(b"RIFF")
    assert write_copies(tmp_path / "set", tmp_path / "out", "--yes") == 2
    assert "1 of 60 clips cannot be decoded: audio/bus-helsinki-1-0-b.wav" in capsys.readouterr().err
    soundfile.write(tmp_path / "set" / "audio" / "bus-helsinki-1-0-b.wav", np.full(5000, np.nan), RATE, subtype="FLOAT")
    assert write_copies(tmp_path / "set", tmp_path / "out", "--yes") == 2
    assert "bus-helsinki-1-0-b.wav: has samples that are not finite" in capsys.readouterr().err


def test_copies_of_another_set_are_refused_with_every_line(root, tmp_path):
    lines = ("file,source,test_fold", "a.flac,audio/none.wav,test", "b.flac,audio/bus-helsinki-1-0-a.wav,test")
    (tmp_path / "augmented.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(BadDataError) as raised:
        add_copies(tau.read(root), tmp_path, "test")
    assert "line 2: audio/none.wav is not a clip of the data set" in str(raised.value)
    assert "line 3: no file b.flac" in str(raised.value)
