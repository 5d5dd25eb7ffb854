import json

import librosa
import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from benchmarks.processors import sound
from experiments import adaptation, speaker_encoder
from learnable_frontends import WaveformModel, presets


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as in Resemblyzer's wheel, of an untrained network."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("wheel") / "pretrained.pt"
    state = {**speaker_encoder.VoiceEncoder().state_dict(), "similarity_weight": torch.ones(1)}
    torch.save({"step": 1, "model_state": state}, file)
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
                path = folder / ("no", "yes")[n % 2] / f"{fold}-{fold}{speaker}-{n}.flac"
                soundfile.write(path, np.roll(clip, 800 * n), 16000)
    return folder


def test_embeddings_are_those_of_the_mel_spectrogram_that_the_network_was_trained_on(weights):
    encoder = speaker_encoder.load_encoder(weights)
    waveform = sound("speech", 16000).astype(np.float32)
    mel = librosa.feature.melspectrogram(y=waveform, sr=16000, n_fft=400, hop_length=160, n_mels=40)
    model = WaveformModel(presets.resemblyzer(), encoder, frames_first=True)
    assert_close(model(torch.from_numpy(waveform)[None]), encoder(torch.from_numpy(mel.T)[None]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mixed", "expected"), [(0, 0.0), (1, 0.5)])
def test_the_equal_error_rate_is_that_of_the_scores(mixed, expected):
    speakers = torch.arange(40) % 2
    told = torch.nn.functional.one_hot(speakers).float()
    guessed = torch.nn.functional.one_hot(torch.randint(2, (40,), generator=torch.Generator().manual_seed(0))).float()
    rate = speaker_encoder.equal_error_rate(told, guessed if mixed else told, speakers)
    assert rate == pytest.approx(expected, abs=0.1)


def test_channels_change_what_they_say():
    tones = torch.from_numpy(np.stack([np.sin(2 * np.pi * hz * np.arange(16000) / 16000) for hz in (100, 1000, 6000)]))
    tones, generator = tones.float(), torch.Generator().manual_seed(0)
    kept = adaptation.telephone(tones, generator).square().mean(-1) / tones.square().mean(-1)
    assert kept[1] > 0.9
    assert kept[[0, 2]].max() < 0.01
    noise = adaptation.noise(tones, generator) - tones
    assert_close(10 * (tones.square().mean() / noise.square().mean()).log10(), torch.tensor(10.0), rtol=0, atol=0.2)
    fast = np.abs(np.fft.rfft(adaptation.speed(tones, generator)[1][:13000])).argmax() * 16000 / 13000
    assert fast == pytest.approx(1150, abs=3)


def test_an_experiment_adapts_reports_resumes_and_refuses_other_settings(weights, voices, tmp_path, capsys):
    words = f"--data {voices} --weights {weights} --out {tmp_path} --channels speed --epochs 4 --batch-size 3"
    arguments = [*words.split(), "--frontend-lr", "0.05", "--lr", "0.0003"]
    assert adaptation.main(arguments) == 0
    runs = [json.loads(file.read_text()) for file in (tmp_path / "runs").iterdir()]
    assert {(run["what"], run["numbers"]) for run in runs} == {
        ("nothing", 0),
        ("front-end", 120),
        ("last layer", 65792),
    }
    for fold in "12":
        likeness = {run["what"]: run["similarity"] for run in runs if run["fold"] == fold}
        assert likeness["front-end"] > likeness["nothing"]
        assert likeness["last layer"] > likeness["nothing"]
    assert (tmp_path / "adaptation.md").read_text("utf-8").count("| speed |") == 3
    rows = json.loads((tmp_path / "adaptation.json").read_text())["rows"]
    eer = {run["what"]: [r["eer"] for r in runs if r["what"] == run["what"]] for run in runs}
    for row in rows:
        assert row["eer"] == pytest.approx(np.mean(eer[row["adapted"]]))
    assert rows[1]["difference"] == pytest.approx(np.mean(eer["front-end"]) - np.mean(eer["nothing"]))
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()}
    assert adaptation.main(arguments) == 0
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()} == before
    capsys.readouterr()
    for more, message in (
        (["--lr", "1"], "lr: 0.0003 before, 1.0 now"),
        (["--folds", "1", "1"], "--folds must differ, got 1 more than once"),
        (["--folds", "7"], "--folds must be among 1, 2, got 7"),
        (["--weights", str(voices / "none.pt")], "--weights must be pretrained.pt of Resemblyzer's wheel, got"),
    ):
        assert adaptation.main([*arguments, *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--lr nan", "--frontend-lr -1", "--epochs 0", "--batch-size -2", "--seeds -1"])
def test_numbers_that_make_no_sense_are_refused(option, capsys):
    with pytest.raises(SystemExit):
        adaptation.main(["--data", "x", "--weights", "y", *option.split()])
    assert f"argument {option.split()[0]}: must be" in capsys.readouterr().err


def test_clips_of_other_names_are_refused(weights, tmp_path, capsys):
    for name in ("no/1-a.wav", "no/2-a.wav", "yes/1-b.wav", "yes/2-b.wav"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(tmp_path / "data" / name, sound("speech", 16000, 1.0), 16000)
    arguments = ["--data", str(tmp_path / "data"), "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert adaptation.main(arguments) == 2
    assert "--data must have clips called FOLD-SPEAKER-N, got 1-a.wav" in capsys.readouterr().err
