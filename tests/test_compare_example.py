import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import compare_frontends
from frontends import NAMES, build_frontend
from sound_folders import BadSoundsError, SoundSet, load_folder
from synthetic_sounds import SOUNDS, synthesize
from training import Cell, Recipe, Settings, predict, read_model, train

RATE = 8000
CONFIG = {"sample_rate": RATE, "n_filters": 10, "win_length": 200, "hop_length": 200, "log_offset": 1e-3}
SETTINGS = Settings(epochs=3, batch_size=4, lr=1e-3, frontend_lr=1e-2, mixup=0.4)


@pytest.fixture
def sounds() -> SoundSet:
    waveforms, classes = synthesize(RATE, 0.5, 2, seed=0)
    labels = torch.arange(20) // 2
    return SoundSet(torch.from_numpy(waveforms), labels, 1 + torch.arange(20) % 2, classes, [""] * 20, RATE, [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three clips of a second, each in another format and rate."""
    for label, name in enumerate(("high", "low")):
        (tmp_path / name).mkdir()
        for i, (suffix, rate) in enumerate((("wav", 8000), ("flac", 16000), ("ogg", 22050)), start=1):
            time = np.arange(rate) / rate
            tone = 0.3 * np.sin(2 * np.pi * (1000 if label == 0 else 200) * time)
            soundfile.write(tmp_path / name / f"{i}-{name}.{suffix}", np.stack([tone, tone], axis=1), rate)
    return tmp_path


def test_synthetic_sounds_repeat_from_their_seed_and_differ_from_clip_to_clip():
    first, classes = synthesize(RATE, 0.5, 2, seed=3)
    again, _ = synthesize(RATE, 0.5, 2, seed=3)
    other, _ = synthesize(RATE, 0.5, 2, seed=4)
    assert classes == list(SOUNDS)
    assert len(classes) == 10
    np.testing.assert_array_equal(first, again)
    assert np.abs(first).max() < 1
    assert np.isfinite(first).all()
    similarity = np.corrcoef(np.concatenate([first, other]))
    assert np.abs(similarity - np.eye(40)).max() < 0.9


def test_folder_gives_one_rate_one_length_and_folds_from_leading_digits(folder):
    sounds = load_folder(folder, RATE)
    assert sounds.classes == ["high", "low"]
    assert sounds.waveforms.shape == (6, RATE)
    assert sounds.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert sounds.folds.tolist() == [1, 2, 3, 1, 2, 3]
    spectrum = torch.fft.rfft(sounds.waveforms).abs()  # bins of 1 Hz
    assert spectrum.argmax(-1).tolist() == [1000] * 3 + [200] * 3
    assert sounds.waveforms.abs().amax(-1).sub(1).abs().max() < 0.05  # peak, but for the rate's conversion


def test_shorter_clips_are_followed_by_zeros_and_longer_ones_cut(folder):
    soundfile.write(folder / "low" / "4-short.wav", np.full(RATE // 4, 0.5), RATE)
    sounds = load_folder(folder, RATE, seconds=0.5)
    short = sounds.waveforms[sounds.names.index("low/4-short.wav")]
    assert short.shape == (RATE // 2,)
    assert short[: RATE // 4].min() > 0.99
    assert (short[RATE // 4 :] == 0).all()
    assert "7 clips of 0.5 s: 1 followed by zeros, 6 cut at the end" in sounds.notes


def test_clips_that_cannot_be_used_are_all_named_or_left_out(folder):
    (folder / "low" / "5-corrupt.flac").write_bytes(b"fLaC but not really")
    (folder / "low" / "5-nothing.wav").write_bytes(b"")
    soundfile.write(folder / "low" / "5-empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "low" / "5-short.wav", np.ones(10), RATE)
    soundfile.write(folder / "low" / "5-silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "low" / "5-nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    with pytest.raises(BadSoundsError) as caught:
        load_folder(folder, RATE)
    message = str(caught.value)
    assert message.startswith("6 of 12 clips cannot be used (--skip-bad leaves them out)")
    for line in (
        "low/5-corrupt.flac: cannot be read",
        "low/5-nothing.wav: cannot be read",
        "low/5-empty.wav: has 0 samples at 8000 Hz, at least 0.05 s are needed",
        "low/5-short.wav: has 10 samples at 8000 Hz",
        "low/5-silent.wav: is silent",
        "low/5-nan.wav: has samples that are not finite",
    ):
        assert line in message
    soundfile.write(folder / "low" / "5-late.wav", np.concatenate([np.zeros(RATE), np.ones(RATE)]), RATE)
    with pytest.raises(BadSoundsError, match=r"low/5-late\.wav: is silent in its first 0\.5 s"):
        load_folder(folder, RATE, seconds=0.5)
    (folder / "low" / "5-late.wav").unlink()
    sounds = load_folder(folder, RATE, skip_bad=True)
    assert len(sounds.labels) == 6
    assert sum(note.startswith("left out low/5-") for note in sounds.notes) == 6


def test_made_folds_keep_the_clips_of_a_source_together(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for source in range(100, 106):
            for part in range(3):
                tone = np.sin(np.arange(800) * (0.1 + part))
                soundfile.write(tmp_path / name / f"{source}{name}-{part}.wav", tone, RATE)
    sounds = load_folder(tmp_path, RATE, n_folds=3)
    fold_of_source: dict[str, set[int]] = {}
    for name, fold in zip(sounds.names, sounds.folds.tolist(), strict=True):
        fold_of_source.setdefault(name.rpartition("-")[0], set()).add(fold)
    assert len(fold_of_source) == 12
    assert all(len(folds) == 1 for folds in fold_of_source.values())
    assert sounds.folds.unique().tolist() == [1, 2, 3]
    for label in (0, 1):  # stratified: six sources of three clips over three folds
        assert torch.bincount(sounds.folds[sounds.labels == label])[1:].tolist() == [6, 6, 6]


def test_folders_that_cannot_be_split_are_refused_with_the_reason(folder):
    with pytest.raises(BadSoundsError, match=r"--data must name a folder of class folders, got .*nowhere"):
        load_folder(folder / "nowhere", RATE)
    with pytest.raises(BadSoundsError, match=r"--data must hold two class folders or more .* got 0"):
        load_folder(folder / "low", RATE)
    for path in (folder / "high").iterdir():
        path.rename(path.with_name("1" + path.name[1:]))
    with pytest.raises(
        BadSoundsError, match=r"every class must be in two folds or more, got \['high'\] in fold 1 alone"
    ):
        load_folder(folder, RATE)
    for path in (folder / "high").iterdir():
        path.rename(path.with_name("x" + path.name))
    with pytest.raises(BadSoundsError, match=r"--make-folds must be at most the clips of the smallest class, 3, got 5"):
        load_folder(folder, RATE)


RECIPES = [
    ("mel", Recipe()),
    ("cos-gauss+heads", Recipe(schedule="filters-first")),
    ("cos-gauss", Recipe(schedule="warm-up", natural=True, repulsion=1.0, normalize="all")),
]


@pytest.mark.parametrize(("name", "recipe"), RECIPES, ids=[name for name, _ in RECIPES])
def test_a_stopped_cell_goes_on_and_ends_like_an_unbroken_one(name, recipe, sounds, tmp_path):
    cell = Cell(name, {**CONFIG, "heads": {"n_heads": 2}}, fold=1, seed=0, variant=name, recipe=recipe)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    unbroken = train(cell, sounds, SETTINGS, tmp_path / "a")
    epochs = iter((None, KeyboardInterrupt))

    def stop_in_second_epoch() -> None:
        if problem := next(epochs):
            raise problem

    with pytest.raises(KeyboardInterrupt):
        train(cell, sounds, SETTINGS, tmp_path / "b", stop_in_second_epoch)
    seen: list[int] = []
    resumed = train(cell, sounds, SETTINGS, tmp_path / "b", lambda: seen.append(1))
    assert len(seen) == SETTINGS.epochs
    for part in ("frontend_state", "classifier_state"):
        assert unbroken[part].keys() == resumed[part].keys()
        for key, value in unbroken[part].items():
            assert torch.equal(value, resumed[part][key]), key
    assert torch.equal(unbroken["predictions"], resumed["predictions"])
    assert [path.name for path in (tmp_path / "b").iterdir()] == [f"{cell.name}.pt"]


def test_a_saved_cell_predicts_what_it_says(sounds, tmp_path):
    cell = Cell("sinc+heads", {**CONFIG, "heads": {"n_heads": 3, "context": 2}}, fold=2, seed=1, variant="x")
    train(cell, sounds, SETTINGS, tmp_path)
    saved, frontend, classifier = read_model(tmp_path / f"{cell.name}.pt")
    held_out = sounds.waveforms[sounds.folds == 2]
    assert torch.equal(predict(torch.nn.Sequential(frontend, classifier), held_out, 4), saved["predictions"])
    assert saved["frontend_parameters"] == sum(p.numel() for p in frontend.parameters())
    assert saved["initial_centers"].shape == (10,)


def test_an_unknown_frontend_is_refused_by_name():
    with pytest.raises(ValueError, match=r"name must be one of \('mel', .*got 'gabor'"):
        build_frontend("gabor", CONFIG)


def run(out: Path, *more: str) -> int:
    words = (
        f"--out {out} --sample-rate {RATE} --seconds 0.5 --limit 5 --n-filters 10 --epochs 1 --batch-size 4 --folds 1 2"
    )
    return compare_frontends.main([*words.split(), *more])


def test_the_comparison_writes_tables_pictures_and_checkpoints_and_does_not_run_twice(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(out, "--jobs", "2", "--frontends", "mel", "cos-gauss+heads") == 0
    table = capsys.readouterr().out
    assert "cos-gauss+heads" in table
    assert str(out / "figures") in table
    rows = {row["frontend"]: row for row in json.loads((out / "results.json").read_text())["rows"]}
    for name, row in rows.items():
        cells = [torch.load(out / "cells" / f"{name}-fold{fold}-seed0.pt", weights_only=True) for fold in (1, 2)]
        right = [float((cell["targets"] == cell["predictions"]).double().mean()) for cell in cells]
        assert row["accuracy"] == pytest.approx(np.mean(right))
        assert row["spread"] == pytest.approx(np.std(right, ddof=1))
        assert row["test_clips"] == 20
    assert rows["mel"]["frontend_parameters"] == 0
    assert rows["cos-gauss+heads"]["frontend_parameters"] == 10 + 2 * 1151
    assert rows["mel"]["minus_mel"] == 0
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {
        "config.json",
        "results.csv",
        "per_class.csv",
        "confusion_mel.csv",
        "checkpoints/mel.pt",
        "checkpoints/cos-gauss+heads.pt",
        "figures/center_frequencies.png",
        "figures/confusion_mel.png",
        "figures/relevance_cos-gauss+heads.png",
        "figures/responses_mel.png",
    } <= names
    assert "cells/sounds.pt" not in names

    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert run(out, "--frontends", "mel", "cos-gauss+heads", "sinc") == 0
    after = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 2


def test_a_run_with_other_settings_is_refused_in_the_same_folder(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(out, "--frontends", "sinc") == 0
    assert run(out, "--frontends", "sinc", "--lr", "0.1") == 2
    assert "--out holds a run with other settings (lr 0.002 -> 0.1); name another folder" in capsys.readouterr().err


def test_one_cell_without_mel_has_no_spread_and_no_difference(tmp_path, capsys):
    assert run(tmp_path, "--frontends", "sinc", "--folds", "1") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith("sinc"))
    assert "± -  " in line
    assert line.split()[4] == "-"
    row = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)["rows"][0]
    assert (row["spread"], row["minus_mel"], row["minus_mel_standard_error"]) == (None, None, None)


def test_bad_arguments_end_with_a_sentence_not_a_traceback(tmp_path, capsys):
    assert run(tmp_path / "a", "--data", str(tmp_path / "nowhere")) == 2
    assert "--data must name a folder" in capsys.readouterr().err
    assert run(tmp_path / "a", "--folds", "7") == 2
    assert "--folds must be among [1, 2, 3, 4, 5], got [7]" in capsys.readouterr().err
    assert run(tmp_path / "a", "--batch-size", "1000") == 2
    assert "--batch-size must be from 2 to the 40 training clips, got 1000" in capsys.readouterr().err
    assert run(tmp_path / "a", "--init", "cubic") == 2
    assert "init must be one of" in capsys.readouterr().err
    assert run(tmp_path / "a", "--win-length", "9000") == 2
    assert "waveform must have at least" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(tmp_path / "a", "--epochs", "0")
    assert "argument --epochs: must be at least 1, got 0" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_names_cover_every_family_bare_and_with_heads():
    assert NAMES == ("mel", "sinc", "cos-gauss", "mel+heads", "sinc+heads", "cos-gauss+heads")


@pytest.mark.parametrize(("compression", "parameters"), [("log", 0), ("learned-log", 1), ("pcen", 24)])
def test_front_ends_are_built_with_each_compression(compression, parameters):
    frontend = build_frontend(
        "mel", {"sample_rate": 8000, "n_filters": 6, "log_offset": 1e-3, "compression": compression}
    )
    assert sum(p.numel() for p in frontend.parameters()) == parameters
    assert frontend(torch.randn(4000)).shape == (6, 51)
