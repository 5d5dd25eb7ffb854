"""Families in closed form against formulas, scipy and the layers that they are named after."""

import importlib
import math

import numpy as np
import pytest
import scipy.signal
import torch
from conftest import default_dtype, families, needs
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from learnable_frontends import (
    CosGaussFilterbank,
    Filterbank,
    FreeFilterbank,
    FreeResponseFilterbank,
    Frontend,
    GaborFilterbank,
    GammatoneFilterbank,
    GaussianFilterbank,
    LearnableMelFilterbank,
    MelFrontend,
    SincFilterbank,
)
from learnable_frontends.functional.gaussian_sides import gaussian_gains
from learnable_frontends.pretrained import from_pretrained, save_pretrained

pytestmark = pytest.mark.usefixtures("double")
BINS = torch.arange(2049, dtype=torch.float64) * (16000 / 4096)


# All


@pytest.mark.parametrize("family", families(Filterbank))
def test_no_gain_is_a_denormal_number(family, double):  # noqa: ARG001 - made in float64, moved, then as in training
    bank = family(44100, 80, n_fft=4096).float()
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    gains = bank.weights(torch.ones(1)).detach()
    assert not ((gains != 0) & (gains.abs() < torch.finfo(torch.float32).tiny)).any()


def test_gaussians_are_cut_off_far_below_what_their_transform_can_tell():
    squares = torch.tensor([0.0, 1.0, 79.9, 80.1, 1e4, math.inf], requires_grad=True)
    gains = gaussian_gains(squares)
    expected = [1.0, 0.5, 2**-79.9, 0.0, 0.0, 0.0]
    assert_close(gains.detach(), torch.tensor(expected), rtol=1e-12, atol=0)
    (slopes,) = torch.autograd.grad(gains.sum(), squares)
    assert_close(slopes, -math.log(2) * torch.tensor(expected), rtol=1e-12, atol=0)


# Gaussian


@given(n_filters=st.integers(1, 60), init=st.sampled_from(["mel", "erb", "bark", "linear", "slaney"]))
def test_gaussians_meet_half_way_to_their_neighbors_at_half_height_on_average(n_filters, init):
    bank = GaussianFilterbank(16000, n_filters, init=init, f_min=100.0)
    centers = torch.cat([torch.tensor([100.0]), bank.center_frequencies.detach(), torch.tensor([8000.0])])
    half = (centers[2:] - centers[:-2]) / 4
    for side in (-1, 1):
        heights = bank.response(centers[1:-1] + side * half).detach().diagonal()
        assert_close(heights, torch.full((n_filters,), 0.5), rtol=0, atol=1e-9)
    assert_close(bank.widths.detach(), 2 * half, rtol=1e-9, atol=0)


def test_gaussians_are_the_formula_and_have_its_noise_bandwidth():
    bank = GaussianFilterbank(16000, 5, width=[60.0, 200.0, 300.0, 400.0, 500.0], init=[500.0, 1e3, 2e3, 3e3, 5e3])
    deviations = np.array([60.0, 200.0, 300.0, 400.0, 500.0]) / (2 * math.sqrt(2 * math.log(2)))
    centers = np.array([500.0, 1e3, 2e3, 3e3, 5e3])
    expected = np.exp(-0.5 * ((BINS.numpy() - centers[:, None]) / deviations[:, None]) ** 2)
    assert_close(bank.power_response(4096).detach(), torch.tensor(expected), rtol=1e-9, atol=1e-12)
    assert_close(bank.bandwidths.detach(), torch.tensor(deviations * math.sqrt(2 * math.pi)), rtol=1e-3, atol=0)


def test_n_fft_of_gaussians_is_the_smallest_whose_bins_are_no_farther_apart_than_filters_are_wide():
    for n_filters in (8, 40, 80, 200):
        bank = GaussianFilterbank(16000, n_filters)
        narrowest = bank.widths.min().item()
        assert 16000 / bank.n_fft <= narrowest
        assert bank.n_fft == 512 or 2 * 16000 / bank.n_fft > narrowest


# Gabor


@given(
    centers=st.lists(st.floats(0.05, 3.0), min_size=1, max_size=8, unique_by=lambda c: round(c, 2)),
    deviations=st.lists(st.floats(4.0, 60.0), min_size=8, max_size=8),
    kernel_size=st.sampled_from([101, 401]),
)
def test_leafs_filters_are_carried_over(centers, deviations, kernel_size):
    centers, deviations = torch.tensor(centers), torch.tensor(deviations[: len(centers)])
    bank = GaborFilterbank.from_leaf(centers, deviations, 16000, kernel_size=kernel_size)
    order, time = centers.argsort(), np.arange(kernel_size) - kernel_size // 2
    # LEAF, eq. 3, in its own numbers.
    sigma, eta = deviations[order].numpy()[:, None], centers[order].numpy()[:, None]
    kernels = np.exp(-(time**2) / (2 * sigma**2)) * np.exp(1j * eta * time) / (math.sqrt(2 * math.pi) * sigma)
    assert_close(bank.kernels().detach(), torch.tensor(kernels.real), rtol=0, atol=1e-9)
    assert_close(bank.quadrature().detach(), torch.tensor(kernels.imag), rtol=0, atol=1e-9)


def test_leafs_layer_in_speechbrain_has_the_same_kernels():
    needs("speechbrain.nnet.CNN")
    cnn = importlib.import_module("speechbrain.nnet.CNN")
    layer = cnn.GaborConv1d(40, 401, 1, in_channels=1, sample_rate=16000).float()
    with torch.no_grad():
        centers, deviations = layer._gabor_constraint(layer.kernel).T
        expected = layer._gabor_filters(layer._gabor_constraint(layer.kernel).float())
    kept = deviations > 4.0  # widest filters of all: the lowest has its center where another begins
    bank = GaborFilterbank.from_leaf(centers[kept], deviations[kept], 16000, kernel_size=401)
    order = centers[kept].argsort()
    real, imaginary = (expected.real, expected.imag) if expected.is_complex() else expected.unbind(-1)
    assert_close(bank.kernels().detach(), real[kept][order].double(), rtol=0, atol=1e-5)
    assert_close(bank.quadrature().detach(), imaginary[kept][order].double(), rtol=0, atol=1e-5)


def test_energy_of_a_tone_does_not_depend_on_its_phase():
    bank = GaborFilterbank(16000, 10, win_length=400, hop_length=37)
    tone = torch.cos(2 * torch.pi * bank.center_frequencies[5].item() * torch.arange(8000) / 16000)
    energies = bank.energies(tone).detach()[5, 10:-10]
    assert energies.std() < 0.002 * energies.mean()


@pytest.mark.parametrize(
    ("centers", "deviations", "message"),
    [((2, 3), (2, 3), r"^centers and deviations must have shape \(n_filters,\), got \(2, 3\)"), ((2,), (3,), "got")],
)
def test_numbers_that_are_not_leafs_are_refused(centers, deviations, message):
    with pytest.raises(ValueError, match=message):
        GaborFilterbank.from_leaf(torch.ones(centers), torch.ones(deviations), 16000)


# Sinc


def test_sincnets_layer_of_asteroid_has_the_same_kernels():
    asteroid = pytest.importorskip("asteroid_filterbanks")
    with default_dtype(torch.float32):
        layer = asteroid.ParamSincFB(80, 251, sample_rate=16000.0)
        kernels = layer.filters().detach()[:40, 0]
    bank = SincFilterbank.from_sincnet(layer.low_hz_, layer.band_hz_, 16000, kernel_size=251)
    assert_close(bank.kernels().detach()[:-1], kernels.double()[:-1], rtol=0, atol=1e-5)
    assert_close(bank.kernels().detach()[-1], kernels.double()[-1], rtol=0, atol=1e-3)  # its end is half the rate


@given(
    low=st.lists(st.floats(0.0, 500.0), min_size=5, max_size=5),
    band=st.lists(st.floats(0.0, 800.0), min_size=5, max_size=5),
)
def test_edges_that_are_given_are_kept(low, band):
    low = [1000.0 * i + value for i, value in enumerate(low)][::-1]
    bank = SincFilterbank.from_sincnet(torch.tensor(low), torch.tensor(band), 16000)
    edges = np.array([[50 + a, 100 + a + b] for a, b in zip(low, band, strict=True)])[::-1]
    assert_close(bank.edges.detach(), torch.tensor(edges.copy()), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[1.0, 2.0, 3.0]], r"^edges must have shape \(1, 2\), got \(1, 3\)$"),
        ([[500.0, 300.0]], r"got \[500.0, 300.0\] \(f_min=0.0, f_max=8000.0\)"),
        ([[500.0, 8000.0]], r"^edges must be ascending and from 4 to 7996 Hz for filter 0, got \[500.0, 8000.0\]"),
    ],
)
def test_edges_that_cannot_be_are_refused(edges, message):
    with pytest.raises(ValueError, match=message):
        SincFilterbank(16000, 1, edges=edges)


# Gammatone


@pytest.mark.parametrize("order", [1, 3, 4, 5])
def test_gammatones_are_scipys(order):
    bank = GammatoneFilterbank(16000, 12, order=order, init="erb")
    for hz, kernel in zip(bank.center_frequencies.tolist(), bank.kernels().detach(), strict=True):
        expected, _ = scipy.signal.gammatone(hz, "fir", order=order, numtaps=bank.kernel_size, fs=16000)
        # scipy divides by 9.26449 where the formula multiplies by 24.7 * 0.00437: six digits.
        assert_close(kernel, torch.tensor(expected), rtol=0, atol=1e-6 * np.abs(expected).max())


def test_gammatones_that_are_not_truncated_have_the_closed_form_response():
    bank = GammatoneFilterbank(16000, 6, f_min=500.0, f_max=4000.0, kernel_size=4001)
    c, b = bank.center_frequencies.detach()[:, None], 1.019 * bank.widths.detach()[:, None]
    at = BINS[77:1152:20]
    expected = ((1 + 1j * (at - c) / b) ** -4 + (1 + 1j * (at + c) / b) ** -4).abs().square()
    measured = bank.power_response(4096).detach()[:, 77:1152:20]
    peak = expected.amax()
    assert_close(measured, expected, rtol=0.02, atol=2e-4 * float(peak))  # sampled, at 16 kHz


def test_gammatones_learn_their_width():
    bank = GammatoneFilterbank(16000, 6, learn_width=True)
    before = bank.widths.detach()
    assert_close(before, 24.7 * (4.37e-3 * bank.center_frequencies.detach() + 1), rtol=1e-9, atol=0)
    with torch.no_grad():
        bank.raw_width.fill_(0.5)
    assert (bank.widths > 1.5 * before).all()


# Free


@pytest.mark.parametrize("family", [SincFilterbank, CosGaussFilterbank, GammatoneFilterbank, FreeFilterbank])
def test_free_kernels_begin_as_those_of_another_bank(noise, family):
    start = family(16000, 12, kernel_size=301)
    bank, waveform = FreeFilterbank(16000, 12, kernel_size=401, start=start), noise(4000, dtype=torch.float64)
    assert_close(bank.kernels()[:, 50:351].detach(), start.kernels().detach(), rtol=0, atol=0)
    scale = (400 + 401 - 1) / (400 + 301 - 1)  # both average over all outputs
    assert_close(bank.energies(waveform).detach() * scale, start.energies(waveform).detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("start", [GaborFilterbank(16000, 12), MelFrontend(16000, 12), GaussianFilterbank(16000, 12)])
def test_free_kernels_begin_with_the_response_of_a_bank_without_kernels_of_its_own(start):
    bank = FreeFilterbank(16000, 12, kernel_size=2001, start=start)
    expected = start.power_response(4096).detach().double()
    assert_close(bank.power_response(4096).detach(), expected, rtol=0, atol=0.02 * float(expected.max()))


def test_free_gains_begin_as_those_of_another_bank(noise):
    waveform = noise(4000)
    for start in (MelFrontend(16000, 40), LearnableMelFilterbank(16000, 40), GaussianFilterbank(16000, 40)):
        bank = FreeResponseFilterbank(16000, 40, start=start)
        assert_close(bank(waveform), start(waveform).detach(), rtol=0, atol=0.02)
        assert_close(bank.power_response(4096), start.power_response(4096).detach(), rtol=0, atol=0.3)  # interpolated
    start = CosGaussFilterbank(16000, 40, kernel_size=201)
    bank = FreeResponseFilterbank(16000, 40, start=start, window=torch.hamming_window, n_fft=1024)
    assert_close(bank(waveform)[:, 3:-3], start(waveform).detach()[:, 3:-3], rtol=0, atol=0.05)


def test_noise_of_a_usual_level_is_above_the_offset_of_every_default():
    waveform = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for family in families(Frontend):
        bank = family(16000, 40)
        assert (bank.energies(waveform).mean(-1) > 10 * bank.compression.offset).all(), family.__name__


def test_free_filters_stay_in_their_rows_and_have_centroids():
    bank = FreeResponseFilterbank(16000, 6)
    with torch.no_grad():
        bank.raw_gains.copy_(bank.raw_gains.flip(0))
    assert (bank.center_frequencies.diff() < 0).all()
    kernels = FreeFilterbank(16000, 6, kernel_size=101)
    spectrum = np.abs(np.fft.rfft(kernels.kernels().detach().numpy(), 2**14)) ** 2
    expected = (spectrum * np.linspace(0, 8000, 2**13 + 1)).sum(-1) / spectrum.sum(-1)
    assert_close(kernels.center_frequencies.detach(), torch.tensor(expected), rtol=0.03, atol=0)  # of fewer bins


@pytest.mark.parametrize("family", [FreeFilterbank, FreeResponseFilterbank])
def test_starts_that_do_not_fit_are_refused(family):
    with pytest.raises(TypeError, match=r"^start must be a Filterbank such as SincFilterbank, got str$"):
        family(16000, 12, start="mel")
    with pytest.raises(ValueError, match=r"^start must have sample_rate=16000 and n_filters=12, got sample_rate=8000"):
        family(16000, 12, start=MelFrontend(8000, 12))


def test_a_start_without_gain_is_refused():
    with pytest.warns(UserWarning, match="without a bin"):
        start = MelFrontend(16000, 128, n_fft=400)
    with pytest.raises(ValueError, match=r"^start must have a gain at some bin in every filter, got none in \d+"):
        FreeResponseFilterbank(16000, 128, start=start)


# Sharing

FROM_ELSEWHERE = {
    "sincnet": lambda: SincFilterbank.from_sincnet(torch.tensor([950.0, 150.0]), torch.tensor([450.0, 50.0]), 16000),
    "leaf": lambda: GaborFilterbank.from_leaf(torch.tensor([0.8, 0.2]), torch.tensor([20.0, 60.0]), 16000),
    "mel": lambda: LearnableMelFilterbank.from_mel(MelFrontend(16000, 6, window=torch.hamming_window)),
    "sinc": lambda: FreeFilterbank(16000, 6, start=SincFilterbank(16000, 6)),
    "cos-gauss": lambda: FreeResponseFilterbank(16000, 6, start=CosGaussFilterbank(16000, 6)),
    "short": lambda: CosGaussFilterbank(16000, 6, n_fft=500),
}


@pytest.mark.parametrize("make", FROM_ELSEWHERE.values(), ids=FROM_ELSEWHERE)
def test_banks_that_began_elsewhere_are_shared_with_their_start(noise, tmp_path, make):
    with default_dtype(torch.float32):
        bank, waveform = make(), noise(4000)
        with torch.no_grad():
            for parameter in bank.parameters():
                parameter += 0.05
        save_pretrained(bank, tmp_path)
        loaded = from_pretrained(tmp_path)
        assert_close(loaded(waveform), bank(waveform), rtol=0, atol=0)
        assert_close(loaded.as_initialized()(waveform), make()(waveform), rtol=0, atol=0)


# The transform of filters by kernels


@given(
    n_fft=st.integers(10, 40).map(lambda half: 2 * half),
    kernel_size=st.integers(1, 60).map(lambda half: 2 * half + 1),
    family=st.sampled_from([CosGaussFilterbank, SincFilterbank, GaborFilterbank, GammatoneFilterbank, FreeFilterbank]),
    seed=st.integers(0, 9),
)
def test_energies_of_a_short_transform_are_those_of_the_circular_convolution(noise, n_fft, kernel_size, family, seed):
    bank = family(8000, 3, win_length=20, hop_length=7, n_fft=n_fft, kernel_size=kernel_size, center=False)
    waveform = noise(60, dtype=torch.float64, seed=seed)
    window = scipy.signal.get_window("hamming", 20)
    pair = [bank.kernels()] + ([bank.quadrature()] if hasattr(bank, "quadrature") else [])
    expected = np.zeros((3, 6))
    for kernels in pair:
        for i, kernel in enumerate(kernels.detach().numpy()):
            for t in range(6):
                linear = np.convolve(waveform.numpy()[7 * t : 7 * t + 20] * window, kernel)
                circular = np.zeros(n_fft)
                for n, value in enumerate(linear):  # wrapped around
                    circular[n % n_fft] += value
                expected[i, t] += (circular**2).sum() / (20 + kernel_size - 1)
    assert_close(bank.energies(waveform).detach(), torch.tensor(expected), rtol=1e-8, atol=1e-15)


@given(family=st.sampled_from([CosGaussFilterbank, SincFilterbank, GaborFilterbank]), extra=st.integers(0, 50))
def test_a_transform_long_enough_is_exact(noise, family, extra):
    exact, waveform = family(8000, 4), noise(1000, dtype=torch.float64)
    n_fft = exact.win_length + exact.kernel_size - 1 + 2 * extra
    bank = family(8000, 4, n_fft=n_fft)
    assert_close(bank.energies(waveform).detach(), exact.energies(waveform).detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_fft": 198}, r"^n_fft must be even and at least win_length=200, got 198 \(try 200, or None for the exact"),
        ({"n_fft": 201}, r"got 201 \(try 200"),
        ({"win_length": 201, "n_fft": 201}, r"at least win_length=201, got 201 \(try 202"),
        (
            {"n_fft": 200, "padding": "valid"},
            r"^n_fft must be left out with padding='valid', which convolves, got 200$",
        ),
    ],
)
def test_transforms_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CosGaussFilterbank(8000, 4, **settings)
