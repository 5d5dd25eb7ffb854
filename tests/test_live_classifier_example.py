import dataclasses
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import live_classifier
from sound_folders import SoundSet
from synthetic_sounds import synthesize
from training import Cell, Settings, read_model, train

from learnable_frontends import MelFrontend

RATE, SECONDS = 8000, 0.5
CONFIG = {"sample_rate": RATE, "n_filters": 10, "win_length": 200, "hop_length": 80, "log_offset": 1e-3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Output folder of an experiment with two cells."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "cells").mkdir()
    waveforms, classes = synthesize(RATE, SECONDS, 2, seed=0)
    labels, folds = torch.arange(20) // 2, 1 + torch.arange(20) % 2
    sounds = SoundSet(torch.from_numpy(waveforms), labels, folds, classes, [""] * 20, RATE, [])
    settings = Settings(epochs=1, batch_size=5, lr=1e-3, frontend_lr=1e-2, mixup=0.0)
    heads = {**CONFIG, "heads": {"context": 2, "hidden": 3}, "compression": "pcen"}
    train(Cell("mel", CONFIG, 1, 0, "mel"), sounds, settings, folder / "cells")
    train(Cell("cos-gauss+heads", heads, 1, 0, "heads"), sounds, settings, folder / "cells")
    (folder / "config.json").write_text(json.dumps({"notes": [f"20 synthetic clips of {SECONDS:g} s in 10 classes"]}))
    return folder


@pytest.fixture
def sound(tmp_path):
    """2.2 s in 16 bits."""
    waveforms, _ = synthesize(RATE, 2.2, 1, seed=1)
    soundfile.write(tmp_path / "sound.wav", waveforms[0], RATE)
    return tmp_path / "sound.wav"


@pytest.fixture
def mel(run):
    return run / "cells" / "mel-fold1-seed0.pt"


def offline(cell, samples, seconds):
    """Features and probabilities at a time, from the whole sound."""
    _, frontend, classifier = read_model(cell)
    bank = getattr(frontend, "frontend", frontend)
    bank.framing = dataclasses.replace(bank.framing, center=False, padding=(0, 0))
    features = frontend(torch.from_numpy(samples))
    length = bank.framing.span
    heads = 2 if bank is not frontend else 0
    arrived = 1 + (round(seconds * RATE) - length) // 80 - heads
    if seconds * RATE == len(samples):
        arrived += heads  # the end has been flushed
    shown = features[:, :arrived][:, -(1 + int(SECONDS * RATE) // 80) :]
    return torch.softmax(classifier(shown[None])[0], -1).detach()


@pytest.mark.parametrize("name", ["mel", "heads"])
@pytest.mark.parametrize("chunk", ["10", "77", "3000"])
def test_lines_say_what_the_offline_call_gives(run, sound, capsys, name, chunk):
    cell = run / "cells" / f"{name}-fold1-seed0.pt"
    assert live_classifier.main([str(cell), str(sound), "--speed", "0", "--chunk", chunk, "--top", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        f"{name}, 10 classes",
        "window of the classifier: 0.5 s (its training clips; --window says otherwise)",
    ]
    lines = [line for line in printed if re.match(r" +[\d.]+ s ", line)]
    assert len(lines) == (1 if chunk == "3000" else 3)
    samples, _ = soundfile.read(sound, dtype="float32")
    classes = torch.load(cell, weights_only=True)["classes"]
    end = offline(cell, samples, 2.2)
    best = end.topk(2)
    words = lines[-1].replace("#", "").split()
    assert words[:2] == ["2.2", "s"]
    assert words[2::2] == [classes[i] for i in best.indices]
    assert [float(word) for word in words[3::2]] == pytest.approx(best.values.tolist(), abs=0.0051)
    if chunk == "10":
        first = offline(cell, samples, 1.0).max().item()
        assert float(lines[0].replace("#", "").split()[3]) == pytest.approx(first, abs=0.0051)
    assert printed[-3] == "2.2 s of sound"
    assert float(re.match(r"real-time factor: ([\d.]+) ", printed[-2])[1]) > 0
    look_ahead = " + 20 ms heads" if name == "heads" else ""
    frame = 32 if name == "mel" else 25
    total = int(chunk) + frame + (20 if name == "heads" else 0)
    assert printed[-1] == (
        f"latency, from a sound to all frames that it is in: at most {total} ms = {chunk} ms chunk + {frame} ms frame"
        f"{look_ahead}"
    )


def test_real_time_is_kept_and_a_bar_is_as_long_as_the_probability(mel, sound, capsys):
    started = time.perf_counter()
    assert live_classifier.main([str(mel), str(sound), "--speed", "4", "--top", "10"]) == 0
    assert time.perf_counter() - started >= 2.2 / 4
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("    1.0 s"))
    found = re.findall(r"(\w+) +(\d\.\d\d) (#*)", line)
    assert len(found) == 10
    assert sum(float(value) for _, value, _ in found) == pytest.approx(1.0, abs=0.05)
    for _, value, bar in found:
        assert len(bar) == pytest.approx(20 * float(value), abs=0.7)


def test_other_rates_and_channels_are_converted_and_drawn(mel, sound, tmp_path, capsys):
    samples, _ = soundfile.read(sound)
    other = tmp_path / "other.flac"
    soundfile.write(other, np.stack([np.repeat(samples, 2)] * 2, axis=1), 2 * RATE)
    picture = tmp_path / "pictures" / "live.png"
    arguments = [str(mel), str(other), "--speed", "0", "--window", "1.5", "--every", "0.5", "--plot", str(picture)]
    assert live_classifier.main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == "window of the classifier: 1.5 s (--window)"
    assert len([line for line in printed if re.match(r" +[\d.]+ s ", line)]) == 5
    assert printed[-1] == str(picture)
    assert "ms resampler" in printed[-2]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_gain_changes_what_is_heard(mel, sound, capsys):
    lines = []
    for gain in ("0", "-60"):
        assert live_classifier.main([str(mel), str(sound), "--speed", "0", "--gain", gain]) == 0
        lines.append(capsys.readouterr().out.splitlines()[2])
    assert lines[0] != lines[1]


def test_a_checkpoint_away_from_its_run_has_a_window_that_is_guessed(mel, sound, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    copied = tmp_path / "elsewhere" / "mel.pt"
    copied.write_bytes(mel.read_bytes())
    assert live_classifier.main([str(copied), str(sound), "--speed", "0"]) == 0
    assert "2 s (a guess: there is no config.json" in capsys.readouterr().out
    (tmp_path / "config.json").write_text("{}")
    refused(capsys, copied, sound, r"config.json does not say how long clips are \(give --window SECONDS\)")


def test_a_window_without_a_frame_is_refused():
    frontend = MelFrontend(RATE, 10, center=False)
    with pytest.raises(ValueError, match=r"^--window must hold a frame of features, got 0.01 s$"):
        live_classifier.LiveClassifier(frontend, torch.nn.Identity(), 80)


def refused(capsys, checkpoint, sound, message):
    assert live_classifier.main([str(checkpoint), str(sound), "--speed", "0"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert error.startswith("live_classifier.py: ")


def test_bad_files_are_refused_in_one_line(mel, sound, tmp_path, capsys):
    refused(capsys, tmp_path / "none.pt", sound, "none.pt cannot be read: No such file")
    refused(capsys, sound, sound, r"sound.wav is not a file that torch.load")
    refused(capsys, mel, tmp_path / "none.wav", "none.wav cannot be read")
    refused(capsys, mel, tmp_path, "cannot be read")
    corrupt = tmp_path / "corrupt.flac"
    corrupt.write_bytes(b"fLaC but not really")
    refused(capsys, mel, corrupt, "corrupt.flac cannot be read")
    for name, samples, message in (
        ("empty.wav", np.zeros(0), r"empty.wav is too short: 0 s have no frame of features"),
        ("short.wav", np.zeros(100), r"short.wav is too short: 0.0125 s have no frame of features"),
        (
            "nan.wav",
            np.where(np.arange(RATE) == 5000, np.nan, 0.1),
            r"nan.wav has samples that are not finite, near 0.6 s",
        ),
    ):
        soundfile.write(tmp_path / name, samples, RATE, subtype="FLOAT")
        refused(capsys, mel, tmp_path / name, message)
    content = torch.load(mel, weights_only=True)
    torch.save({**content, "classes": content["classes"][:3]}, tmp_path / "other.pt")
    refused(capsys, tmp_path / "other.pt", sound, "other.pt has a classifier that cannot be rebuilt")


@pytest.mark.parametrize(
    ("option", "value"), [("--speed", "-1"), ("--chunk", "0"), ("--window", "inf"), ("--every", "0"), ("--top", "0")]
)
def test_bad_options_are_refused(mel, sound, capsys, option, value):
    with pytest.raises(SystemExit, match="2"):
        live_classifier.main([str(mel), str(sound), option, value])
    assert f"argument {option}: must be " in capsys.readouterr().err
