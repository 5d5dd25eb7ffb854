import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from learnable_frontends import SincFilterbank
from learnable_frontends.functional import spaced_edges

pytestmark = pytest.mark.usefixtures("double")

moderate_values = st.lists(st.floats(-4, 4), min_size=5, max_size=5)
raw_values = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5)


def with_parameters(raw_low, raw_band, **settings):
    bank = SincFilterbank(8000, len(raw_low), **settings)
    with torch.no_grad():
        bank.raw_low.copy_(torch.tensor(raw_low))
        bank.raw_band.copy_(torch.tensor(raw_band))
    return bank


def closed_form(edges_hz, sample_rate, kernel_size):
    n = np.arange(kernel_size) - kernel_size // 2
    low, high = (edges_hz.numpy() / sample_rate).T[:, :, None]
    difference = 2 * high * np.sinc(2 * high * n) - 2 * low * np.sinc(2 * low * n)
    return difference / (2 * (high - low)) * scipy.signal.get_window("hamming", kernel_size, fftbins=False)


@pytest.mark.parametrize(("sample_rate", "kernel_size"), [(44100, 705), (8000, 3), (22051, 129)])
@pytest.mark.parametrize("init", ["mel", "linear"])
def test_kernels_equal_the_difference_of_two_windowed_sincs(sample_rate, kernel_size, init):
    bank = SincFilterbank(sample_rate, 20, kernel_size=kernel_size, init=init)
    expected = closed_form(bank.edges.detach(), sample_rate, kernel_size)
    # Two sincs cancel for narrow bands: their rounding is divided by the band, a thousandth.
    assert_close(bank.kernels().detach(), torch.tensor(expected), rtol=0, atol=1e-11)


@given(raw_low=moderate_values, raw_band=moderate_values)
def test_kernels_are_even_peak_at_one_and_decay_as_one_over_n(raw_low, raw_band):
    bank = with_parameters(raw_low, raw_band, kernel_size=65)
    kernels, n = bank.kernels().detach(), torch.arange(-32.0, 33.0)
    assert torch.equal(kernels, kernels.flip(-1))
    assert (kernels[:, 32] == 1).all()
    assert (kernels.abs() <= 1).all()
    low, high = bank.edges.detach().T[:, :, None] / 8000
    assert (kernels.abs() * (np.pi * n * (high - low)).abs() <= 1 + 1e-12).all()
    assert_close(kernels, torch.tensor(closed_form(bank.edges.detach(), 8000, 65)), rtol=0, atol=1e-11)


@pytest.mark.parametrize("init", [[200.0, 1000.0, 1100.0, 3900.0], "mel"])
def test_filters_start_side_by_side_around_the_given_centers(init):
    bank = SincFilterbank(8000, 4, f_min=100.0, init=init)
    centers = spaced_edges(4, 100.0, 4000.0, "mel")[1:-1].numpy() if init == "mel" else np.array(init)
    points = np.concatenate([[100.0], centers, [4000.0]])
    half = np.minimum((points[2:] - points[:-2]) / 4, np.minimum(centers - 100, 4000 - centers) / 2)
    expected = np.stack([centers - half, centers + half], axis=1)
    assert_close(bank.edges.detach(), torch.tensor(expected), rtol=1e-11, atol=0)  # logit and back
    assert_close(bank.center_frequencies.detach(), torch.tensor(centers), rtol=1e-11, atol=0)


@given(raw_low=raw_values, raw_band=raw_values, dtype=st.sampled_from([torch.float32, torch.float64]))
def test_edges_are_ordered_and_inside_the_band_for_any_parameters(raw_low, raw_band, dtype):
    bank = with_parameters(raw_low, raw_band, f_min=50.0, f_max=3800.0).to(dtype)
    low, high = bank.edges.detach().unbind(-1)
    assert (low > 50.0).all()
    assert (low < high).all()
    assert (high < 3800.0).all()
    assert (bank.center_frequencies.diff() > 0).all()
    assert bank.kernels().isfinite().all()


def test_both_edges_of_every_filter_learn(noise):
    bank = SincFilterbank(8000, 5)
    bank.energies(noise(4000, dtype=torch.float64)).log().sum().backward()
    assert (bank.raw_low.grad != 0).all()
    assert (bank.raw_band.grad != 0).all()


def test_bandwidth_is_high_minus_low_where_the_kernel_is_long():
    bank = SincFilterbank(8000, 3, kernel_size=1001, init=[800.0, 1500.0, 2500.0])
    low, high = bank.edges.detach().unbind(-1)
    # The edges of a Hamming-windowed sinc are 16 Hz wide here and odd about the ideal ones; its ripple is 0.2 % of
    # the peak amplitude, which divides.
    assert_close(bank.bandwidths.detach(), high - low, rtol=0.02, atol=0)
    response, hz = bank.power_response(8000).detach(), torch.arange(4001.0)
    for i in range(3):
        inside, outside = (hz > low[i] + 16) & (hz < high[i] - 16), (hz < low[i] - 16) | (hz > high[i] + 16)
        assert response[i, outside].max() < 1e-5 * response[i, inside].min()  # Hamming: 53 dB


def test_centroid_of_the_response_is_the_center_frequency():
    bank = SincFilterbank(8000, 3, kernel_size=1001, init=[800.0, 1500.0, 2500.0])
    response, hz = bank.power_response(8000).detach(), torch.arange(4001.0)
    centroid = (response * hz).sum(-1) / response.sum(-1)
    assert_close(centroid, bank.center_frequencies.detach(), rtol=1e-3, atol=0)  # leakage at -53 dB over the whole band
