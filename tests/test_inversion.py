"""Waveforms from features: what was heard is heard again."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from learnable_frontends import (
    PCEN,
    CosGaussFilterbank,
    Decibels,
    GaussianFilterbank,
    LearnableMelFilterbank,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    SincFilterbank,
    presets,
)
from learnable_frontends.inversion import energies_of, griffin_lim, invert, power_spectra

RATE = 16000


def chirp(seconds=1.0):
    time = torch.arange(round(seconds * RATE)) / RATE
    return 0.5 * torch.sin(2 * math.pi * (300 * time + 900 * time**2)) + 0.2 * torch.sin(2 * math.pi * 3000 * time)


BANKS = {
    "mel": lambda: MelFrontend(RATE, 64),
    "mel, magnitudes": lambda: MelFrontend(RATE, 64, power=1.0),
    "mel, not centered": lambda: MelFrontend(RATE, 64, center=False),
    "mel, zeros around": lambda: MelFrontend(RATE, 64, pad_mode="constant", align="start", n_fft=1024),
    "learnable mel": lambda: LearnableMelFilterbank(RATE, 64, win_length=512, hop_length=128),
    "Gaussian, decibels": lambda: GaussianFilterbank(RATE, 64, compression=Decibels()),
    "cos-gauss": lambda: CosGaussFilterbank(RATE, 64, compression=Log(1e-6)),
    "sinc": lambda: SincFilterbank(RATE, 64, compression=nn.Identity()),
}


@pytest.mark.parametrize("name", BANKS)
def test_features_of_the_waveform_are_those_that_it_was_made_from(name):
    bank, waveform = BANKS[name](), chirp()
    again = invert(bank, bank(waveform), length=RATE)
    assert again.shape == waveform.shape
    with torch.no_grad():
        before, after = bank.energies(waveform), bank.energies(again)
        noise = bank.energies(torch.randn(RATE) * waveform.std())
    inner = slice(3, -3)  # the ends are seen by fewer frames
    error = (after - before)[:, inner].square().sum() / before[:, inner].square().sum()
    assert float(error) < 0.05
    assert float(error) < 0.1 * float((noise - before)[:, inner].square().sum() / before[:, inner].square().sum())


def test_a_tone_has_its_frequency_and_level_again():
    bank, tone = MelFrontend(RATE, 80), 0.3 * torch.sin(2 * math.pi * 1000 / RATE * torch.arange(RATE))
    again = invert(bank, bank(tone), length=RATE)[2000:-2000]
    spectrum = np.abs(np.fft.rfft(again.numpy() * np.hanning(len(again))))
    assert abs(np.argmax(spectrum) * RATE / len(again) - 1000) < 25  # filters are 35 Hz apart here
    assert float(again.std()) == pytest.approx(float(tone.std()), rel=0.2)


def test_silence_stays_silent_and_batches_are_clips_alone():
    bank = MelFrontend(RATE, 40)
    assert float(invert(bank, bank(torch.zeros(RATE)), length=RATE).abs().max()) < 1e-3
    clips = torch.stack([chirp(0.5), 0.1 * chirp(0.5)])
    together = invert(bank, bank(clips))
    assert together.shape[0] == 2
    ratio = together[0, 500:-500].std() / together[1, 500:-500].std()
    assert float(ratio) == pytest.approx(10, rel=0.15)  # less the floor of the logarithm


def test_spectra_have_the_energies_and_are_nowhere_negative():
    bank = CosGaussFilterbank(RATE, 30)
    with torch.no_grad():
        weights = bank.weights(torch.zeros(1))
    true = torch.rand(4, 7, weights.shape[1]).square()
    energies = (true @ weights.mT).mT
    found = power_spectra(energies, weights)
    assert float(found.min()) >= 0
    assert_close((found @ weights.mT).mT, energies, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    "compression", [Log(), Log(1e-3, learn=True), Log(0.0, floor=1e-5, base=10.0), Decibels(top_db=None), nn.Identity()]
)
def test_compressions_are_undone(compression):
    energies = torch.tensor([[1e-2, 1.0, 50.0]])
    assert_close(energies_of(compression, compression(energies).detach()), energies, rtol=1e-4, atol=1e-6)
    assert float(energies_of(compression, compression(torch.zeros(1, 1)).detach())) <= 1e-9


def test_more_iterations_come_nearer_and_a_seed_gives_one_waveform():
    bank, waveform = MelFrontend(RATE, 64), chirp()
    spectra = torch.fft.rfft(
        bank.framing.cut(waveform[None], bank.framing.padding) * bank._constants.like("frame_window", waveform),
        n=bank.n_fft,
    ).abs()

    def distance(iterations):
        again = griffin_lim(bank, spectra, length=RATE, iterations=iterations)
        frames = bank.framing.cut(again, bank.framing.padding) * bank._constants.like("frame_window", again)
        return float((torch.fft.rfft(frames, n=bank.n_fft).abs() - spectra).norm() / spectra.norm())

    assert distance(50) < 0.5 * distance(0)
    assert_close(griffin_lim(bank, spectra, seed=1), griffin_lim(bank, spectra, seed=1), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("frontend", "features", "error", "said"),
    [
        (lambda: nn.Linear(2, 2), (40, 9), TypeError, "frontend must be a Frontend such as MelFrontend, got Linear"),
        (lambda: MultiHeadRelevance(MelFrontend(RATE, 40)), (40, 9), ValueError, "must be a filterbank to be inverted"),
        (lambda: CosGaussFilterbank(RATE, 40, padding="valid"), (40, 9), ValueError, "must have padding='full'"),
        (lambda: CosGaussFilterbank(RATE, 40, compression=PCEN(40)), (40, 9), ValueError, "compression must be Log, "),
        (presets.ast, (128, 9), ValueError, "frontend must have no .* to be inverted"),
        (
            lambda: MelFrontend(RATE, 40),
            (41, 9),
            ValueError,
            r"features must be \(..., 40, frames\), got shape \(41, 9",
        ),
        (lambda: MelFrontend(RATE, 40), (40,), ValueError, r"features must be \(..., 40, frames\), got shape \(40,\)"),
    ],
)
def test_what_cannot_be_inverted_is_refused(frontend, features, error, said):
    with pytest.raises(error, match=said):
        invert(frontend(), torch.zeros(features))


def test_numbers_out_of_bounds_are_refused():
    bank, features = MelFrontend(RATE, 40), torch.zeros(40, 9)
    with pytest.raises(ValueError, match="iterations must be at least 0, got -1"):
        invert(bank, features, iterations=-1)
    with pytest.raises(ValueError, match="length must be"):
        invert(bank, features, length=0)
    with pytest.raises(TypeError, match="features must be a floating-point tensor"):
        invert(bank, features.long())
