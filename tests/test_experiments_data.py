import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from small_sounds import RATE, catalog, classes, noise, store, tone, write

from experiments.data import dcase2020_task1a as tau
from experiments.data import download, folders, generated, planted, small_sets, synthetic
from experiments.data import store as store_module
from experiments.data import urbansound8k as urban
from experiments.data.module import ClipData, Clips, collate
from experiments.data.reading import decode
from experiments.data.sampling import EpochSampler
from experiments.data.store import Store
from experiments.files import BadDataError

# Published sets


@pytest.fixture(scope="module")
def urban_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("UrbanSound8K")
    assert small_sets.main(["urbansound8k", str(root), "--seconds", "0.1"]) == 0
    return root


@pytest.fixture(scope="module")
def tau_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tau")
    line = ["dcase2020_task1a", str(root / "dev"), "--blind", str(root / "eval"), "--seconds", "0.1"]
    assert small_sets.main(line) == 0
    return root


def with_table(root, tmp_path, change):
    """The same audio under a changed table."""
    copy = tmp_path / "set"
    (copy / "metadata").mkdir(parents=True)
    (copy / "audio").symlink_to(root / "audio")
    lines = (root / urban.TABLE).read_text().splitlines()
    (copy / urban.TABLE).write_text("\n".join(change(lines)) + "\n")
    return copy


def test_urbansound_has_ten_folds_ten_classes_and_clips_of_all_kinds(urban_root):
    found = urban.read(urban_root)
    assert {(clip.fold, clip.label) for clip in found.clips} == {(str(f), c) for f in range(1, 11) for c in range(10)}
    assert found.folds == [str(fold) for fold in range(1, 11)]
    assert found.keep_silence
    kinds = {(soundfile.info(clip.path).samplerate, soundfile.info(clip.path).channels) for clip in found.clips}
    assert kinds == {(44100, 2), (48000, 2), (22050, 1), (96000, 2), (44100, 1)}


def test_tau_has_the_official_split_its_devices_and_a_blind_set(tau_root):
    for blind in (tau_root / "eval", str(tau_root / "eval")):  # a configuration has text
        found = tau.read(tau_root / "dev", blind=blind)
        devices = {fold: {c.device for c in found.clips if c.fold == fold} for fold in ("train", "test", "blind")}
        assert devices == {"train": {"a", "b", "c", "s1", "s2", "s3"}, "test": set(tau.DEVICES), "blind": {""}}
        assert found.folds == ["test", "train"]
        assert all((clip.label is None) == (clip.fold == "blind") for clip in found.clips)
        assert sum(clip.fold == "blind" for clip in found.clips) == 10


def test_clips_of_the_blind_set_lie_elsewhere_and_have_names_all_the_same(tau_root, tmp_path):
    found = tau.read(tau_root / "dev", blind=tau_root / "eval")
    names = [found.name(i) for i, clip in enumerate(found.clips) if clip.fold == "blind"]
    assert names == [f"../eval/audio/{i}.wav" for i in range(10)]
    decoded = Store(found, RATE, tmp_path / "cache")
    decoded.claim(tmp_path / "clips.csv")
    decoded.claim(tmp_path / "clips.csv")
    assert [row[:3] for row in decoded.rows()[-10:]] == [(name, "", "blind") for name in names]
    (tau_root / "eval" / "evaluation_setup" / "fold1_test.csv").rename(tmp_path / "test.csv")
    with pytest.raises(BadDataError, match=r"fold1_test\.csv cannot be read"):
        tau.read(tau_root / "dev", blind=tau_root / "eval")
    (tmp_path / "test.csv").rename(tau_root / "eval" / "evaluation_setup" / "test.csv")  # its other name
    assert len(tau.read(tau_root / "dev", blind=tau_root / "eval").clips) == len(found.clips)


def test_every_bad_row_is_listed_or_left_out_on_request(urban_root, tmp_path):
    def spoil(lines):
        rows = [line.split(",") for line in lines]
        rows[1][5] = "11"
        rows[2][7] = "violin"
        rows[3][6] = "9"
        rows[4][0] = "missing.wav"
        rows[5][0] = "../../../outside.wav"
        return [",".join(row) for row in [*rows, rows[6]]]

    root = with_table(urban_root, tmp_path, spoil)
    with pytest.raises(BadDataError) as raised:
        urban.read(root)
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
    found = urban.read(root, skip_bad=True)
    assert (len(found.clips), len(found.skipped)) == (95, 6)


def test_a_clip_in_two_folds_is_refused(urban_root, tmp_path):
    def repeat(lines):
        rows = [line.split(",") for line in lines]
        elsewhere, around = list(rows[1]), list(rows[1])
        elsewhere[5], around[5], around[0] = "2", "3", f"../fold1/{rows[1][0]}"
        return [",".join(row) for row in [*rows, elsewhere, around]]

    with pytest.raises(BadDataError) as raised:
        urban.read(with_table(urban_root, tmp_path, repeat))
    for part in ("2 of 102", "line 102: 100000-0-0-0.wav is there twice", "line 103: ", "without folders"):
        assert part in str(raised.value)


def test_wrong_columns_stop_even_when_bad_rows_are_skipped(urban_root, tmp_path):
    root = with_table(urban_root, tmp_path, lambda lines: [lines[0].replace("classID", "class_id"), *lines[1:]])
    with pytest.raises(BadDataError, match=r"must have the columns .* \(no \['classID'\]\)"):
        urban.read(root, skip_bad=True)
    with pytest.raises(BadDataError, match="cannot be read"):
        urban.read(tmp_path / "nowhere")


def test_bad_rows_of_tau_are_listed(tau_root, tmp_path):
    root = tmp_path / "dev"
    (root / "evaluation_setup").mkdir(parents=True)
    (root / "audio").symlink_to(tau_root / "dev" / "audio")
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
        tau.read(root)
    for part in (
        "5 of 6",
        "must start with its scene, park",
        "fold1_train.csv, line 3",
        "-z.wav",
        "got 'moon'",
        "is in fold1_train.csv, line 3 already",
    ):
        assert part in str(raised.value)


@pytest.mark.parametrize("bad", ["--clips=0", "--seconds=nan", "--seconds=-1"])
def test_small_sets_of_bad_sizes_are_refused(tmp_path, capsys, bad):
    with pytest.raises(SystemExit):
        small_sets.main(["urbansound8k", str(tmp_path / "set"), bad])
    assert f"{bad.split('=')[0]}: must be " in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("missing", "invalid"), [({}, {}), ({"clips": {"1": ["a"], "2": ["b"]}}, {"clips": {"3": []}})]
)
def test_a_download_is_checked(tmp_path, capsys, monkeypatch, missing, invalid):
    asked = []
    source = SimpleNamespace(download=lambda: asked.append("download"), validate=lambda: (missing, invalid))
    module = ModuleType("soundata")
    module.initialize = lambda name, data_home: asked.append((name, data_home)) or source
    monkeypatch.setitem(sys.modules, "soundata", module)
    status = download.main(["dcase2020_task1a", str(tmp_path)])
    assert asked == [("tau2020uas_mobile", str(tmp_path)), "download"]
    assert status == (2 if missing else 0)
    assert ("misses 2 files of dcase2020_task1a, and 1 differ" in capsys.readouterr().err) == bool(missing)


# Generated sounds


def test_synthetic_sounds_repeat_from_their_seed_and_differ_from_clip_to_clip():
    first, names = synthetic.synthesize(RATE, 0.5, 2, seed=3)
    again, _ = synthetic.synthesize(RATE, 0.5, 2, seed=3)
    other, _ = synthetic.synthesize(RATE, 0.5, 2, seed=4)
    assert names == list(synthetic.SOUNDS)
    assert len(names) == 10
    np.testing.assert_array_equal(first, again)
    assert np.abs(first).max() < 1
    assert np.isfinite(first).all()
    similarity = np.corrcoef(np.concatenate([first, other]))
    assert np.abs(similarity - np.eye(40)).max() < 0.9


@pytest.mark.parametrize("kind", generated.KINDS)
def test_a_folder_of_generated_sounds_has_their_samples_and_folds_in_turn(tmp_path, kind):
    root = generated.make_folder(tmp_path, kind, 16000, 0.25, 3, n_folds=2)
    if kind == "urban":
        clips, names = synthetic.synthesize(16000, 0.25, 3, seed=0)
    else:
        clips, names = planted.plant(kind, 16000, 0.25, 3, seed=0)
    found = folders.read(root)
    assert set(found.classes) == set(names)
    numbered = {int(clip.path.stem.split("-")[1]): clip for clip in found.clips}
    assert sorted(numbered) == list(range(len(clips)))
    for i, clip in numbered.items():
        assert found.classes[clip.label] == names[i // 3]
        assert clip.fold == str(1 + i % 2)
        np.testing.assert_allclose(decode(clip.path, 16000), clips[i], atol=2**-14)  # 16 bits
        assert soundfile.info(clip.path).subtype == "PCM_16"


def test_a_folder_of_generated_sounds_is_made_once_and_whole(tmp_path, monkeypatch):
    arguments = (tmp_path, "urban", RATE, 0.1, 5)
    write_file = soundfile.write

    def stop(path, *args, **options):
        if path.parent.name == "drilling":
            raise KeyboardInterrupt
        write_file(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            generated.make_folder(*arguments)
    assert list(tmp_path.iterdir()) == []
    root = generated.make_folder(*arguments)
    assert root == tmp_path / "urban-8000Hz-0.1s-5"
    assert list(tmp_path.iterdir()) == [root]
    monkeypatch.setattr(soundfile, "write", lambda *_, **__: pytest.fail("made again"))
    assert generated.make_folder(*arguments) == root
    monkeypatch.setattr(soundfile, "write", write_file)
    assert folders.read(generated.make_folder(*arguments, n_folds=3)).folds == ["1", "2", "3"]


def test_a_folder_that_another_process_made_meanwhile_is_taken(tmp_path, monkeypatch):
    target, synthesize = tmp_path / "urban-8000Hz-0.1s-1", synthetic.synthesize

    def meanwhile(*args, **options):
        write(target / "other" / "1-0.wav", noise())
        return synthesize(*args, **options)

    monkeypatch.setattr(synthetic, "synthesize", meanwhile)
    assert generated.make_folder(tmp_path, "urban", RATE, 0.1, 1) == target
    assert [path.name for path in target.iterdir()] == ["other"]
    assert list(tmp_path.iterdir()) == [target]


def test_generated_sounds_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(BadDataError, match=r"sample_rate must be more than 15800 Hz for planted-high, got 8000"):
        generated.make_folder(tmp_path, "planted-high", 8000, 1.0, 5)
    with pytest.raises(BadDataError, match=r"seconds must be at least 0\.05, and 50 samples, got 0\.001 at 8000 Hz"):
        generated.make_folder(tmp_path, "urban", RATE, 0.001, 5)
    assert list(tmp_path.iterdir()) == []


# Store

THREE = {"0.wav": 0.1, "1.wav": 0.15, "2.wav": 0.2}


def test_clips_that_cannot_be_decoded_are_all_listed_or_left_out(tmp_path):
    root = classes(tmp_path / "sounds", {**THREE, "silent.wav": np.zeros(RATE), "holes.wav": np.full(RATE, np.nan)})
    (root / "corrupt.wav").write_bytes(b"RIFF....")
    (root / "empty.wav").touch()
    clips = catalog(root, "0.wav", "corrupt.wav", "1.wav", "empty.wav", "silent.wav", "holes.wav", "gone.wav", "2.wav")
    for _ in range(2):  # from the files, and from the cache
        with pytest.raises(BadDataError) as raised:
            Store(clips, RATE, tmp_path / "cache")
        assert str(raised.value).startswith("5 of 8 clips cannot be used (skip_bad leaves them out)")
        for line in (
            "corrupt.wav: cannot be decoded",
            "empty.wav: is an empty file",
            "silent.wav: is silent",
            "holes.wav: has samples that are not finite",
            "gone.wav: cannot be decoded",
        ):
            assert f"\n  {line}" in str(raised.value)
        kept = Store(clips, RATE, tmp_path / "cache", skip_bad=True)
        assert [clip.path.name for clip in kept.catalog.clips] == list(THREE)
        assert len(kept) == 3
        assert len(kept.catalog.skipped) == 5
        for i, clip in enumerate(kept.catalog.clips):
            np.testing.assert_array_equal(kept.read(i), decode(clip.path, RATE))


def test_only_the_start_is_kept_where_a_length_is_given(tmp_path):
    files = {"short.wav": 0.1, "long.wav": 0.9, "late.wav": np.concatenate([np.zeros(RATE), np.ones(RATE)])}
    with pytest.raises(BadDataError, match=r"\n  late\.wav: is silent in its first 0\.5 s"):
        store(tmp_path, files, seconds=0.5)
    kept = store(tmp_path, files, seconds=0.5, skip_bad=True)
    assert [kept.length(i) for i in range(2)] == [800, 4000]
    np.testing.assert_array_equal(kept.read(1), noise(0.9, 1)[:4000].astype(np.float32))
    assert store(tmp_path, files).length(2) == 2 * RATE


def test_parts_of_a_clip_are_read_from_the_file(tmp_path):
    kept = store(tmp_path, THREE)
    whole = kept.read(1)
    np.testing.assert_array_equal(whole, noise(0.15, 1).astype(np.float32))
    np.testing.assert_array_equal(kept.read(1, 100, 50), whole[100:150])
    np.testing.assert_array_equal(kept.read(1, 1190, 50), whole[1190:])
    np.testing.assert_array_equal(kept.read(1, 100), whole[100:])


def test_a_cache_is_read_until_a_clip_has_other_bytes_and_goes_to_other_processes(tmp_path, monkeypatch):
    first = store(tmp_path, THREE)
    path = first.catalog.clips[0].path
    os.utime(path, ns=(0, 0))
    path.rename(path.with_name("moved.wav"))
    clips = catalog(path.parent, "moved.wav", "1.wav", "2.wav")
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "decode_blocks", lambda *_, **__: pytest.fail("decoded again"))
        second = pickle.loads(pickle.dumps(Store(clips, RATE, tmp_path / "cache")))
        assert all(np.array_equal(first.read(i), second.read(i)) for i in range(3))
        for change in ({"sample_rate": 4000}, {"seconds": 0.1}):
            with pytest.raises(BaseException, match="decoded again"):
                Store(clips, **{"sample_rate": RATE, **change}, folder=tmp_path / "cache")
    write(path.with_name("moved.wav"), noise(0.1, 9))  # as long as before
    np.testing.assert_array_equal(Store(clips, RATE, tmp_path / "cache").read(0), noise(0.1, 9).astype(np.float32))


def test_files_that_did_not_change_are_not_read_again(tmp_path, monkeypatch):
    kept = store(tmp_path, THREE)
    monkeypatch.setattr(store_module.hashlib, "sha256", lambda *content: content or pytest.fail("read again"))
    assert store_module._hashes(kept.catalog.clips, tmp_path / "cache") == kept.hashes
    os.utime(kept.catalog.clips[0].path, ns=(0, 0))
    with pytest.raises(BaseException, match="read again"):
        store_module._hashes(kept.catalog.clips, tmp_path / "cache")


@pytest.mark.parametrize("suffix", ["f32", "json"])
@pytest.mark.parametrize("spoil", [lambda f: os.truncate(f, 10), lambda f: os.truncate(f, 0), os.unlink])
def test_a_cache_that_was_cut_short_is_decoded_again(tmp_path, suffix, spoil):
    store(tmp_path, THREE)
    spoil(next(path for path in (tmp_path / "cache").glob(f"*.{suffix}") if path.name != "contents.json"))
    (tmp_path / "cache" / "contents.json").write_text("")
    kept = store(tmp_path, THREE)
    for i, clip in enumerate(kept.catalog.clips):
        np.testing.assert_array_equal(kept.read(i), decode(clip.path, RATE))


def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(tmp_path):
    root = classes(tmp_path / "sounds", THREE)
    clips, cache = catalog(root, *THREE), tmp_path / "cache"
    script = (
        "import os, pathlib, pickle, signal, sys, experiments.data.store as store\n"
        "catalog, cache = pickle.loads(bytes.fromhex(sys.argv[1])), pathlib.Path(sys.argv[2])\n"
        "decode_blocks = store.decode_blocks\n"
        "def kill(path, *args, **options):\n"
        "    if path.name == '2.wav':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return decode_blocks(path, *args, **options)\n"
        "store.decode_blocks, store.os.cpu_count = kill, lambda: 1\n"
        "store.Store(catalog, 8000, cache)\n"
    )
    arguments = [sys.executable, "-c", script, pickle.dumps(clips).hex(), str(cache)]
    done = subprocess.run(arguments, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path.suffix for path in cache.iterdir()} == {".part", ".json"}
    assert [path.name for path in cache.glob("*.json")] == ["contents.json"]
    kept = Store(clips, RATE, cache)
    assert all(np.array_equal(kept.read(i), decode(clip.path, RATE)) for i, clip in enumerate(clips.clips))


def test_a_stopped_decoding_leaves_nothing_that_is_taken_for_whole(tmp_path, monkeypatch):
    decode_blocks = store_module.decode_blocks

    def stop(path, *args, **options):
        if path.name == "2.wav":
            raise KeyboardInterrupt
        return decode_blocks(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "decode_blocks", stop)
        with pytest.raises(KeyboardInterrupt):
            store(tmp_path, THREE)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["contents.json"]
    assert len(store(tmp_path, THREE)) == 3


def test_a_full_disk_is_told_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(BadDataError, match=r"cache must have .* GiB free, got 0\.00 in .*cache"):
        store(tmp_path, THREE)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["contents.json"]


def test_equal_clips_in_two_classes_or_folds_are_named(tmp_path):
    equal, other = noise(0.1, 50), noise(0.1, 51)
    files = {"a.wav": equal, "b.wav": 0.1, "c.wav": equal, "d.wav": other, "e.wav": other, "f.wav": 0.1}
    root = classes(tmp_path / "sounds", {**files, "g.wav": noise(0.1, 1), "h.wav": noise(0.1, 5)})
    names = [*files, "g.wav", "h.wav"]
    clips = catalog(root, *names, labels=[0, 0, 1, 0, 0, 0, 0, 0], folds=["1", "1", "1", "1", "2", "1", "blind", "1"])
    assert Store(clips, RATE, tmp_path / "cache").notes() == [
        "the same clip is in 2 classes: a.wav, c.wav",
        "the same clip is in 2 folds: d.wav, e.wav",  # not b and g, which is blind, nor f and h, which are alike
    ]


def test_clips_that_differ_from_those_of_earlier_results_are_named(tmp_path):
    names = ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav", " 5.wav"]
    root = classes(tmp_path / "sounds", dict.fromkeys(names, 0.1))
    table = tmp_path / "out" / "clips.csv"

    def claim(*names, rate=RATE, **others):
        Store(catalog(root, *names, **others), rate, tmp_path / "cache").claim(table)

    claim(*names[:4])
    before = table.read_text()
    claim(*names[:4])
    claim(*reversed(names[:4]))
    claim(*names[:4], rate=11025)  # the same clips
    write(root / "3.wav", noise(0.2, 99))
    with pytest.raises(BadDataError) as raised:
        claim("1.wav", "2.wav", "3.wav", "4.wav", labels=[1, 0, 0, 0], folds=["1", "2", "1", "1"])
    assert str(raised.value) == (
        f"{table.parent} has results of other clips: name another folder, or the clips of clips.csv\n"
        "  0.wav is gone\n  1.wav has another label\n  2.wav has another fold\n  3.wav has another content\n"
        "  4.wav is new"
    )
    assert table.read_text() == before
    table.unlink()
    for _ in range(2):
        claim(*names, labels=[0, 1] * 3)


def test_many_other_clips_are_counted(tmp_path):
    kept = store(tmp_path, THREE)
    kept.claim(tmp_path / "clips.csv")
    lines = (tmp_path / "clips.csv").read_text().splitlines()
    (tmp_path / "clips.csv").write_text("\n".join([*lines, *(f"old{i}.wav,noise,1,1,1,x" for i in range(30))]) + "\n")
    with pytest.raises(BadDataError, match=r"old17\.wav is gone\n  and 20 more$"):
        kept.claim(tmp_path / "clips.csv")


def test_a_digest_tells_the_clips_of_a_fold_by_name_class_and_content(tmp_path):
    def digest(samples, label=0, fold="1", name="a.wav"):
        root = classes(tmp_path / "sounds", {name: samples, "b.wav": noise(0.1, 7)})
        return Store(catalog(root, name, "b.wav", labels=[label, 0], folds=[fold, "2"]), RATE, tmp_path / "c").digest(
            "1"
        )

    same = digest(noise(0.1, 0))
    assert digest(noise(0.1, 0)) == same
    others = {digest(noise(0.1, 1)), digest(noise(0.1, 0), label=1), digest(noise(0.1, 0), name="c.wav")}
    assert len(others | {same, digest(noise(0.1, 0), fold="2")}) == 5


# Examples


def test_clips_have_one_length_and_a_peak_of_one(tmp_path):
    files = {"short.wav": np.full(RATE // 4, 0.5), "long.wav": tone(1000), "other.wav": tone(200, 0.5)}
    data = Clips(store(tmp_path, files), range(3), length=RATE // 2)
    examples = [data[0, i] for i in range(3)]
    assert [i for _, _, i in examples] == [0, 1, 2]
    short, long, _ = (waveform for waveform, _, _ in examples)
    assert all(waveform.shape == (RATE // 2,) and waveform.dtype == np.float32 for waveform, _, _ in examples)
    assert short[: RATE // 4].min() > 0.999
    assert not short[RATE // 4 :].any()
    np.testing.assert_allclose(long, tone(1000, 0.5) / 0.3001, atol=1e-3)
    batch = collate([Clips(data.store, range(3))[0, i] for i in range(3)])
    assert batch["waveform"].shape == (3, RATE)
    assert batch["lengths"].tolist() == [RATE // 4, RATE, RATE // 2]
    assert not batch["waveform"][0, RATE // 4 :].any()
    assert batch["label"].tolist() == [0, 0, 0]


def ramp(count):
    """Samples that tell where they lie."""
    return np.arange(1, count + 1) / 2**15


def starts(data, epoch):
    """Clip and first sample of each example."""
    found = []
    for k in range(len(data)):
        waveform, _, i = data[epoch, k]
        step = np.diff(waveform[waveform > 0][:2].astype(float))[0]
        found.append((i, round(waveform[0] / step) - 1))
    return found


def test_windows_of_a_test_cover_every_sample_and_end_with_the_recording(tmp_path):
    kept = store(tmp_path, {"a.wav": ramp(1000), "b.wav": ramp(2500), "c.wav": ramp(600)})
    data = Clips(kept, range(3), length=1000, windows=True)
    assert starts(data, 0) == starts(data, 1) == [(0, 0), (1, 0), (1, 1000), (1, 1500), (2, 0)]
    assert [len(data[0, k][0]) for k in range(5)] == [1000] * 5
    assert not data[0, 4][0][600:].any()
    assert data[0, 4][0][599] > 0.99
    assert starts(Clips(kept, range(3), length=1000), 0) == [(0, 0), (1, 0), (2, 0)]


def test_windows_of_training_are_drawn_anew_in_each_epoch_and_the_same_again(tmp_path):
    kept = store(tmp_path, {"a.wav": ramp(8000), "b.wav": ramp(600)})
    data = Clips(kept, range(2), length=1000, windows=True, training=True)
    first = starts(data, 0)
    assert [i for i, _ in first] == [0] * 8 + [1]
    assert first[-1] == (1, 0)
    assert starts(Clips(kept, range(2), length=1000, windows=True, training=True), 0) == first
    assert starts(data, 1) != first
    assert starts(Clips(kept, range(2), length=1000, windows=True, training=True, seed=1), 0) != first
    drawn = [start for epoch in range(50) for i, start in starts(data, epoch) if i == 0]
    assert min(drawn) < 150
    assert 6850 < max(drawn) <= 7000
    assert 3000 < np.mean(drawn) < 4000  # 3500, standard deviation 100


def test_rotated_clips_are_the_same_samples_from_another_place_in_training_only(tmp_path):
    kept = store(tmp_path, {"a.wav": ramp(1000)})
    plain, _, _ = Clips(kept, [0])[0, 0]
    data = Clips(kept, [0], training=True, rotate=True)
    shifts = [int(np.argmin(data[epoch, 0][0])) for epoch in range(20)]
    assert len(set(shifts)) > 15
    for epoch, shift in enumerate(shifts):
        np.testing.assert_array_equal(data[epoch, 0][0], np.roll(plain, shift))
    np.testing.assert_array_equal(Clips(kept, [0], rotate=True)[5, 0][0], plain)


def test_every_process_gets_its_share_of_the_same_order():
    one = EpochSampler(10, seed=3, batch_size=4)
    one.set_epoch(2)
    order = list(one)
    assert len(order) == len(one) == 8
    assert {epoch for epoch, _ in order} == {2}
    two = [EpochSampler(10, seed=3, batch_size=4, rank=rank, world=2) for rank in (0, 1)]
    for sampler in two:
        sampler.set_epoch(2)
    assert [list(sampler) for sampler in two] == [order[0::2], order[1::2]]
    one.set_epoch(3)
    assert [i for _, i in one] != [i for _, i in order]
    assert list(EpochSampler(3)) == [(0, 0), (0, 1), (0, 2)]
    with pytest.raises(BadDataError, match="batch_size must be at most the 3 training examples, got 4"):
        EpochSampler(3, batch_size=4)
    with pytest.raises(BadDataError, match="batch_size must be a multiple of the 2 processes, got 3"):
        EpochSampler(3, batch_size=3, world=2)


@pytest.fixture
def recordings(tmp_path):
    """Two classes of three clips, one in each of three folds, in other formats and at other rates."""
    for label, name in enumerate(("high", "low")):
        for fold, (suffix, rate) in enumerate((("wav", 8000), ("flac", 16000), ("ogg", 22050)), start=1):
            sound = tone((1000, 200)[label], 1.0, rate)
            (tmp_path / name).mkdir(exist_ok=True)
            soundfile.write(tmp_path / name / f"{fold}-{name}.{suffix}", np.stack([sound, sound], axis=1), rate)
    return tmp_path


def clip_data(root, **options):
    data = ClipData(root, test_fold="2", sample_rate=RATE, cache=root / ".cache", **{"batch_size": 2, **options})
    data.setup("fit")
    return data


def test_folds_are_trained_on_validated_and_tested_apart(recordings):
    data = clip_data(recordings, val_fold="3", seconds=0.5)
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    for fold, loader in zip("132", loaders, strict=True):
        (batch,) = loader
        assert {data.catalog.clips[i].fold for i in batch["index"].tolist()} == {fold}
        assert sorted(batch["label"].tolist()) == [0, 1]
        spectrum = torch.fft.rfft(batch["waveform"]).abs()  # bins of 2 Hz
        peaks = dict(zip(batch["label"].tolist(), (2 * spectrum.argmax(-1)).tolist(), strict=True))
        assert peaks == {0: 1000, 1: 200}
        assert batch["waveform"].shape == (2, RATE // 2)
        assert batch["waveform"].abs().amax(-1).sub(1).abs().max() < 0.01
    assert clip_data(recordings).val_dataloader() == []
    assert len(clip_data(recordings).train_dataloader().dataset) == 4


def test_windows_make_several_examples_of_a_recording(recordings):
    data = clip_data(recordings, window=0.3)
    training = list(data.train_dataloader())
    assert Counter(i for batch in training for i in batch["index"].tolist()) == dict.fromkeys(
        [i for i, clip in enumerate(data.catalog.clips) if clip.fold != "2"], 4
    )
    batches = list(data.test_dataloader())
    assert sum(len(batch["index"]) for batch in batches) == 8
    assert {batch["waveform"].shape[-1] for batch in (*training, *batches)} == {2400}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test_fold": "7"}, "test_fold must be one of ['1', '2', '3'], got '7'"),
        ({"val_fold": "blind"}, "val_fold must be one of ['1', '2', '3'], got 'blind'"),
        ({"correct_spectra": True}, "augmentation must be given with correct_spectra, got None"),
        ({"seconds": 1.0, "window": 1.0}, "seconds must be left out with a window, got 1.0 and 1.0"),
        ({"seconds": float("nan")}, "seconds must be positive and finite, got nan"),
        ({"window": 0.0}, "window must be positive and finite, got 0.0"),
        ({"sample_rate": 0}, "sample_rate must be positive and finite, got 0"),
        ({"options": {"blind": "x"}}, "data.options of folders must not have blind: it has no such options"),
    ],
)
def test_arguments_that_do_not_work_are_refused_by_name(recordings, options, words):
    with pytest.raises(BadDataError) as raised:
        ClipData(
            recordings, **{"test_fold": "2", "cache": recordings / ".cache", "sample_rate": RATE, **options}
        ).setup("fit")
    assert words in str(raised.value)


def test_a_set_without_a_blind_part_predicts_nothing(recordings):
    data = ClipData(recordings, test_fold="2", sample_rate=RATE, cache=recordings / ".cache")
    with pytest.raises(BadDataError, match=r"options\.blind must be the folder of a set without labels to predict"):
        data.setup("predict")
