import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import adapt_frontend
import learn_from_preset
import librosa

from benchmarks.processors import sound


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as in Resemblyzer's wheel, of an untrained network."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("wheel") / "pretrained.pt"
    torch.save(
        {"step": 1, "model_state": {**adapt_frontend.VoiceEncoder().state_dict(), "similarity_weight": torch.ones(1)}},
        file,
    )
    return file


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Two speakers with four clips in each of two folds."""
    folder = tmp_path_factory.mktemp("voices")
    for word in ("no", "yes"):
        (folder / word).mkdir()
    for fold in (1, 2):
        for speaker in ("a", "b"):
            for n in range(4):
                clip = sound("speech", 16000, 1.0) * (1 if speaker == "a" else np.linspace(1, 0, 16000))
                soundfile.write(
                    folder / ("no", "yes")[n % 2] / f"{fold}-{fold}{speaker}-{n}.flac", np.roll(clip, 800 * n), 16000
                )
    return folder


def test_embeddings_are_those_of_the_mel_spectrogram_that_the_network_was_trained_on(weights):
    encoder = adapt_frontend.load_encoder(weights)
    waveform = sound("speech", 16000).astype(np.float32)
    mel = librosa.feature.melspectrogram(y=waveform, sr=16000, n_fft=400, hop_length=160, n_mels=40)
    model = adapt_frontend.WaveformModel(adapt_frontend.presets.resemblyzer(), encoder, frames_first=True)
    assert_close(model(torch.from_numpy(waveform)[None]), encoder(torch.from_numpy(mel.T)[None]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mixed", "expected"), [(0, 0.0), (1, 0.5)])
def test_the_equal_error_rate_is_that_of_the_scores(mixed, expected):
    speakers = torch.arange(40) % 2
    told = torch.nn.functional.one_hot(speakers).float()
    guessed = torch.nn.functional.one_hot(torch.randint(2, (40,), generator=torch.Generator().manual_seed(0))).float()
    rate = adapt_frontend.equal_error_rate(told, guessed if mixed else told, speakers)
    assert rate == pytest.approx(expected, abs=0.1)


def test_channels_change_what_they_say():
    tones = torch.from_numpy(np.stack([np.sin(2 * np.pi * hz * np.arange(16000) / 16000) for hz in (100, 1000, 6000)]))
    tones, generator = tones.float(), torch.Generator().manual_seed(0)
    kept = adapt_frontend.telephone(tones, generator).square().mean(-1) / tones.square().mean(-1)
    assert kept[1] > 0.9
    assert kept[[0, 2]].max() < 0.01
    noise = adapt_frontend.noise(tones, generator) - tones
    assert_close(10 * (tones.square().mean() / noise.square().mean()).log10(), torch.tensor(10.0), rtol=0, atol=0.2)
    fast = np.abs(np.fft.rfft(adapt_frontend.speed(tones, generator)[1][:13000])).argmax() * 16000 / 13000
    assert fast == pytest.approx(1150, abs=3)


def test_a_run_adapts_reports_and_goes_on(weights, voices, tmp_path, capsys):
    arguments = ["--data", str(voices), "--weights", str(weights), "--out", str(tmp_path), "--folds", "1", "2"]
    arguments += [
        "--channels",
        "speed",
        "--epochs",
        "4",
        "--batch-size",
        "3",
        "--frontend-lr",
        "0.05",
        "--lr",
        "0.0003",
    ]
    assert adapt_frontend.main(arguments) == 0
    cells = [json.loads(file.read_text()) for file in (tmp_path / "cells").iterdir()]
    assert {(cell["what"], cell["numbers"]) for cell in cells} == {
        ("nothing", 0),
        ("front-end", 120),
        ("last layer", 65792),
    }
    for fold in (1, 2):
        likeness = {cell["what"]: cell["similarity"] for cell in cells if cell["fold"] == fold}
        assert likeness["front-end"] > likeness["nothing"]
        assert likeness["last layer"] > likeness["nothing"]
    table = capsys.readouterr().out
    assert table.count("| speed |") == 3
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "cells").iterdir()}
    assert adapt_frontend.main(arguments) == 0
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "cells").iterdir()} == before
    assert adapt_frontend.main([*arguments, "--lr", "1"]) == 2


def test_filters_of_a_preset_learn_and_are_drawn(voices, tmp_path, capsys):
    arguments = ["--data", str(voices), "--out", str(tmp_path), "--epochs", "1", "--batch-size", "4"]
    assert learn_from_preset.main([*arguments, "--preset", "vggish"]) == 0
    assert (tmp_path / "vggish.png").stat().st_size > 10_000
    assert "the median filter moved by 0." in capsys.readouterr().out
    assert learn_from_preset.main([*arguments, "--data", str(tmp_path / "nothing")]) == 2
    assert "--data must name a folder" in capsys.readouterr().err
