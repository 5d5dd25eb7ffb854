"""Other libraries: the code of docs/guides/libraries.md, run against the real ones where they import."""

import re
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from conftest import default_dtype, needs
from torch import nn
from torch.testing import assert_close

from learnable_frontends import CosGaussFilterbank, Decibels, MelFrontend, MultiHeadRelevance
from learnable_frontends.transforms import Deltas, RandomCrop, SpecAugment

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "libraries.md"
DEFAULTS = {  # librosa's, in our names: the right column of the table in docs/guides/libraries.md
    "n_filters": 128,
    "n_fft": 2048,
    "win_length": 2048,
    "hop_length": 512,
    "pad_mode": "constant",
    "mel_scale": "slaney",
    "norm": "slaney",
}


def run(section, first=0, last=None):
    """Run code blocks of a section of the page, and give the names they define."""
    text = PAGE.read_text(encoding="utf-8")
    text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks, f"no code in section {section!r}"
    names = {"__name__": "interop"}
    torch.manual_seed(0)
    for block in blocks[first:last]:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def assert_learns(frontend):
    gradient = frontend.raw_center.grad
    assert gradient.isfinite().all()
    assert (gradient != 0).all()


# librosa


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"sr": 16000, "n_mels": 40}, {"sample_rate": 16000, "n_filters": 40}),
        ({"n_fft": 1024}, {"n_fft": 1024, "win_length": 1024}),
        ({"win_length": 1200}, {"win_length": 1200}),
        ({"hop_length": 300}, {"hop_length": 300}),
        ({"window": "hamming"}, {"window": torch.hamming_window}),
        ({"center": False}, {"center": False}),
        ({"pad_mode": "reflect"}, {"pad_mode": "reflect"}),
        ({"power": 1.0}, {"power": 1.0}),
        ({"fmin": 50.0, "fmax": 8000.0}, {"f_min": 50.0, "f_max": 8000.0}),
        ({"htk": True}, {"mel_scale": "htk"}),
        ({"norm": None}, {"norm": None}),
    ],
    ids=" ".join,  # of names: the address of a function would differ between workers
)
@pytest.mark.parametrize("decibels", [{}, {"ref": 0.5, "amin": 1e-3, "top_db": 20.0}, {"top_db": None}], ids=str)
def test_mel_in_decibels_equals_librosa_row_by_row_of_the_table(noise, theirs, ours, decibels):
    # Loud and quiet, so that amin and top_db cut.
    waveform = noise(12000, dtype=torch.float64) * torch.linspace(-6, 0, 12000).exp()
    mel = librosa.feature.melspectrogram(y=waveform.numpy(), **{"sr": 22050, **theirs}, dtype=np.float64)
    expected = torch.from_numpy(librosa.power_to_db(mel, **decibels))
    settings = {"sample_rate": 22050, **DEFAULTS, **ours}
    with default_dtype(torch.float64):
        features = MelFrontend(**settings, compression=Decibels(**decibels))(waveform)
    assert_close(features, expected, rtol=0, atol=1e-8)  # dB; rounding in float64


def test_decibels_below_the_loudest_bin_are_a_subtraction_of_it(noise):
    waveform = noise(12000, dtype=torch.float64)
    mel = librosa.feature.melspectrogram(y=waveform.numpy(), sr=22050, dtype=np.float64)
    expected = torch.from_numpy(librosa.power_to_db(mel, ref=np.max))
    with default_dtype(torch.float64):
        features = MelFrontend(22050, **DEFAULTS, compression=Decibels())(waveform)
    assert_close(features - features.amax((-2, -1), keepdim=True), expected, rtol=0, atol=1e-8)


# torchaudio


def test_torchaudio_transforms_join_a_front_end_in_a_sequential(noise):
    needs("torchaudio")
    names = run("torchaudio")
    assert names["features"].shape == (4, 40, 101)
    names["features"].square().sum().backward()
    assert names["frontend"].raw_center.grad.abs().max() > 0  # masked filters get none
    waveform = noise(2, 16000)
    assert_close(names["ours"](waveform), names["theirs"](waveform), rtol=0, atol=1e-3)  # dB; two float32 FFTs


def test_own_transforms_join_a_front_end_in_a_sequential(noise):
    frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40), 2)
    pipeline = nn.Sequential(frontend, SpecAugment(8, 20), RandomCrop(80), Deltas())
    features = pipeline(noise(4, 16000))
    features.square().sum().backward()
    assert features.shape[0] == 4
    assert_learns(frontend.frontend)


# SpeechBrain


def test_speechbrain_adapter_gives_each_clip_its_own_features_in_shares_of_the_longest(noise):
    adapter = run("SpeechBrain", 0, 1)["SpeechBrainFeatures"](CosGaussFilterbank(16000, 40))
    wavs, samples = noise(3, 16000), torch.tensor([16000, 11111, 4321])
    features, shares = adapter(wavs, samples / 16000)
    assert features.shape == (3, 101, 40)
    assert shares.max() == 1
    for item, share, clip, n in zip(features, shares, wavs, samples.tolist(), strict=True):
        frames = int((share * features.shape[1]).round())  # as SpeechBrain's modules count
        alone = adapter.frontend(clip[:n]).T
        assert frames == len(alone)
        assert_close(item[:frames], alone, rtol=2e-5, atol=1e-6)  # float32
        assert (item[frames:] == 0).all()


def test_speechbrain_modules_take_adapted_features():
    needs("torchaudio", "speechbrain")
    names = run("SpeechBrain")
    assert names["embeddings"].shape == (2, 1, 12)
    names["embeddings"].square().sum().backward()
    assert_learns(names["compute_features"].frontend)
    # Normalized over its own frames: in the batch as alone.
    feats, wavs, normalize = names["feats"], names["wavs"], names["mean_var_norm"]
    alone, one = names["compute_features"](wavs[1:, : round(0.7 * 16000)], torch.ones(1))
    expected = normalize(alone, one)[0]
    assert_close(normalize(feats, names["feat_lens"])[1, : len(expected)], expected, rtol=1e-4, atol=1e-4)  # float32


# Hugging Face


@pytest.mark.parametrize("max_length", [64, 101, 128], ids=["crops", "fits", "pads"])
def test_ast_adapter_normalizes_transposes_and_pads_or_crops(noise, max_length):
    frontend, waveform = CosGaussFilterbank(16000, 40), noise(4, 16000)
    inputs = run("Hugging Face Transformers", 0, 1)["ASTInput"](frontend, max_length)(waveform)
    assert inputs.shape == (4, max_length, 40)
    features = frontend(waveform)
    mean, deviation = features.mean((0, 2)), features.std((0, 2), correction=0)
    expected = ((features.mT - mean) / deviation / 2)[:, :max_length]
    assert_close(inputs[:, :101], expected, rtol=0, atol=1e-3)  # batch norm adds 1e-5 to the variance
    assert (inputs[:, 101:] == 0).all()


def test_an_audio_spectrogram_transformer_reads_our_features():
    needs("transformers", "transformers.models.audio_spectrogram_transformer.modeling_audio_spectrogram_transformer")
    names = run("Hugging Face Transformers")
    assert names["output"].logits.shape == (4, 5)
    assert_learns(names["prepare"].frontend)


# Image backbones


def test_a_timm_backbone_reads_our_features_as_a_picture_of_one_channel():
    needs("timm")
    names = run("timm and torchvision", 0, 1)
    assert names["loss"].isfinite()
    assert_learns(names["frontend"])


def test_a_torchvision_backbone_reads_our_features_as_a_picture_of_one_channel():
    needs("torchvision", "timm")
    names = run("timm and torchvision")
    assert names["logits"].shape == (4, 5)
    names["frontend"].zero_grad()
    names["logits"].square().sum().backward()
    assert_learns(names["frontend"])
