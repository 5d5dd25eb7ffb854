import math

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from learnable_frontends import CosGaussFilterbank, MelFrontend

pytestmark = pytest.mark.usefixtures("double")

raw_values = st.lists(st.floats(-8, 8), min_size=5, max_size=5)


def closed_form(center_hz, width, sample_rate, kernel_size):
    n = np.arange(kernel_size) - kernel_size // 2
    mu = np.asarray(center_hz)[:, None] / sample_rate
    return np.cos(2 * np.pi * mu * n) * np.exp(-((n * mu / width) ** 2) / 2)


def with_centers(raw, **settings):
    bank = CosGaussFilterbank(8000, len(raw), **settings)
    with torch.no_grad():
        bank.raw_center.copy_(torch.tensor(raw))
    return bank


@pytest.mark.parametrize("width", [0.3, 1.0, 5.0, 40.0])
@pytest.mark.parametrize("learn_width", [False, True])
@pytest.mark.parametrize(("sample_rate", "kernel_size"), [(44100, 705), (8000, 3), (22051, 129)])
def test_kernels_equal_the_closed_form(width, learn_width, sample_rate, kernel_size):
    centers = [100.0, 440.0, 1000.0, 3998.0]
    bank = CosGaussFilterbank(
        sample_rate, 4, kernel_size=kernel_size, init=centers, f_max=4000.0, width=width, learn_width=learn_width
    )
    expected = closed_form(centers, width, sample_rate, kernel_size)
    # 3998 Hz sits next to the end of the band, where the logit loses three digits; phases reach 600 radians.
    assert_close(bank.kernels(), torch.tensor(expected), rtol=0, atol=1e-9)


def test_default_kernels_are_those_of_the_published_code():
    s = torch.tensor([0.05, 0.2, 0.6])  # their sigmoid(m): twice the center in cycles per sample
    sigma = 10 / s
    n = torch.arange(-352.0, 353.0)
    expected = torch.cos(math.pi * s[:, None] * n) * torch.exp(-(n**2) / (2 * sigma[:, None] ** 2))
    kernels = CosGaussFilterbank(44100, 3, init=s / 2 * 44100).kernels()
    assert_close(kernels, expected, rtol=0, atol=1e-10)  # rounding at phases of up to 600 radians


@given(raw=raw_values, width=st.floats(0.2, 50.0))
def test_kernels_are_even_peak_at_one_and_stay_under_the_gaussian(raw, width):
    bank = with_centers(raw, kernel_size=65, width=width)
    kernels, n = bank.kernels(), torch.arange(-32.0, 33.0)
    envelope = torch.exp(-0.5 * (n * bank.center_frequencies[:, None] / 8000 / width) ** 2)
    assert torch.equal(kernels, kernels.flip(-1))
    assert (kernels[:, 32] == 1).all()
    assert (kernels.abs() <= envelope * (1 + 1e-12)).all()
    assert (envelope[:, 32:].diff() <= 0).all()


@given(center=st.floats(1500.0, 2500.0), width=st.floats(1.5, 6.0))
def test_duration_is_the_same_number_of_periods_at_every_center(center, width):
    bank = CosGaussFilterbank(8000, 1, kernel_size=401, init=[center], width=width)
    power, n = bank.kernels()[0].square(), torch.arange(-200.0, 201.0)
    periods = (power * n**2).sum().div(power.sum()).sqrt() * center / 8000
    # The square of a Gaussian is narrower by sqrt(2); its carrier's own share is exp(-(2 pi w)^2) and vanishes.
    assert_close(periods, torch.tensor(width / math.sqrt(2)), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("init", "htk"), [("mel", True), ("htk", True), ("slaney", False)])
def test_mel_inits_equal_librosa_centers(init, htk):
    bank = CosGaussFilterbank(16000, 40, f_min=50.0, f_max=7600.0, init=init)
    expected = librosa.mel_frequencies(42, fmin=50.0, fmax=7600.0, htk=htk)[1:-1]
    assert_close(bank.center_frequencies.detach(), torch.tensor(expected), rtol=1e-11, atol=0)  # logit and back


@pytest.mark.parametrize(
    ("init", "scale"),
    [
        ("linear", lambda hz: hz),
        ("bark", lambda hz: 26.81 / (1 + 1960 / hz) - 0.53),
        ("erb", lambda hz: 21.4 * np.log(0.00437 * hz + 1) / np.log(10)),
    ],
)
def test_other_inits_are_even_on_their_scale_from_end_to_end(init, scale):
    bank = CosGaussFilterbank(16000, 40, f_min=50.0, f_max=7600.0, init=init)
    points = scale(np.concatenate([[50.0], bank.center_frequencies.detach(), [7600.0]]))
    np.testing.assert_allclose(points, np.linspace(points[0], points[-1], 42), rtol=1e-10)  # logit and back


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda hz: torch.tensor(hz).float()])
def test_given_centers_are_the_center_frequencies(kind):
    hz = [60.0, 440.0, 442.0, 3990.0]
    bank = CosGaussFilterbank(8000, 4, init=kind(hz))
    assert_close(bank.center_frequencies.detach(), torch.tensor(hz), rtol=1e-11, atol=0)  # logit and back


def test_centers_come_back_within_float32_in_the_default_type():
    hz = torch.linspace(50.0, 20000.0, 80)
    torch.set_default_dtype(torch.float32)
    try:
        centers = CosGaussFilterbank(44100, init=hz).center_frequencies
    finally:
        torch.set_default_dtype(torch.float64)
    assert_close(centers.detach().double(), hz, rtol=2e-6, atol=0)  # a few roundings of float32


def test_width_is_one_learned_number_a_filter_on_request():
    bank = CosGaussFilterbank(8000, 5, width=3.0, learn_width=True)
    assert {name: p.shape for name, p in bank.named_parameters()} == {"raw_center": (5,), "raw_width": (5,)}
    assert_close(bank.widths.detach(), torch.full((5,), 3.0), rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(bank.kernels().square().sum(), bank.raw_width)
    assert (gradient > 0).all()  # a wider Gaussian has more energy
    fixed = CosGaussFilterbank(8000, 5, width=3.0)
    assert [name for name, _ in fixed.named_parameters()] == ["raw_center"]
    assert_close(fixed.widths, torch.full((5,), 3.0), rtol=0, atol=0)


@pytest.mark.parametrize("gain", ["raw", "peak"])
def test_gradients_to_centers_and_widths_equal_differences(gain):
    bank = CosGaussFilterbank(
        8000, 3, kernel_size=15, win_length=40, hop_length=30, width=2.0, learn_width=True, gain=gain
    )

    waveform = torch.cos(torch.arange(100.0) ** 1.5)

    def features(*values):
        named = dict(zip(["raw_center", "raw_width"], values, strict=True))
        return torch.func.functional_call(bank, named, (waveform,))

    assert torch.autograd.gradcheck(features, (bank.raw_center, bank.raw_width))


@given(raw_width=st.lists(st.floats(-1e30, 1e30), min_size=5, max_size=5))
def test_any_learned_width_stays_between_a_tenth_and_a_hundred_periods(raw_width):
    bank = CosGaussFilterbank(8000, 5, learn_width=True)
    with torch.no_grad():
        bank.raw_width.copy_(torch.tensor(raw_width))
    assert (bank.widths >= 0.1 * (1 - 1e-12)).all()
    assert (bank.widths <= 100 * (1 + 1e-12)).all()
    assert bank.kernels().isfinite().all()


def test_a_width_follows_its_filter_when_centers_cross():
    bank = CosGaussFilterbank(8000, 2, init=[1000.0, 2000.0], learn_width=True)
    with torch.no_grad():
        bank.raw_width.copy_(torch.tensor([-1.0, 1.0]))
    before = bank.widths.detach()
    assert before[0] < before[1]
    with torch.no_grad():
        bank.raw_center.copy_(bank.raw_center.flip(0))
    assert_close(bank.widths.detach(), before.flip(0), rtol=0, atol=0)
    expected = closed_form(bank.center_frequencies.detach(), before.flip(0).numpy()[:, None], 8000, 129)
    assert_close(bank.kernels().detach(), torch.tensor(expected), rtol=0, atol=1e-12)  # rounding


@pytest.mark.parametrize("width", [1.5, 5.0])
def test_bandwidth_is_that_of_the_gaussian_where_it_fits_into_the_kernel(width):
    bank = CosGaussFilterbank(8000, 3, kernel_size=401, init=[800.0, 1500.0, 2500.0], width=width)
    # |G|^2 is a Gaussian of standard deviation 1 / (sqrt(8) pi sigma) with sigma = width / center seconds. The longest
    # kernel ends at four sigma, which takes 6e-5 off its peak amplitude.
    expected = bank.center_frequencies.detach() / (2 * math.sqrt(math.pi) * width)
    assert_close(bank.bandwidths.detach(), expected, rtol=3e-4, atol=0)


def test_centroid_of_the_response_is_the_center_frequency():
    bank = CosGaussFilterbank(8000, 3, kernel_size=401, init=[800.0, 1500.0, 2500.0])
    response, hz = bank.power_response(4096).detach(), torch.linspace(0, 4000, 2049)
    # The kernel's cut-off at four standard deviations leaves sidelobes of 1e-7.
    assert_close((response * hz).sum(-1) / response.sum(-1), bank.center_frequencies.detach(), rtol=1e-5, atol=0)


def test_lower_filters_are_louder_unless_gain_is_peak():
    raw = CosGaussFilterbank(8000, 3, kernel_size=401, init=[500.0, 1000.0, 2000.0])
    peak = CosGaussFilterbank(8000, 3, kernel_size=401, init=[500.0, 1000.0, 2000.0], gain="peak")
    top = raw.power_response(8000).amax(-1)
    # The gain of a Gaussian is proportional to its length, so power falls by four an octave; the lowest is cut at
    # 2.5 standard deviations, which takes off 2.5 %.
    assert_close(top[:-1] / top[1:], torch.full((2,), 4.0), rtol=0.04, atol=0)
    assert_close(peak.power_response(8000).amax(-1), torch.ones(3), rtol=1e-4, atol=0)


def test_width_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"^width must be positive and finite, got 0 \(in periods\)"):
        CosGaussFilterbank(8000, 3, width=0)
    with pytest.raises(ValueError, match=r"^width must be positive and finite, got inf"):
        CosGaussFilterbank(8000, 3, width=math.inf)
    for width in (0.1, 100.0):
        with pytest.raises(ValueError, match=rf"^width must be between 0.1 and 100 periods to be learned, got {width}"):
            CosGaussFilterbank(8000, 3, width=width, learn_width=True)


@pytest.mark.parametrize("init", ["mel", "linear", [300.0, 700.0, 900.0, 2500.0]])
def test_width_of_spacing_meets_half_way_at_half_the_power(init):
    bank = CosGaussFilterbank(8000, 4, kernel_size=8001, init=init, width="spacing")
    centers = bank.center_frequencies.detach()
    ends = torch.cat([torch.zeros(1), centers, torch.tensor([4000.0])])
    half_way = (ends[2:] - ends[:-2]) / 4
    # The mean of both sides: closed form of the Gaussian's response, by itself and through the kernels.
    widths = centers * math.sqrt(math.log(2)) / (2 * math.pi * half_way)
    assert_close(bank.widths, widths, rtol=1e-9, atol=0)
    response = bank.power_response(16000).detach()  # bins of half a hertz
    peak = response[2, (2 * centers[2]).round().long()]
    assert_close(
        response[2, (2 * (centers[2] + half_way[2])).round().long()] / peak, torch.tensor(0.5), rtol=0.02, atol=0
    )


def test_filters_of_spacing_are_as_wide_as_mel_filters():
    for n_filters in (8, 16, 40):
        spaced = CosGaussFilterbank(16000, n_filters, kernel_size=1601, width="spacing").bandwidths
        mel = MelFrontend(16000, n_filters, n_fft=4096).bandwidths
        ratio = spaced / mel
        assert ratio.min() > 0.95
        assert ratio.max() < 1.2


@pytest.mark.parametrize("learn_width", [False, True])
def test_each_filter_can_have_a_width_of_its_own(learn_width):
    widths = torch.tensor([1.0, 2.0, 4.0])
    bank = CosGaussFilterbank(8000, 3, kernel_size=101, width=widths, learn_width=learn_width)
    assert_close(bank.widths.detach(), widths)
    expected = closed_form(bank.center_frequencies.detach(), widths[:, None].numpy(), 8000, 101)
    assert_close(bank.kernels().detach(), torch.from_numpy(expected))
    with torch.no_grad():
        bank.raw_center.copy_(bank.raw_center.flip(0))
    assert_close(bank.widths.detach(), widths.flip(0))  # each goes with its filter
    assert "width=1 to 4" in repr(bank)


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"^width must be one number or 3, got shape \(2,\)$"):
        CosGaussFilterbank(8000, 3, width=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"^width must be 'spacing' or numbers, got 'erb' \(in periods\)$"):
        CosGaussFilterbank(8000, 3, width="erb")
    with pytest.raises(
        ValueError, match=r"^width='spacing' must lead to widths between 0.1 and 100.0 periods, got \[0.00"
    ):
        CosGaussFilterbank(8000, 1, init=[10.0], width="spacing")


def test_printed_form_shows_the_width_and_whether_it_is_learned():
    assert repr(CosGaussFilterbank(16000, 6, width=0.5, learn_width=True)).count("width=0.5, learn_width=True") == 1
    assert "width=5, learn_width=False" in repr(CosGaussFilterbank(16000, 6))
