import errno
import json
import shutil
import sys
import warnings

import numpy as np
import pytest
import soundfile
from small_runs import RATE, left, lines, write_sounds

from experiments import compare, files
from experiments.frontends import ALL_NAMES, NAMES
from experiments.runs import read_json

WORDS = f"--sample-rate {RATE} --n-filters 10 --epochs 1 --batch-size 4 --folds 1 2"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished comparison, and its sounds."""
    folder = tmp_path_factory.mktemp("compare")
    root = write_sounds(folder / "set")
    assert run(folder / "out", root, "--frontends", "mel", "cos-gauss+heads") == 0
    return folder


@pytest.fixture
def again(finished, tmp_path):
    """A copy of it, to spoil; its settings name these sounds, at this place."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("out/*/*/settings.json"):
        path.write_text(path.read_text().replace(str(finished), str(tmp_path)))
    return tmp_path


def run(out, root, *more):
    return compare.main(["--out", str(out), "--data", str(root), *WORDS.split(), *more])


def test_a_comparison_leaves_tables_pictures_and_models_and_does_not_run_twice(again, capsys):
    out = again / "out"
    rows = {row["variant"]: row for row in read_json(out / "results.json")["rows"]}
    for name, row in rows.items():
        right = [
            np.mean(
                [line["label"] == line["prediction"] for line in lines(out / name / f"fold{k}-seed0/predictions.csv")]
            )
            for k in (1, 2)
        ]
        assert row["accuracy"] == pytest.approx(np.mean(right))
        assert row["spread"] == pytest.approx(np.std(right, ddof=1))
    assert rows["mel"]["frontend_parameters"] == 0
    assert rows["cos-gauss+heads"]["frontend_parameters"] == 10 + 2 * 1151
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    expected = "clips.csv command.json results.csv results.md per_class.csv confusion_mel.csv figures/confusion_mel.png"
    expected += " figures/center_frequencies.png figures/relevance_cos-gauss+heads.png figures/responses_mel.png"
    assert set(expected.split()) <= names

    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/result.json")}
    assert run(out, again / "set", "--frontends", "mel", "cos-gauss+heads", "sinc") == 0
    after = {path: path.stat().st_mtime_ns for path in out.glob("*/*/result.json")}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 2
    assert "sinc" in capsys.readouterr().out


def test_other_settings_are_refused_in_the_same_folder(again, capsys):
    assert run(again / "out", again / "set", "--frontends", "mel", "--lr", "0.1") == 2
    said = capsys.readouterr().err
    assert "was begun with other settings (name another folder)" in said
    assert "model.optimizer.init_args.lr: 0.002 before, 0.1 now" in said


def spoil(root, how):
    clip = root / "low" / "1-0.wav"
    if how == "is new":
        shutil.copy(clip, root / "low" / "3-new.wav")
    elif how == "low/1-0.wav is gone":
        clip.unlink()
    elif how == "low/1-0.wav has another content":
        samples, rate = soundfile.read(clip)
        soundfile.write(clip, samples[::-1], rate)
    elif how == "low/2-0.wav is new":
        clip.rename(root / "low" / "2-0.wav")
    elif how == "mid/1-0.wav is gone":
        shutil.rmtree(root / "mid")
    else:
        write_sounds(root, classes=("a new class",))


@pytest.mark.parametrize(
    "how",
    [
        "is new",
        "low/1-0.wav is gone",
        "low/1-0.wav has another content",
        "low/2-0.wav is new",
        "mid/1-0.wav is gone",
        "a new class/1-0.wav is new",
    ],
)
def test_results_of_other_clips_are_not_mixed(again, how, capsys):
    spoil(again / "set", how)
    before = left(again / "out")
    # One more front-end, or a run that was stopped: neither goes on with other clips.
    assert run(again / "out", again / "set", "--frontends", "mel", "sinc") == 2
    said = capsys.readouterr().err
    assert "has results of other clips" in said
    assert how in said
    assert left(again / "out") == before
    assert not (again / "out" / "sinc" / "fold1-seed0" / "result.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--lr nan", "--lr: must be positive and finite, got nan"),
        ("--lr -1", "--lr: must be positive and finite, got -1"),
        ("--frontend-lr inf", "--frontend-lr: must be 0 or more and finite, got inf"),
        ("--mixup -1", "--mixup: must be 0 or more and finite, got -1"),
        ("--seconds nan", "--seconds: must be positive and finite, got nan"),
        ("--seconds 0", "--seconds: must be positive and finite, got 0"),
        ("--windows nan", "--windows: must be positive and finite, got nan"),
        ("--epochs 0", "--epochs: must be at least 1, got 0"),
        ("--epochs 1.5", "argument --epochs: invalid"),
        ("--jobs 0", "--jobs: must be at least 1, got 0"),
        ("--width nan", "--width: must be positive and finite, got nan"),
        ("--log-offset nan", "--log-offset: must be 0 or more and finite, got nan"),
        ("--limit -3", "--limit: must be at least 1, got -3"),
        ("--make-folds 0", "--make-folds: must be at least 1, got 0"),
        ("--frontends mel mel", "variants must differ, got mel more than once"),
        ("--seeds 0 0", "seeds must differ, got 0 more than once"),
        ("--folds 1 1", "folds must differ, got 1 more than once"),
        ("--folds 7", "--folds must be among 1, 2, 3, got 7"),
        ("--batch-size 1000", "--batch-size must be from 2 to the 12 training clips, got 1000"),
        ("--init cubic", "init must be one of"),
        ("--win-length 9000", "waveform must have at least"),
        ("--table t.csv --group x", "must be left out with a table"),
        ("--windows 1 --seconds 1", "--seconds must be left out with --windows"),
        ("--synthetic urban --frontends mel --data nowhere", "data must be a folder of class folders, got nowhere"),
    ],
)
def test_bad_options_end_with_a_line_before_anything_is_trained(finished, tmp_path, words, message, capsys):
    try:
        status = run(tmp_path / "out", finished / "set", *words.split())
    except SystemExit as end:  # argparse's own
        status = end.code
    said = capsys.readouterr().err
    assert status == 2
    assert message in said
    assert "Traceback" not in said
    assert not list((tmp_path / "out").glob("*/*/epochs.csv"))


def test_an_output_folder_that_cannot_be_written_ends_with_a_line(finished, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file", finished / "set") == 2
    assert f"--out must be a folder to write to, got {tmp_path / 'file'}" in capsys.readouterr().err
    assert run(tmp_path / "file" / "below", finished / "set") == 2
    assert "--out must be a folder to write to" in capsys.readouterr().err

    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.os, "replace", read_only)
    assert run(tmp_path / "out", finished / "set") == 2
    assert "(Read-only file system)" in capsys.readouterr().err


def test_a_full_disk_ends_with_a_line_and_the_same_command_resumes(finished, tmp_path, monkeypatch, capsys):
    whole, replace = tmp_path / "whole", files.os.replace
    words = ["--frontends", "mel", "--epochs", "3"]
    assert run(whole, finished / "set", *words) == 0

    def full(source, target):
        if str(target).endswith("last.ckpt") and (target.parent / "last.ckpt").exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        assert run(tmp_path / "out", finished / "set", *words) == 1
    said = capsys.readouterr().err
    assert "last.ckpt: No space left on device (the same command resumes)" in said
    assert "Traceback" not in said
    folder = tmp_path / "out" / "mel" / "fold1-seed0"
    assert (folder / "last.ckpt").exists()
    assert not list(folder.glob(".*"))  # nothing half written
    assert run(tmp_path / "out", finished / "set", *words) == 0
    assert left(tmp_path / "out") == left(whole)


def test_an_interrupt_ends_with_a_line(finished, tmp_path, monkeypatch, capsys):
    from experiments.training.callbacks import RunKeeper

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunKeeper, "on_train_epoch_start", interrupt)
    assert run(tmp_path / "out", finished / "set", "--frontends", "mel") == 130
    assert "interrupted; the same command resumes" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["result.json", "settings.json"])
@pytest.mark.parametrize("content", ["", '{"seed": 0, "fo'])
def test_files_of_ours_that_were_cut_are_named(again, name, content, capsys):
    path = again / "out" / "mel" / "fold1-seed0" / name
    path.write_text(content)
    assert run(again / "out", again / "set", "--frontends", "mel") == 2
    said = capsys.readouterr().err
    assert f"{path} cannot be read" in said
    assert f"delete {path.parent}" in said


def test_a_console_and_file_names_that_are_not_utf8_do_not_end_a_run(finished, tmp_path, monkeypatch):
    import os

    root = tmp_path / "set"
    shutil.copytree(finished / "set", root)
    try:
        os.rename(root / "low" / "1-0.wav", os.fsencode(root / "low") + b"/1-caf\xe9.wav")
    except OSError:
        pytest.skip("this file system takes no such names")
    import io

    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    assert run(tmp_path / "out", root, "--frontends", "mel") == 0
    screen.flush()
    assert b"?" in screen.buffer.getvalue()  # for ±
    assert "low/1-caf\\xe9.wav" in [line["file"] for line in lines(tmp_path / "out" / "clips.csv")]


def test_what_is_left_out_and_what_is_there_twice_is_said(finished, tmp_path, capsys):
    root = tmp_path / "set"
    shutil.copytree(finished / "set", root)
    (root / "low" / "notes.txt").write_text("x")
    (root / "low" / "1-song.m4a").write_bytes(b"x")
    shutil.copy(root / "low" / "1-0.wav", root / "high" / "2-same.wav")
    assert run(tmp_path / "out", root, "--frontends", "mel") == 0
    said = capsys.readouterr().out
    assert "left out 1 .m4a, no sound that libsndfile reads: low/1-song.m4a" in said
    assert "left out 1 .txt" in said
    assert "the same clip is in 2 classes: high/2-same.wav, low/1-0.wav" in said


def test_help_tells_true_defaults_in_a_line_for_each_option(capsys):
    with pytest.raises(SystemExit):
        compare.main(["--help"])
    said = capsys.readouterr().out
    assert "highest (default: 0.002)" in " ".join(said.split())
    assert said.startswith("usage: python -m experiments.compare [options]\n")
    assert said.count("\n") < 66


def test_names_cover_every_family_bare_and_with_heads():
    assert NAMES == ("mel", "sinc", "cos-gauss", "mel+heads", "sinc+heads", "cos-gauss+heads")
    assert set(NAMES) <= set(ALL_NAMES)


def test_settings_of_a_run_train_it_again(finished, tmp_path):
    from experiments.train import train_quietly

    folder = finished / "out" / "mel" / "fold1-seed0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice of Lightning
        train_quietly(
            ["fit", f"--config={folder / 'settings.json'}", f"--run_dir={tmp_path}", "--trainer.logger=false"]
        )
    assert (tmp_path / "predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()
    assert json.loads((tmp_path / "run.json").read_text())[0]["seed"] == 0
