import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from dcase2020_task1a import dataset as dcase
from dcase2020_task1a import make_fixture as dcase_fixture
from recipes import folders
from recipes import store as store_module
from recipes.catalog import BadDataError, Catalog, Clip
from recipes.store import Store, decode
from urbansound8k import dataset as urbansound
from urbansound8k import make_fixture as urbansound_fixture


@pytest.fixture(scope="module")
def urban(tmp_path_factory):
    root = tmp_path_factory.mktemp("UrbanSound8K")
    assert urbansound_fixture.main([str(root), "--seconds", "0.3"]) == 0
    return root


@pytest.fixture(scope="module")
def tau(tmp_path_factory):
    root = tmp_path_factory.mktemp("tau")
    assert dcase_fixture.main([str(root / "dev"), "--blind", str(root / "eval"), "--seconds", "0.2"]) == 0
    return root


def with_table(root, tmp_path, change):
    """The same audio under a changed table."""
    copy = tmp_path / "set"
    (copy / "metadata").mkdir(parents=True)
    (copy / "audio").symlink_to(root / "audio")
    lines = (root / urbansound.TABLE).read_text().splitlines()
    (copy / urbansound.TABLE).write_text("\n".join(change(lines)) + "\n")
    return copy


def test_urbansound_has_ten_folds_ten_classes_and_clips_of_all_kinds(urban):
    catalog = urbansound.read(urban)
    assert {(clip.fold, clip.label) for clip in catalog.clips} == {(str(f), c) for f in range(1, 11) for c in range(10)}
    kinds = {(soundfile.info(clip.path).samplerate, soundfile.info(clip.path).channels) for clip in catalog.clips}
    assert kinds == {(44100, 2), (48000, 2), (22050, 1), (96000, 2), (44100, 1)}


def test_tau_has_the_official_split_its_devices_and_a_blind_set(tau):
    catalog = dcase.read(tau / "dev", blind=tau / "eval")
    devices = {fold: {c.device for c in catalog.clips if c.fold == fold} for fold in ("train", "test", "blind")}
    assert devices == {"train": {"a", "b", "c", "s1", "s2", "s3"}, "test": set(dcase.DEVICES), "blind": {""}}
    assert all((clip.label is None) == (clip.fold == "blind") for clip in catalog.clips)
    assert sum(clip.fold == "blind" for clip in catalog.clips) == 10


def test_every_bad_row_is_listed_or_left_out_on_request(urban, tmp_path):
    def spoil(lines):
        rows = [line.split(",") for line in lines]
        rows[1][5] = "11"
        rows[2][7] = "violin"
        rows[3][6] = "9"
        rows[4][0] = "missing.wav"
        rows[5][0] = "../../../outside.wav"
        return [",".join(row) for row in [*rows, rows[6]]]

    root = with_table(urban, tmp_path, spoil)
    with pytest.raises(BadDataError) as raised:
        urbansound.read(root)
    message = str(raised.value)
    assert message.startswith("6 of 101 clips cannot be used")
    for part in (
        "line 2: fold must be 1 to 10, got '11'",
        "line 3: class must be one of the ten of the set, got 'violin'",
        "line 4: classID of children_playing must be 2, got '9'",
        "line 5: no file",
        "line 6: ",
        "lies outside of",
        "line 102: 100005-5-0-0.wav is there twice",
    ):
        assert part in message
    catalog = urbansound.read(root, skip_bad=True)
    assert (len(catalog.clips), len(catalog.skipped)) == (95, 6)


def test_a_clip_in_two_folds_is_refused(urban, tmp_path):
    def repeat(lines):
        rows = [line.split(",") for line in lines]
        elsewhere, around = list(rows[1]), list(rows[1])
        elsewhere[5], around[5], around[0] = "2", "3", f"../fold1/{rows[1][0]}"
        return [",".join(row) for row in [*rows, elsewhere, around]]

    with pytest.raises(BadDataError) as raised:
        urbansound.read(with_table(urban, tmp_path, repeat))
    for part in ("2 of 102", "line 102: 100000-0-0-0.wav is there twice", "line 103: ", "without folders"):
        assert part in str(raised.value)


def test_wrong_columns_stop_even_when_bad_rows_are_skipped(urban, tmp_path):
    root = with_table(urban, tmp_path, lambda lines: [lines[0].replace("classID", "class_id"), *lines[1:]])
    with pytest.raises(BadDataError, match=r"must have the columns .* \(no \['classID'\]\)"):
        urbansound.read(root, skip_bad=True)
    with pytest.raises(BadDataError, match="cannot be read"):
        urbansound.read(tmp_path / "nowhere")


def test_bad_rows_of_tau_are_listed(tau, tmp_path):
    root = tmp_path / "dev"
    (root / "evaluation_setup").mkdir(parents=True)
    (root / "audio").symlink_to(tau / "dev" / "audio")
    good = "audio/bus-helsinki-1-0-a.wav"
    rows = [
        f"{good}\tbus",
        f"{good}\tbus",
        "audio/bus-helsinki-1-0-z.wav\tbus",
        "audio/bus-helsinki-1-0-b.wav\tmoon",
        "audio/bus-helsinki-1-0-c.wav\tpark",
    ]
    (root / "evaluation_setup" / "fold1_train.csv").write_text("filename\tscene_label\n" + "\n".join(rows) + "\n")
    (root / "evaluation_setup" / "fold1_evaluate.csv").write_text(f"filename\tscene_label\n{good}\tbus\n")
    with pytest.raises(BadDataError) as raised:
        dcase.read(root)
    for part in (
        "5 of 6",
        "must start with its scene, park",
        "fold1_train.csv, line 3",
        "-z.wav",
        "got 'moon'",
        "is in fold1_train.csv, line 3 already",
    ):
        assert part in str(raised.value)


def test_folders_need_a_fold_in_each_name(tmp_path):
    for name in ("dog/1-a.wav", "dog/2-b.wav", "siren/1-c.wav", "siren/none.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadDataError, match=r"siren/none\.wav: the name must start with the number of a fold"):
        folders.read(tmp_path)
    catalog = folders.read(tmp_path, skip_bad=True)
    assert [(clip.label, clip.fold) for clip in catalog.clips] == [(0, "1"), (0, "2"), (1, "1")]
    with pytest.raises(BadDataError, match="two class folders or more, got 0"):
        folders.read(tmp_path / "dog")


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_clips_are_mixed_down_and_resampled(tmp_path, rate):
    time = np.arange(rate) / rate
    left, right = np.sin(2 * np.pi * 1000 * time), 0.5 * np.sin(2 * np.pi * 1000 * time)
    soundfile.write(tmp_path / "tone.wav", np.stack([left, right], 1), rate, subtype="FLOAT")
    waveform = decode(tmp_path / "tone.wav", 32000)
    expected = 0.75 * np.sin(2 * np.pi * 1000 * np.arange(32000) / 32000)
    assert waveform.shape == (32000,)
    np.testing.assert_allclose(waveform[1000:-1000], expected[1000:-1000], atol=1e-4)


def sounds(folder, **bad):
    """A catalog of three good clips, and of files with given contents."""
    for i in range(3):
        noise = np.random.default_rng(i).uniform(-0.5, 0.5, 400 + 100 * i)
        soundfile.write(folder / f"{i}.wav", noise, 8000, subtype="FLOAT")
    paths = [folder / f"{i}.wav" for i in range(3)]
    for name, content in bad.items():
        paths.insert(1, folder / f"{name}.wav")
        if isinstance(content, bytes):
            paths[1].write_bytes(content)
        else:
            soundfile.write(paths[1], content, 8000, subtype="FLOAT")
    return Catalog(("noise",), tuple(Clip(path, 0, "1") for path in paths))


@pytest.mark.parametrize("cached", [False, True])
def test_clips_that_cannot_be_decoded_are_all_listed_or_left_out(tmp_path, cached):
    catalog = sounds(tmp_path, corrupt=b"RIFF....", empty=np.zeros(0), holes=np.array([0.0, np.nan, 0.0]))
    folder = tmp_path / "cache" if cached else None
    with pytest.raises(BadDataError) as raised:
        Store(catalog, 8000, folder, progress=False)
    for part in (
        "3 of 6",
        "corrupt.wav: cannot be decoded",
        "empty.wav: has no samples",
        "holes.wav: has samples that",
    ):
        assert part in str(raised.value)
    store = Store(catalog, 8000, folder, progress=False, skip_bad=True)
    assert len(store) == len(store.catalog.clips) == 3
    assert len(store.catalog.skipped) == 3
    for i, clip in enumerate(store.catalog.clips):
        np.testing.assert_array_equal(store[i], decode(clip.path, 8000))


def test_a_cache_is_read_again_until_a_file_changes_and_goes_to_other_processes(tmp_path, monkeypatch):
    catalog = sounds(tmp_path)
    first = Store(catalog, 8000, tmp_path / "cache", progress=False)
    monkeypatch.setattr("recipes.store.decode", lambda *_: pytest.fail("decoded again"))
    second = pickle.loads(pickle.dumps(Store(catalog, 8000, tmp_path / "cache", progress=False)))
    assert all(np.array_equal(first[i], second[i]) for i in range(3))
    os.utime(catalog.clips[0].path, ns=(0, 0))
    with pytest.raises(BaseException, match="decoded again"):
        Store(catalog, 8000, tmp_path / "cache", progress=False)


def test_a_cache_that_was_cut_short_is_decoded_again(tmp_path):
    catalog = sounds(tmp_path)
    Store(catalog, 8000, tmp_path / "cache", progress=False)
    file = next((tmp_path / "cache").glob("*.f32"))
    for spoil in (lambda: os.truncate(file, 100), file.unlink):
        spoil()
        store = Store(catalog, 8000, tmp_path / "cache", progress=False)
        for i, clip in enumerate(catalog.clips):
            np.testing.assert_array_equal(store[i], decode(clip.path, 8000))


def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(tmp_path):
    catalog, cache = sounds(tmp_path), tmp_path / "cache"
    script = (
        "import os, pathlib, pickle, signal, sys, recipes.store as store\n"
        "catalog, cache = pickle.loads(bytes.fromhex(sys.argv[1])), pathlib.Path(sys.argv[2])\n"
        "decode = store.decode\n"
        "def kill(path, rate):\n"
        "    return os.kill(os.getpid(), signal.SIGKILL) if path.name == '2.wav' else decode(path, rate)\n"
        "store.decode = kill\n"
        "store.Store(catalog, 8000, cache, progress=False, workers=1)\n"
    )
    examples = str(Path(store_module.__file__).parents[1])
    arguments = [sys.executable, "-c", script, pickle.dumps(catalog).hex(), str(cache)]
    done = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": examples}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.suffix for path in cache.iterdir()] == [".part"]
    store = Store(catalog, 8000, cache, progress=False)
    assert all(np.array_equal(store[i], decode(clip.path, 8000)) for i, clip in enumerate(catalog.clips))


def test_a_stopped_decoding_leaves_nothing_that_is_taken_for_whole(tmp_path, monkeypatch):
    catalog = sounds(tmp_path)

    def stop(path, rate):
        if path.name == "2.wav":
            raise KeyboardInterrupt
        return decode(path, rate)

    with monkeypatch.context() as patch:
        patch.setattr("recipes.store.decode", stop)
        with pytest.raises(KeyboardInterrupt):
            Store(catalog, 8000, tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(Store(catalog, 8000, tmp_path / "cache", progress=False)) == 3


def test_a_full_disk_is_told_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(OSError, match=r"data\.cache must have .* GiB free"):
        Store(sounds(tmp_path), 8000, tmp_path / "cache", progress=False)
