import csv
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from small_sounds import RATE, catalog, classes, noise, tone, touch, write

from experiments.data import folders, reading
from experiments.data.catalog import read_catalog
from experiments.data.folds import choose_folds
from experiments.data.reading import decode, decode_blocks, duration
from experiments.data.store import Store
from experiments.files import BadDataError, read_table

# Suffix, container, encoding.
FORMATS = [
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "IMA_ADPCM"),
    ("wav", "WAV", "MS_ADPCM"),
    ("wav", "WAVEX", "PCM_16"),
    ("wav", "NIST", "PCM_16"),
    ("rf64", "RF64", "PCM_16"),
    ("aiff", "AIFF", "PCM_16"),
    ("w64", "W64", "PCM_16"),
    ("au", "AU", "PCM_16"),
    ("caf", "CAF", "PCM_16"),
    ("flac", "FLAC", "PCM_16"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
]
each_format = pytest.mark.parametrize(
    ("suffix", "container", "subtype"), FORMATS, ids=[f"{c}-{s}" for _, c, s in FORMATS]
)


def clip_of(path, container, subtype, seconds=1.0):
    """Two channels of noise; libsndfile writes NIST's header for one only as it should."""
    samples = np.stack([noise(seconds, 1, 48000), noise(seconds, 2, 48000)], axis=1)
    return write(path, samples, 48000, subtype, container)


def reason(path, **options):
    with pytest.raises(BadDataError) as raised:
        decode(path, RATE, **options)
    return str(raised.value)


# Reading one file


@each_format
def test_blocks_of_each_format_are_what_libsndfile_reads_at_once(tmp_path, monkeypatch, suffix, container, subtype):
    path = clip_of(tmp_path / f"clip.{suffix}", container, subtype)
    monkeypatch.setattr(reading, "BLOCK", 0.13)
    blocks = list(decode_blocks(path, 48000))
    expected, _ = soundfile.read(path, dtype="float32")
    assert len(blocks) > 7
    # A seek within MP3 rounds anew.
    np.testing.assert_allclose(np.concatenate(blocks), expected.mean(axis=1), atol=1e-6)
    assert duration(path) == len(expected) / 48000


@each_format
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_file_that_was_cut_short_is_refused(tmp_path, suffix, container, subtype, share):
    path = clip_of(tmp_path / f"clip.{suffix}", container, subtype)
    os.truncate(path, int(share * path.stat().st_size))
    assert any(words in reason(path) for words in ("cut short", "cannot be decoded"))
    assert duration(path) == 0


@pytest.mark.parametrize("container", ["WAV", "FLAC", "AIFF", "AU", "W64", "CAF"])
def test_a_header_without_samples_and_an_empty_file_are_refused(tmp_path, container):
    path = write(tmp_path / "clip", noise(), RATE, "PCM_16", container)
    header = path.read_bytes()
    path.write_bytes(header[: len(header) - 2 * len(noise())] if container != "FLAC" else header[:86])
    assert reason(path)
    path.write_bytes(b"")
    assert reason(path) == "is an empty file"


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_what_is_no_sound_is_refused(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(b"RIFF and fLaC, but not really")
    assert reason(path).startswith("cannot be decoded")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_was_piped_is_whole(tmp_path, size, riff):
    path = write(tmp_path / "clip.wav", noise(), RATE, "PCM_16")
    expected = decode(path, RATE)
    content = bytearray(path.read_bytes())
    start = content.index(b"data") + 4
    content[4:8], content[start : start + 4] = riff.to_bytes(4, "little"), size.to_bytes(4, "little")
    path.write_bytes(content)
    np.testing.assert_array_equal(decode(path, RATE), expected)
    assert duration(path) == len(noise()) / RATE


def test_an_empty_wav_is_not_taken_for_a_piped_one_because_of_the_chunks_behind(tmp_path):
    path = write(tmp_path / "clip.wav", np.zeros(0), RATE, "PCM_16")
    content = bytearray(path.read_bytes()) + b"LIST" + (4000).to_bytes(4, "little") + bytes(range(1, 251)) * 16
    content[4:8] = (len(content) - 8).to_bytes(4, "little")
    path.write_bytes(content)
    assert "has no samples" in reason(path, keep_silence=True)


def test_wrong_numbers_that_are_no_lengths_do_not_make_a_file_cut_short(tmp_path):
    path = write(tmp_path / "clip.wav", noise(), RATE, "PCM_16")
    expected, content = decode(path, RATE), bytearray(path.read_bytes())
    content[28:32] = (10**6).to_bytes(4, "little")  # bytes per second
    path.write_bytes(content)
    with soundfile.SoundFile(path) as file:
        assert "Bytes/sec     : 1000000 (should be 16000)" in file.extra_info
    np.testing.assert_array_equal(decode(path, RATE), expected)


def test_flac_without_a_length_is_refused_with_the_reason(tmp_path):
    path = write(tmp_path / "clip.flac", noise(), RATE, "PCM_16")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert "has no length in its header" in reason(path)
    assert duration(path) == 0


def test_samples_that_cannot_be_used_are_told(tmp_path):
    assert reason(write(tmp_path / "a.wav", np.array([0.0, np.nan] * 400))) == "has samples that are not finite"
    assert "has 10 samples at 8000 Hz, at least 0.05 s are needed" in reason(write(tmp_path / "b.wav", np.ones(10)))
    assert reason(write(tmp_path / "c.wav", np.zeros(RATE))) == "is silent"
    late = write(tmp_path / "d.wav", np.concatenate([np.zeros(RATE), np.ones(RATE)]))
    assert reason(late, seconds=0.5) == "is silent in its first 0.5 s"
    assert len(decode(late, RATE)) == 2 * RATE
    assert decode(tmp_path / "b.wav", RATE, keep_silence=True).tolist() == [1.0] * 10
    assert not decode(tmp_path / "c.wav", RATE, keep_silence=True).any()


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_clips_are_mixed_down_and_resampled(tmp_path, monkeypatch, rate):
    left = tone(1000, 1.0, rate)
    path = write(tmp_path / "tone.wav", np.stack([left, 0.5 * left], 1), rate)
    waveform = decode(path, 32000)
    assert waveform.shape == (32000,)
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform[1000:-1000], 0.75 * tone(1000, 1.0, 32000)[1000:-1000], atol=1e-4)
    monkeypatch.setattr(reading, "BLOCK", 0.05)
    np.testing.assert_allclose(decode(path, 32000), waveform, atol=1e-6)
    samples, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(waveform, soxr.resample(samples.mean(1), rate, 32000, "VHQ"), atol=1e-6)
    # The start of a clip is the same, whether the rest is read or not.
    start = decode(path, 32000, seconds=0.25)
    assert start.shape == (8000,)
    np.testing.assert_allclose(start, waveform[:8000], atol=1e-4)


def test_only_what_is_needed_of_a_long_recording_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "long.wav", noise(30.0), RATE, "PCM_16")
    counts, read = [], soundfile.SoundFile.read

    def counted(self, *args, **options):
        found = read(self, *args, **options)
        counts.append(len(found))
        return found

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    assert len(decode(path, 4000, seconds=1.0)) == 4000
    assert sum(counts) <= 1.1 * RATE + 1
    counts.clear()
    assert len(decode(path, RATE)) == 30 * RATE
    assert max(counts) == 10 * RATE


def test_a_long_recording_is_decoded_in_little_memory(tmp_path):
    path = write(tmp_path / "long.wav", noise(120.0, rate=16000), 16000, "PCM_16")
    clips = catalog(tmp_path, path.name)
    tracemalloc.start()
    try:
        store = Store(clips, 16000, tmp_path / "cache")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.length(0) == 120 * 16000
    assert peak < 4e6  # a block of ten seconds has 0.64 MB in float32, the whole has 7.7


# Folders


def test_every_format_is_found_and_decoded_at_any_depth_rate_and_case(tmp_path):
    for i, (suffix, container, subtype) in enumerate(FORMATS):
        rate = 48000 if subtype == "OPUS" else (8000, 16000, 22050, 44100, 48000)[i % 5]
        folder = tmp_path / "birds" / ("", "north", "north/1999")[i % 3]
        path = folder / f"{i}.{suffix.upper() if i % 2 else suffix}"
        write(path, noise(0.3, i, rate), rate, subtype, container)
    classes(tmp_path, {f"frogs/{i}.wav": 0.3 for i in range(5)})
    found = folders.read(tmp_path)
    assert found.classes == ("birds", "frogs")
    assert sum(clip.label == 0 for clip in found.clips) == len(FORMATS)
    assert found.name(0) == "birds/0.wav"
    store = Store(found, RATE, tmp_path / ".cache")
    assert store.catalog.skipped == ()
    # Codecs that work in blocks add at most one of them.
    assert all(0.3 * RATE <= store.length(i) < 0.4 * RATE for i in range(len(store)))


def test_what_is_no_sound_is_counted_and_named(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.wav" for name in ("cat", "dog") for i in range(5)))
    touch(
        tmp_path, "cat/a.m4a", "cat/deep/b.M4A", "dog/notes.txt", "dog/cover.png", "dog/README", "labels.csv", "x.wav"
    )
    touch(tmp_path, "cat/._0.wav", "cat/.DS_Store", "dog/Thumbs.db", "__MACOSX/cat/._0.wav", ".hidden/1.wav")
    touch(tmp_path, "dog/__MACOSX/1.wav", "dog/.git/2.wav", ".DS_Store")
    found = folders.read(tmp_path)
    assert found.classes == ("cat", "dog")
    assert len(found.clips) == 10
    assert found.notes[:-1] == (
        "left out 1 .csv, no sound that libsndfile reads: labels.csv",
        "left out 1 .db, no sound that libsndfile reads: dog/Thumbs.db",
        "left out 2 .m4a, no sound that libsndfile reads: cat/a.m4a, cat/deep/b.M4A",
        "left out 1 .png, no sound that libsndfile reads: dog/cover.png",
        "left out 1 .txt, no sound that libsndfile reads: dog/notes.txt",
        "left out 1 .wav, in no class folder: x.wav",
        "left out 1 README, no sound that libsndfile reads: dog/README",
    )


def test_many_files_of_a_kind_are_counted_but_three_named(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.{s}" for name in ("cat", "dog") for i in range(5) for s in ("wav", "txt")))
    assert folders.read(tmp_path).notes[0].endswith(": cat/0.txt, cat/1.txt, cat/2.txt ...")


def test_a_class_without_a_sound_is_refused_by_name_or_left_out(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.wav" for name in ("cat", "dog") for i in range(5)))
    touch(tmp_path, "cow/1.m4a", "cow/2.m4a", "cow/read me.txt", "pig/.DS_Store")
    with pytest.raises(BadDataError) as raised:
        folders.read(tmp_path)
    assert "cow: has no sound that libsndfile reads, 2 .m4a, 1 .txt" in str(raised.value)
    assert "pig: has no sound that libsndfile reads, and is empty" in str(raised.value)
    found = folders.read(tmp_path, skip_bad=True)
    assert found.classes == ("cat", "dog")
    assert [line.partition(":")[0] for line in found.skipped] == ["cow", "pig"]


def test_links_are_followed_but_not_around_and_one_to_nowhere_is_told(tmp_path):
    elsewhere = classes(tmp_path / "disk", {f"{i}.wav": 0.1 for i in range(5)})
    root = classes(tmp_path / "set", {f"cat/{i}.wav": 0.1 for i in range(5)})
    (root / "dog").symlink_to(elsewhere)
    (root / "cat" / "around").symlink_to(root / "cat")
    found = folders.read(root)
    assert [found.name(i) for i in range(10)] == [f"{name}/{i}.wav" for name in ("cat", "dog") for i in range(5)]
    (root / "cat" / "5.wav").symlink_to(tmp_path / "unplugged.wav")
    with pytest.raises(BadDataError, match=r"1 of 11 clips cannot be used .*\n  cat/5.wav: cannot be decoded"):
        Store(folders.read(root), RATE, tmp_path / "cache")
    assert len(Store(folders.read(root), RATE, tmp_path / "cache", skip_bad=True)) == 10


def test_a_limit_takes_the_first_clips_of_each_class(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.wav" for name in ("cat", "dog") for i in range(9)))
    found = folders.read(tmp_path, limit=6)
    assert [found.name(i) for i in range(12)] == [f"{name}/{i}.wav" for name in ("cat", "dog") for i in range(6)]


def test_folders_that_cannot_be_used_are_refused_with_the_reason(tmp_path):
    with pytest.raises(BadDataError, match=r"data must be a folder of class folders, got .*nowhere \(no such folder\)"):
        folders.read(tmp_path / "nowhere")
    touch(tmp_path, "cat/1.wav", "cow/1.m4a")
    with pytest.raises(BadDataError) as raised:
        folders.read(tmp_path)
    assert "cow: has no sound that libsndfile reads, 1 .m4a" in str(raised.value)
    with pytest.raises(BadDataError) as raised:
        folders.read(tmp_path, skip_bad=True)
    for part in ("two class folders or more with sounds in them, got 1 in", "cow: has no sound", "left out 1 .m4a"):
        assert part in str(raised.value)
    with pytest.raises(BadDataError, match=r"data\.options of folders must not have tabel: it has no such options"):
        read_catalog("folders", tmp_path, tabel="x")


def test_a_name_that_is_not_utf8_is_read_and_named(tmp_path):
    files = {f"{name}/{i}-1.wav": 0.1 for name in ("cat", "dog") for i in range(5)}
    root = classes(tmp_path / "set", files)
    try:
        os.rename(root / "cat/0-1.wav", os.fsencode(root / "cat") + b"/0-caf\xe9.wav")
        os.rename(root / "dog", os.fsencode(root) + b"/d\xf6g")
    except (OSError, UnicodeError):
        pytest.skip("the file system takes names in UTF-8 only")
    found = folders.read(root)
    assert found.classes == ("cat", r"d\xf6g")
    assert found.name(0) == r"cat/0-caf\xe9.wav"
    store = Store(found, RATE, tmp_path / "cache")
    np.testing.assert_array_equal(store.read(0), noise(0.1, 0).astype(np.float32))
    for _ in range(2):
        store.claim(tmp_path / "clips.csv")
    assert [store.length(i) for i in range(10)] == [800] * 10
    found.clips[0].path.write_bytes(b"RIFF")
    with pytest.raises(BadDataError, match=r"\n  cat/0-caf\\xe9.wav: cannot be decoded") as raised:
        Store(found, RATE, tmp_path / "cache")
    str(raised.value).encode()


# Folds


def folds_of(found):
    return {found.name(i): clip.fold for i, clip in enumerate(found.clips)}


def together(found, key):
    """Whether clips of the same key are in one fold."""
    pairs = {(key(name), fold) for name, fold in folds_of(found).items()}
    return len(pairs) == len({group for group, _ in pairs})


def test_numbers_before_a_hyphen_are_folds(tmp_path):
    touch(tmp_path, *(f"{name}/{fold}-{i}{name}.wav" for name in ("cat", "dog") for fold in (1, 2, 10) for i in (8, 9)))
    for how in ("auto", "names"):
        found = folders.read(tmp_path, folds=how)
        assert found.folds == ["1", "2", "10"]
        assert all(fold == name.split("/")[1].split("-")[0] for name, fold in folds_of(found).items())
        assert found.notes == ("folds: the number before the first - of the file names",)
    drawn = folders.read(tmp_path, folds="random", make_folds=3)
    assert drawn.folds == ["1", "2", "3"]
    assert "3 drawn, each clip by itself" in drawn.notes[0]


def test_numbers_are_not_folds_where_a_class_would_be_in_one_only(tmp_path):
    touch(tmp_path, *(f"dog/{i % 3 + 1}-{i}.wav" for i in range(6)), *(f"cat/1-{i}.wav" for i in range(6)))
    found = folders.read(tmp_path)
    assert "drawn" in found.notes[0]
    assert {label: len({c.fold for c in found.clips if c.label == label}) for label in (0, 1)} == {0: 5, 1: 5}
    with pytest.raises(BadDataError) as raised:
        folders.read(tmp_path, folds="names")
    assert str(raised.value) == (
        "folds from file names do not work: each class must be in two folds or more, since it could not be learned "
        "where its fold is held out; in one fold only: cat (1)"
    )


def test_names_that_have_no_number_cannot_be_asked_for_folds(tmp_path):
    touch(tmp_path, *(f"{name}/{fold}-a.wav" for name in ("cat", "dog") for fold in (1, 2)), "dog/none.wav")
    with pytest.raises(BadDataError, match=r"start with the number of a fold, like 1-, got none\.wav"):
        folders.read(tmp_path, folds="names")
    for path in [*tmp_path.glob("*/2-*"), tmp_path / "dog/none.wav"]:
        path.unlink()
    with pytest.raises(BadDataError, match=r"do not work: all clips are in fold 1, at least two folds are needed"):
        folders.read(tmp_path, folds="names")


SPEAKERS = [f"{n:02}" for n in range(1, 13)]
PLACES = [f"{city}-{n}" for city in ("lisbon", "lyon", "oslo") for n in range(4)]
# For each layout: the name of a file of a class and a speaker or place, the classes, these, and a pattern for them.
LAYOUTS = {
    "digits": (
        "{label}/{label}_{who}_{i}.wav",
        range(10),
        ("jackson", "lucas", "nicolas", "theo", "yweweler"),
        "_(.+)_",
    ),
    "emotions": ("{label}/03-01-{label}-01-01-0{i}-{who}.wav", ("01", "02"), SPEAKERS, r"-(\d\d)\.wav$"),
    "scenes": ("{label}/{label}-{who}-{i}-a.wav", ("airport", "bus"), PLACES, r"-([a-z]+-\d+)-"),
    "commands": ("{label}/004ae7{who}_nohash_{i}.wav", ("cat", "dog"), SPEAKERS, r"/(\w+)_nohash_"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pattern_keeps_clips_together_and_without_one_the_reader_is_told(tmp_path, layout):
    form, labels, speakers, pattern = LAYOUTS[layout]
    of_name = {form.format(label=c, who=who, i=i): who for c in labels for who in speakers for i in range(3)}
    touch(tmp_path, *of_name)
    found = folders.read(tmp_path, group=pattern)
    assert found.folds == ["1", "2", "3", "4", "5"]
    assert together(found, of_name.__getitem__)
    assert found.notes == (
        f"folds: 5 drawn; clips in which {pattern!r} finds the same stay together ({len(speakers)} groups)",
    )
    alone = folders.read(tmp_path)
    assert not together(alone, of_name.__getitem__)
    assert alone.folds == ["1", "2", "3", "4", "5"]
    assert "each clip by itself; if several clips are of one speaker or recording, results are" in alone.notes[0]
    assert "--group PATTERN or --table" in alone.notes[0]
    assert folds_of(folders.read(tmp_path)) == folds_of(alone)


def test_a_duration_in_a_name_is_no_fold(tmp_path):
    touch(tmp_path, *(f"{name}/5s_{i:04}.wav" for name in ("cat", "dog") for i in range(20)))
    found = folders.read(tmp_path)
    for fold in found.folds:  # stratified
        assert [sum(c.label == label and c.fold == fold for c in found.clips) for label in (0, 1)] == [4, 4]
    with pytest.raises(BadDataError, match=r"got 5s_0000\.wav"):
        folders.read(tmp_path, folds="names")


def test_drawn_folds_keep_the_clips_of_a_source_together(tmp_path):
    touch(tmp_path, *(f"{n}/{source}{n}-{k}.wav" for n in ("a", "b") for source in range(100, 106) for k in range(3)))
    found = folders.read(tmp_path, make_folds=3)
    assert together(found, lambda name: name.split("-")[0])
    assert found.folds == ["1", "2", "3"]
    for label in (0, 1):  # stratified: six sources of three clips over three folds
        assert [sum(c.label == label and c.fold == fold for c in found.clips) for fold in found.folds] == [6, 6, 6]
    assert found.notes == ("folds: 3 drawn; clips whose file names agree up to the first - stay together (12 groups)",)


def test_a_hundred_thousand_clips_are_drawn_at_once():
    names = [f"{i % 30}/{i}.wav" for i in range(100_000)]
    labels = [i % 30 for i in range(100_000)]
    folds, _ = choose_folds(names, labels, [str(i) for i in range(30)], how="auto", group=None, n_folds=5)
    assert {folds.count(fold) for fold in set(folds)} == {20_000}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--make-folds must be at most the clips, or groups of clips, of each class, got 5 and fewer in dog (4)"),
        ({"group": "cat|dog"}, "got 5 and fewer in cat (1), dog (1)"),
        ({"group": "("}, "--group must be a regular expression, got '('"),
        ({"group": r"_([a-z])_"}, "--group must be found in each name, got '_([a-z])_', not in 13 (cat/0-a.wav)"),
        ({"group": r"(x)?\.wav"}, "not in 13 (cat/0-a.wav)"),
        ({"make_folds": 1}, "--make-folds must be at least 2, got 1"),
        ({"make_folds": 0}, "--make-folds must be at least 2, got 0"),
    ],
)
def test_folds_that_cannot_be_drawn_are_refused_in_our_words(tmp_path, options, words):
    touch(tmp_path, *(f"cat/{i}-a.wav" for i in range(9)), *(f"dog/x{i}.wav" for i in range(4)))
    with pytest.raises(BadDataError) as raised:
        folders.read(tmp_path, **options)
    assert words in str(raised.value)
    assert not any(word in str(raised.value) for word in ("n_splits", "StratifiedGroupKFold", "members"))


# Tables


def table_of(path, head, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def test_a_table_gives_classes_and_folds(tmp_path):
    root = touch(tmp_path / "audio", "a.wav", "deep/b, c.flac", "c.mp3", "d.ogg")
    rows = [
        ("a.wav", "cat", "x", 1),
        ("deep/b, c.flac", "dog", "y", 2),
        ("c.mp3", "cat", "y", 3),
        ("d.ogg", "dog", "x", 4),
    ]
    table = table_of(tmp_path / "table.csv", ("file", "label", "fold", "more"), *rows)
    found = folders.read(root, table=str(table))
    assert found.classes == ("cat", "dog")
    assert folds_of(found) == {row[0]: row[2] for row in rows}
    assert found.notes == ("folds: those of table.csv",)
    assert [clip.path.name for clip in folders.read(root, table=table, limit=2).clips] == [
        Path(row[0]).name for row in rows
    ]
    with pytest.raises(BadDataError, match=r"in one fold only: cat \(x\), dog \(y\)"):
        folders.read(root, table=table, limit=1)
    for other in ({"folds": "random"}, {"group": "a"}):
        with pytest.raises(BadDataError, match="folds and group must be left out with a table"):
            folders.read(root, table=table, **other)


def test_groups_of_a_table_stay_together(tmp_path):
    names = [f"{i}.wav" for i in range(40)]
    touch(tmp_path, *names)
    rows = [(name, ("cat", "dog")[i % 2], f"speaker {i % 8 // 2 * 2 + i // 20}") for i, name in enumerate(names)]
    found = folders.read(tmp_path, table=table_of(tmp_path / "t.csv", ("file", "label", "group"), *rows), make_folds=4)
    groups = {row[0]: row[2] for row in rows}
    assert together(found, groups.__getitem__)
    assert found.folds == ["1", "2", "3", "4"]
    assert found.notes == ("folds: 4 drawn; clips of a group of the table stay together (8 groups)",)


def test_every_bad_row_of_a_table_is_named_or_left_out(tmp_path):
    touch(tmp_path / "set", "1.wav", "2.wav", "3.wav", "4.wav", "5.txt", "._1.wav")
    touch(tmp_path, "outside.wav")
    good = [(f"{i}.wav", ("cat", "dog")[i % 2], i // 2) for i in range(1, 5)]
    bad = [(name, "cat", 1) for name in ("1.wav", "6.wav", "../outside.wav", "5.txt", "", "._1.wav")]
    table = table_of(tmp_path / "t.csv", ("file", "label", "fold"), *good[:3], *bad, ("4.wav", "", 1), ("4.wav",))
    with pytest.raises(BadDataError) as raised:
        folders.read(tmp_path / "set", table=table)
    message = str(raised.value)
    assert message.startswith("8 of 11 clips cannot be used (skip_bad leaves them out)")
    for part in (
        "line 5: 1.wav is in t.csv, line 2 already",
        "line 6: no file 6.wav",
        "outside.wav lies outside of",
        "line 8: 5.txt is no sound that libsndfile reads",
        "line 9: no file .",
        "line 10: ._1.wav is no sound that libsndfile reads",
        "line 11: label and fold must not be empty",
        "line 12: 4.wav is in t.csv, line 11 already",
    ):
        assert part in message
    table = table_of(tmp_path / "t.csv", ("file", "label", "fold"), *good, *bad)
    found = folders.read(tmp_path / "set", table=table, skip_bad=True)
    assert (len(found.clips), len(found.skipped)) == (4, 6)


def test_tables_that_cannot_be_used_are_refused(tmp_path):
    touch(tmp_path, "1.wav", "2.wav")

    def message(*lines):
        (tmp_path / "t.csv").write_bytes("\n".join(lines).encode("latin-1"))
        with pytest.raises(BadDataError) as raised:
            folders.read(tmp_path, table=tmp_path / "t.csv")
        return str(raised.value)

    assert "must have the columns file, label, got file;label" in message("file;label", "1.wav;cat")
    assert "must have the columns file, label, got  (no" in message("")
    assert "must have a column fold or a column group" in message("file,label", "1.wav,cat")
    assert "and a row a clip" in message("file,label,fold")
    assert "cannot be read" in message("file,label,fold", "1.wav,k\xe4se,1")
    assert "two classes or more, got ['cat']" in message("file,label,fold", "1.wav,cat,1", "2.wav,cat,2")
    assert "in one fold only: cat (1), dog (2)" in message("file,label,fold", "1.wav,cat,1", "2.wav,dog,2")
    with pytest.raises(BadDataError, match=r"nowhere\.csv cannot be read"):
        folders.read(tmp_path, table=tmp_path / "nowhere.csv")


def test_a_table_is_read_as_spreadsheets_write_it(tmp_path):
    content = '\ufefffile, label,fold\r\n"a\u2028b.wav",cat , 1\r\n"c\nd.wav","dog, ""big""",2\r\n'
    (tmp_path / "t.csv").write_bytes(content.replace(" label", "label").encode())
    rows = read_table(tmp_path / "t.csv", ("file", "label", "fold"))
    assert rows == [
        ("t.csv, line 2", {"file": "a\u2028b.wav", "label": "cat", "fold": "1"}),
        ("t.csv, line 4", {"file": "c\nd.wav", "label": 'dog, "big"', "fold": "2"}),
    ]
