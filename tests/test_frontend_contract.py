"""What every front-end must satisfy: each family of filters, bare and behind relevance heads."""

import copy
import inspect
import math
import pickle
import re

import numpy as np
import pytest
import scipy.signal
import torch
from conftest import families
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

import learnable_frontends
import learnable_frontends.transforms
from learnable_frontends import (
    PCEN,
    Decibels,
    Frontend,
    KernelFilterbank,
    Log,
    MelFrontend,
    MultiHeadRelevance,
    ResponseFilterbank,
    transforms,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
COMPRESSIONS = [Log, Decibels, nn.Identity]
# Rounding of float64 sums in another order; relative, with a floor for energies that nearly cancel.
EXACT = {"rtol": 1e-9, "atol": 1e-14}
# The same in float32.
SINGLE = {"rtol": 2e-5, "atol": 1e-6}

odd = st.integers(1, 20).map(lambda half: 2 * half + 1)
everywhere = st.floats(allow_nan=False, allow_infinity=False, width=32)


def bare(frontend):
    return getattr(frontend, "frontend", frontend)


def free_parameters(frontend):
    return {name: p for name, p in frontend.named_parameters() if name.split(".")[-1].startswith("raw_")}


def gradients(frontend, waveform, weigh=torch.sum):
    """Features, and gradients of their sum to the waveform and each parameter."""
    waveform = waveform.clone().requires_grad_()
    features = frontend(waveform)
    weigh(features).backward()
    return features.detach(), [waveform.grad, *(p.grad for p in frontend.parameters())]


def fingerprints(frontend):
    return {"frontend.fingerprint" if frontend is not bare(frontend) else "fingerprint"}


def assert_centers_valid(frontend):
    centers = frontend.center_frequencies.detach()
    assert (centers.diff() > 0).all() or not frontend.centers_ascend
    assert centers[0] > frontend.f_min
    assert centers[-1] < frontend.f_max


# Arguments, shapes, types


def test_public_families_are_among_those_tested():
    names = {
        "CosGaussFilterbank",
        "FreeFilterbank",
        "FreeResponseFilterbank",
        "GaborFilterbank",
        "GammatoneFilterbank",
        "GaussianFilterbank",
        "LearnableMelFilterbank",
        "MelFrontend",
        "SincFilterbank",
    }
    assert names <= {family.__name__ for family in families(Frontend)} <= set(learnable_frontends.__all__)
    assert families(KernelFilterbank) == [family for family in families(Frontend) if hasattr(family, "kernels")]


def test_constructor_has_the_shared_names_and_defaults(family):
    parameters = inspect.signature(family).parameters
    shared = {
        "sample_rate": inspect.Parameter.empty,
        "n_filters": 80,
        "win_length": None,
        "hop_length": None,
        "f_min": 0.0,
        "f_max": None,
        "center": True,
        "pad_mode": "reflect",
        "compression": None,
    }
    if issubclass(family, KernelFilterbank):
        shared |= {"kernel_size": None, "padding": "full", "init": "mel", "gain": "raw"}
    assert {name: parameters[name].default for name in shared} == shared
    assert list(parameters)[:2] == ["sample_rate", "n_filters"]
    assert {p.kind for p in list(parameters.values())[2:]} == {inspect.Parameter.KEYWORD_ONLY}
    assert callable(parameters["window"].default)


def test_unknown_arguments_are_refused(family):
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_mels'"):
        family(8000, n_mels=40)


def test_lengths_default_to_25_10_and_16_milliseconds(family):
    frontend = family(44100)
    assert (frontend.win_length, frontend.hop_length) == (1102, 441)
    assert (frontend.f_min, frontend.f_max) == (0.0, 22050.0)
    milliseconds = 50 if family.__name__ == "GammatoneFilterbank" else 16
    assert getattr(frontend, "kernel_size", None) in (None, 2 * int(milliseconds * 22.05) + 1)
    assert isinstance(frontend.compression, Log)


def test_printed_form_shows_the_settings(build):
    frontend = build(win_length=123, hop_length=45, f_min=67.0, pad_mode="constant")
    for setting in ("sample_rate=8000", "n_filters=6", "win_length=123", "hop_length=45", "f_min=67.0", "'constant'"):
        assert setting in repr(frontend)


@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 1, 3)], ids=str)
def test_any_leading_axes_give_the_features_of_each_clip(build, noise, lead):
    waveform = noise(*lead, 1000, dtype=torch.float64)
    for settings in [{}, {"padding": "valid"}] if build.has_kernels else [{}]:
        frontend = build(dtype=torch.float64, compression=Decibels(top_db=20.0), **settings)
        features = frontend(waveform)
        assert features.shape == (*lead, 6, 13)
        for item, clip in zip(features.reshape(-1, 6, 13), waveform.reshape(-1, 1000), strict=True):
            assert_close(item, frontend(clip), **EXACT)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_features_have_the_type_of_the_waveform(build, noise, dtype, compression):
    frontend = build(compression=compression())
    waveform = noise(2, 1000).to(dtype)
    features = frontend(waveform)
    assert features.dtype == dtype
    exact = build(dtype=torch.float64, compression=compression())(waveform.double())
    # One rounding of the features, and of the heads' masks; float32 kernels are known to about 1e-5.
    tolerance = max(2 * torch.finfo(dtype).eps, 2e-5)
    assert_close(features.double(), exact, rtol=tolerance, atol=tolerance * exact.abs().max().item())


def test_energies_are_float32_at_least(build, noise):
    frontend = build()
    expected = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
    for dtype in DTYPES:
        assert frontend.energies(noise(1000).to(dtype)).dtype == expected.get(dtype, dtype)


def test_autocast_leaves_features_alone(build, noise):
    frontend, waveform = build(), noise(2, 1000)
    expected = frontend(waveform)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = frontend(waveform)
    assert_close(features, expected, rtol=0, atol=0)


def test_features_are_the_compressed_energies(build, noise):
    waveform = noise(2, 1000)
    plain = build(compression=nn.Identity())
    expected = plain.energies(waveform)
    assert (expected > 0).all()
    for compression in (Log(1e-5), Decibels(), nn.Identity()):
        frontend = build(compression=compression)
        features = compression(expected)
        if build.wrapped:
            features = frontend.relevance(features)
        assert_close(frontend(waveform), features, rtol=0, atol=0)


def test_waveform_is_left_alone_and_may_be_strided(build, noise):
    frontend = build()
    waveform = noise(1000, 3).T
    before = waveform.clone()
    features = frontend(waveform)
    assert_close(waveform, before, rtol=0, atol=0)
    assert_close(features, frontend(waveform.contiguous()), **SINGLE)


# Frames


@given(
    win_length=st.integers(1, 60),
    hop_length=st.integers(1, 40),
    time=st.integers(0, 200),
    center=st.booleans(),
    pad_mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]),
)
def test_output_lengths_are_the_frames_of_any_waveform(build, win_length, hop_length, time, center, pad_mode):
    frontend = build(n_filters=2, win_length=win_length, hop_length=hop_length, center=center, pad_mode=pad_mode)
    half = (frontend.n_fft + 1) // 2 if isinstance(bare(frontend), ResponseFilterbank) else (win_length + 1) // 2
    frame_length = frontend.n_fft if isinstance(bare(frontend), ResponseFilterbank) else win_length
    assume(time >= (half + 1 if center else frame_length))
    features = frontend(torch.ones(time))
    assert features.shape == (2, 1 + time // hop_length if center else 1 + (time - frame_length) // hop_length)
    lengths = frontend.output_lengths(torch.tensor([[time, time + hop_length]]))
    assert lengths.tolist() == [[features.shape[-1], features.shape[-1] + 1]]


@pytest.mark.parametrize("win_length", [200, 201])
def test_a_click_is_loudest_in_the_frame_centered_on_it(build, win_length):
    waveform = torch.zeros(2000, dtype=torch.float64)
    waveform[7 * 80] = 1.0
    energies = build(dtype=torch.float64, win_length=win_length, hop_length=80).energies(waveform)
    time = torch.arange(energies.shape[-1])
    # The window's middle tap is up to half a sample off its middle, a hundredth of a hop.
    centroid = (energies * time).sum(-1) / energies.sum(-1)
    assert_close(centroid, torch.full((6,), 7.0, dtype=torch.float64), rtol=0, atol=0.01)


def test_a_clip_padded_with_zeros_keeps_its_frames(build, noise):
    frontend = build(dtype=torch.float64, pad_mode="constant")
    lengths = torch.tensor([1000, 640, 333])
    batch = torch.zeros(3, 1000, dtype=torch.float64)
    clips = [noise(int(length), dtype=torch.float64, seed=int(length)) for length in lengths]
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    energies, frames = frontend.energies(batch), frontend.output_lengths(lengths)
    for item, clip, n in zip(energies, clips, frames, strict=True):
        assert_close(item[:, :n], frontend.energies(clip), **EXACT)


def test_ten_minutes_have_the_frames_of_an_excerpt(build, noise):
    frontend = build(hop_length=400)
    waveform = noise(600 * 8000)
    with torch.no_grad():
        features = frontend(waveform)
        excerpt = frontend(waveform[4000 * 400 : 4020 * 400])
    assert features.shape == (6, 12001)
    # Frames that reach the excerpt's ends, by their window or by the context of heads, see other samples.
    assert_close(features[:, 4004:4016], excerpt[:, 4:16], **SINGLE)


# Difficult waveforms

WAVEFORMS = {
    "silence": lambda n: torch.zeros(n),
    "constant": lambda n: torch.ones(n),
    "square": lambda n: (torch.arange(n) // 20 % 2) * 2.0 - 1.0,
    "nyquist": lambda n: 1.0 - torch.arange(n) % 2 * 2.0,
    "click": lambda n: (torch.arange(n) == n // 2) * 1.0,
}


@pytest.mark.parametrize("name", WAVEFORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("compression", [Log, Decibels])
def test_difficult_waveforms_give_finite_features_and_gradients(build, name, dtype, compression):
    features, grads = gradients(build(compression=compression()), WAVEFORMS[name](1000).to(dtype))
    assert features.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in grads)


def test_silence_has_no_energy_and_noise_has_some_in_every_filter(build, noise):
    assert (build().energies(torch.zeros(1000)) == 0).all()
    assert (build().energies(noise(1000)) > 0).all()


def test_magnitude_spectrum_of_silence_has_a_finite_gradient():
    features, grads = gradients(MelFrontend(8000, 6, power=1.0), torch.zeros(1000))
    assert features.isfinite().all()
    assert grads[0].isfinite().all()


def test_one_sample_gives_one_frame_with_constant_padding(build):
    features, grads = gradients(build(pad_mode="constant"), torch.ones(2, 1))
    assert features.shape == (2, 6, 1)
    assert features.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in grads)


def test_nan_in_one_clip_leaves_the_others_untouched(build, noise):
    waveform = noise(3, 1000)
    expected, (expected_grad, *_) = gradients(build(), waveform)
    waveform[1, 500] = torch.nan
    features, (grad, *_) = gradients(build(), waveform, lambda features: features[[0, 2]].sum())
    assert features[1].isnan().any()
    assert_close(features[[0, 2]], expected[[0, 2]], **SINGLE)
    assert_close(grad[[0, 2]], expected_grad[[0, 2]], **SINGLE)


@given(gain=st.floats(-100, 100), time=st.integers(200, 500), seed=st.integers(0, 99))
def test_energy_is_quadratic_in_the_gain_of_the_waveform(build, noise, gain, time, seed):
    frontend, waveform = build(dtype=torch.float64), noise(time, dtype=torch.float64, seed=seed)
    # Rounding; the squares of gains below 1e-150 have few digits left.
    assert_close(frontend.energies(gain * waveform), gain**2 * frontend.energies(waveform), rtol=1e-10, atol=1e-290)


# Gradients


def test_every_parameter_and_every_sample_gets_a_gradient(build, noise):
    torch.manual_seed(0)
    features, grads = gradients(build(), noise(2, 1000), lambda f: (f * torch.randn_like(f)).sum())
    assert features.isfinite().all()
    for gradient in grads:
        assert gradient.isfinite().all()
        # Samples under the zero of a Hann window of the first frame apart.
        assert (gradient != 0).float().mean() > 0.98


def assert_gradients_equal_differences(frontend, waveform):
    names = [name for name, _ in frontend.named_parameters()]

    def features(waveform, *values):
        return torch.func.functional_call(frontend, dict(zip(names, values, strict=True)), (waveform,))

    assert torch.autograd.gradcheck(features, (waveform.requires_grad_(), *frontend.parameters()))


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_gradients_equal_differences(build, noise, pad_mode):
    settings = {"n_filters": 3, "f_min": 500.0, "win_length": 12, "hop_length": 7, "pad_mode": pad_mode}
    frontend = build(dtype=torch.float64, compression=Log(1e-2), **settings)
    with torch.no_grad():
        for i, parameter in enumerate(free_parameters(frontend).values()):
            parameter += noise(
                *parameter.shape, dtype=torch.float64, seed=i
            )  # away from a start that may be an edge of what they do
    assert_gradients_equal_differences(frontend, 10 * noise(1, 20, dtype=torch.float64))


@pytest.mark.parametrize(("padding", "gain"), [("full", "peak"), ("valid", "raw"), ("valid", "peak")])
def test_gradients_of_every_padding_and_gain_equal_differences(build_kernels, noise, padding, gain):
    if not takes_gain(build_kernels, gain):
        pytest.skip("no gain to choose")
    settings = {"n_filters": 3, "win_length": 12, "hop_length": 7, "kernel_size": 9, "padding": padding, "gain": gain}
    frontend = bare(build_kernels(dtype=torch.float64, compression=nn.Identity(), **settings))
    assert_gradients_equal_differences(frontend, noise(1, 20, dtype=torch.float64))


# Centers, responses, bandwidths


@pytest.mark.parametrize("band", [(0.0, 4000.0), (50.0, 3800.0), (1000.0, 1500.0)])
@given(data=st.data())
def test_any_parameters_keep_centers_strictly_ordered_and_in_band(build_learned, noise, band, data):
    frontend = build_learned(f_min=band[0], f_max=band[1])
    for parameter in free_parameters(frontend).values():
        kind = data.draw(
            st.sampled_from([everywhere, st.sampled_from([0.0, 1e30, -1e30]), st.floats(-10, 10, width=32)])
        )
        raw = data.draw(st.lists(kind, min_size=6, max_size=6))
        with torch.no_grad():
            parameter.copy_(torch.tensor(raw))
    assert_centers_valid(frontend)
    features, grads = gradients(frontend, noise(400))
    assert features.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in grads)


@pytest.mark.parametrize("value", [0.0, 5.0, 20.0, 1e30, -20.0, -1e30])
@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_eighty_equal_parameters_give_eighty_different_centers(build_learned, value, sample_rate):
    frontend = build_learned(sample_rate=sample_rate, n_filters=80)
    with torch.no_grad():
        for parameter in free_parameters(frontend).values():
            parameter.fill_(value)
    assert_centers_valid(frontend)


@given(
    optimizer=st.sampled_from([torch.optim.SGD, torch.optim.Adam]),
    exponent=st.floats(-3, 10),
    steps=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_any_optimizer_steps_keep_centers_strictly_ordered_and_in_band(
    build_learned, noise, optimizer, exponent, steps, seed
):
    frontend = build_learned()
    optimizer = optimizer(frontend.param_groups(lr=1e-3, frontend_lr=10**exponent))
    torch.manual_seed(seed)
    direction = torch.randn(6, 6)
    for _ in range(steps):
        optimizer.zero_grad()
        (frontend(noise(400)) * direction).sum().backward()
        optimizer.step()
        assert_centers_valid(frontend)
    assert frontend(noise(400)).isfinite().all()


def test_centers_and_bandwidths_are_one_number_a_filter_and_differentiable(build):
    frontend = build()
    assert_centers_valid(frontend)
    assert frontend.center_frequencies.shape == frontend.bandwidths.shape == (6,)
    assert (frontend.bandwidths > 0).all()
    assert (frontend.bandwidths < frontend.f_max).all()
    for name, parameter in free_parameters(frontend).items():
        (gradient,) = torch.autograd.grad(frontend.center_frequencies.sum(), parameter, materialize_grads=True)
        if name.endswith(("raw_center", "raw_low", "raw_band")) and not isinstance(bare(frontend), MelFrontend):
            assert (gradient > 0).all()


def test_centroid_of_the_response_is_within_the_filter(build):
    settings = {"kernel_size": 401} if build.has_kernels else {}
    frontend = build(f_min=300.0, f_max=3500.0, **settings)
    response = frontend.power_response(8000)
    assert response.shape == (6, 4001)
    assert (response >= 0).all()
    centroid = (response * torch.arange(4001.0)).sum(-1) / response.sum(-1)
    assert ((centroid - frontend.center_frequencies).abs() < frontend.bandwidths / 2).all()


@pytest.mark.parametrize("gain", ["raw", "peak"])
def test_power_response_and_bandwidths_are_those_of_the_kernels(build_kernels, gain):
    if not takes_gain(build_kernels, gain):
        pytest.skip("no gain to choose")
    frontend = bare(build_kernels(dtype=torch.float64, gain=gain))
    kernels = frontend.kernels().detach().numpy()
    taps = np.arange(frontend.kernel_size)
    assert kernels.shape == (6, len(taps))
    pair = [kernels] + ([frontend.quadrature().detach().numpy()] if hasattr(frontend, "quadrature") else [])
    dtft = sum(np.abs(k @ np.exp(-2j * np.pi * np.outer(taps, np.arange(501)) / 1000)) ** 2 for k in pair)
    hz = frontend.center_frequencies.detach().numpy()
    at_center = sum(np.abs((k * np.exp(-2j * np.pi * np.outer(hz, taps) / 8000)).sum(-1)) ** 2 for k in pair)
    scale = 1 / at_center if gain == "peak" else np.ones(6)
    expected = torch.tensor(dtft * scale[:, None])
    assert_close(frontend.power_response(1000).detach(), expected, rtol=1e-9, atol=1e-10)  # rounding
    # Parseval: the one-sided integral of |G|^2 is half the sample rate times the energy of the taps.
    peak = sum(np.abs(np.fft.rfft(k, 2**16)) ** 2 for k in pair).max(-1)
    bandwidths = torch.tensor(4000 * sum((k**2).sum(-1) for k in pair) / peak)
    # The sum counts the bins at 0 Hz and at 4 kHz whole: half a bin too much each, 1 Hz together.
    assert_close(frontend.bandwidths.detach(), bandwidths, rtol=1e-3, atol=1.0)


def test_peak_gain_is_one_at_each_center(build_kernels):
    if not takes_gain(build_kernels, "peak"):
        with pytest.raises(ValueError, match=r"^gain must be 'raw' for free kernels"):
            build_kernels(gain="peak")
        return
    frontend = build_kernels(dtype=torch.float64, gain="peak", f_min=200.0, win_length=2000, hop_length=2000)
    hz = frontend.center_frequencies.detach()
    time = torch.arange(40000, dtype=torch.float64)
    tones = torch.cos(2 * torch.pi * hz[:, None] * time / 8000)
    measured = frontend.energies(tones)[:, :, 5:15].mean(-1).diagonal()
    # What a tone of unit amplitude gives: its power 1/2 times the window's, spread over win_length + 128 outputs.
    window = scipy.signal.get_window("hamming", 2000)
    expected = torch.full((6,), 0.5 * (window**2).sum() / (1999 + bare(frontend).kernel_size), dtype=torch.float64)
    # The window's 10 Hz are narrow against any filter here.
    assert_close(measured.detach(), expected, rtol=0.01, atol=0)


# The literal convolution


def takes_gain(build, gain):
    """Free kernels need not pass their centers."""
    return gain == "raw" or build.family.centers_ascend


def literal_energies(frontend, waveform, center, mode):
    """Frame, window, convolve, square and average, one frame and filter at a time."""
    frontend = bare(frontend)
    win, hop, time = frontend.win_length, frontend.hop_length, waveform.shape[-1]
    window = scipy.signal.get_window("hamming", win)
    pair = [frontend.kernels()] + ([frontend.quadrature()] if hasattr(frontend, "quadrature") else [])
    pair = np.stack([kernels.detach().numpy() for kernels in pair])
    if frontend.gain == "peak":
        phases = np.outer(frontend.center_frequencies.detach().numpy(), np.arange(pair.shape[-1]))
        gains = (pair * np.exp(-2j * np.pi * phases / frontend.sample_rate)).sum(-1)
        pair = pair / np.sqrt((np.abs(gains) ** 2).sum(0))[:, None]
    if center:
        padded = np.pad(waveform.numpy(), win, mode=frontend.pad_mode)
        starts = [win + t * hop - win // 2 for t in range(1 + time // hop)]
    else:
        padded = waveform.numpy()
        starts = range(0, time - win + 1, hop)
    frames = [padded[start : start + win] * window for start in starts]
    energies = [
        [[np.mean(scipy.signal.convolve(f, g, mode=mode) ** 2) for f in frames] for g in kernels] for kernels in pair
    ]
    return torch.tensor(np.array(energies).sum(0))


@given(
    win_length=st.integers(1, 40),
    kernel_size=odd,
    hop_length=st.integers(1, 30),
    time=st.integers(41, 90),
    center=st.booleans(),
    pad_mode=st.sampled_from(["reflect", "constant"]),
    padding=st.sampled_from(["full", "valid"]),
    gain=st.sampled_from(["raw", "peak"]),
    seed=st.integers(0, 99),
)
def test_energies_equal_the_literal_convolution(
    build_kernels, noise, win_length, kernel_size, hop_length, time, center, pad_mode, padding, gain, seed
):
    assume(takes_gain(build_kernels, gain))
    if padding == "valid":
        assume(win_length >= 3)
        kernel_size = min(kernel_size, win_length - 1 + win_length % 2)
    frontend = build_kernels(
        dtype=torch.float64,
        n_filters=3,
        win_length=win_length,
        kernel_size=kernel_size,
        hop_length=hop_length,
        center=center,
        pad_mode=pad_mode,
        padding=padding,
        gain=gain,
    )
    waveform = noise(time, dtype=torch.float64, seed=seed)
    expected = literal_energies(frontend, waveform, center, padding)
    assert_close(frontend.energies(waveform).detach(), expected, rtol=1e-8, atol=1e-14)  # rounding where sums cancel


def test_energies_of_the_papers_sizes_equal_the_literal_convolution_in_float32(build_kernels, noise):
    settings = {"sample_rate": 44100, "win_length": 2048, "hop_length": 1024}
    waveform = noise(4096, dtype=torch.float64)
    for padding in ("full", "valid"):
        frontend = build_kernels(padding=padding, **settings)
        exact = build_kernels(dtype=torch.float64, padding=padding, **settings)
        expected = literal_energies(exact, waveform, True, padding)
        log_energies = frontend.energies(waveform.float()).log().detach().double()
        # float32 rounds the kernels' phases, hundreds of radians, to 1e-5 of one; measured 5e-6.
        assert_close(log_energies, expected.log(), rtol=0, atol=2e-5)


# State and training


def test_state_is_the_parameters_and_goes_round_by_dict_copy_and_pickle(build, noise):
    frontend, waveform = build(), noise(2, 1000)
    with torch.no_grad():
        for parameter in frontend.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    expected = frontend(waveform)
    assert set(frontend.state_dict()) == {name for name, _ in frontend.named_parameters()} | fingerprints(frontend)
    loaded = build()
    if list(frontend.parameters()):
        assert not torch.equal(loaded(waveform), expected)
    loaded.load_state_dict(frontend.state_dict(), strict=True)
    for again in (loaded, copy.deepcopy(frontend), pickle.loads(pickle.dumps(frontend))):
        assert type(again) is type(frontend)
        assert_close(again(waveform), expected, rtol=0, atol=0)
        assert_close(again.center_frequencies, frontend.center_frequencies, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_front_end_moves_to_another_type(build, noise, dtype):
    frontend = build()
    centers, waveform = frontend.center_frequencies.detach(), noise(2, 1000)
    expected = frontend(waveform)
    moved = copy.deepcopy(frontend).to(dtype)
    assert {p.dtype for p in moved.parameters()} <= {dtype}
    features, grads = gradients(moved, waveform.to(dtype))
    assert features.dtype == dtype
    assert all(gradient.isfinite().all() for gradient in grads)
    # A logit of up to 6 moves by 6 eps when rounded, and so does a low center, relatively; constants as much again. A
    # centroid is a sum over many bins, of gains down to a hundred-thousandth, a logit of 12.
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    assert_close(moved.center_frequencies.float(), centers, rtol=(12 if frontend.centers_ascend else 24) * eps, atol=0)
    if dtype in (torch.float32, torch.float64):
        assert_close(features.float(), expected.detach(), rtol=1e-4, atol=1e-4)  # constants stay float32 ones


def test_compiles_in_one_graph_with_the_same_features_and_gradients(build, noise):
    torch._dynamo.reset()  # it gives up on code that many families have compiled
    expected, expected_grads = gradients(build(), noise(2, 1000))
    frontend = build()
    # With heads the graph holds that of the bare front-end: tracing its backward pass once is enough.
    compiled = torch.compile(frontend, fullgraph=True, backend="aot_eager" if build.wrapped else "eager")
    waveform = noise(2, 1000).requires_grad_()
    features = compiled(waveform)
    features.sum().backward()
    assert_close(features.detach(), expected, **SINGLE)
    for gradient, other in zip([waveform.grad, *(p.grad for p in frontend.parameters())], expected_grads, strict=True):
        # Sums over all frames in another order.
        assert_close(gradient, other, rtol=1e-4, atol=1e-5 * other.abs().max().item())


def test_exports_with_dynamic_batch_and_time(build, noise):
    frontend = build()
    dynamic = torch.export.Dim.DYNAMIC
    exported = torch.export.export(frontend, (noise(2, 1000),), dynamic_shapes=({0: dynamic, 1: dynamic},)).module()
    for shape in [(2, 1000), (3, 777)]:
        assert_close(exported(noise(*shape)), frontend(noise(*shape)), **SINGLE)


def test_param_groups_hold_every_parameter_once_and_spare_filters_weight_decay(build):
    frontend = build()
    groups = frontend.param_groups(lr=1e-3, frontend_lr=1e-2)
    parameters = [id(p) for group in groups for p in group["params"]]
    assert sorted(parameters) == sorted(id(p) for p in frontend.parameters())
    by_name = {group["name"]: group for group in groups}
    raw = {id(p) for p in free_parameters(frontend).values()}
    assert {id(p) for p in by_name.get("filters", {"params": []})["params"]} == raw
    if groups:
        optimizer = torch.optim.AdamW(groups, lr=123.0, weight_decay=0.5)
        settings = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups}
        expected = {"filters": (1e-2, 0.0), "frontend": (1e-3, 0.5)}
        assert settings == {name: expected[name] for name in by_name}


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_a_step_of_a_hundredth_moves_a_low_center_by_one_percent(build_kernels, sample_rate):
    if not build_kernels.family.centers_ascend:
        pytest.skip("its centers are centroids")
    frontend = build_kernels(dtype=torch.float64, sample_rate=sample_rate, n_filters=40)
    groups = frontend.param_groups(lr=1e-3, frontend_lr=1e-2)
    before = frontend.center_frequencies.detach()
    (-frontend.center_frequencies.sum()).backward()
    torch.optim.Adam([group for group in groups if group["name"] == "filters"]).step()
    moved = frontend.center_frequencies.detach() / before - 1
    # d log(center) = (1 - center / band) d logit, and a thousandth of the band is the ramp, which does not move.
    assert moved[:10].min() > 0.008
    assert moved[:10].max() < 0.0101
    assert (moved > 0).all()


# Errors


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"sample_rate": 0}, ValueError, "sample_rate must be positive and finite, got 0 (in Hz)"),
        ({"sample_rate": math.inf}, ValueError, "sample_rate must be positive and finite, got inf (in Hz)"),
        ({"n_filters": 0}, ValueError, "n_filters must be at least 1, got 0"),
        ({"n_filters": 2.5}, TypeError, "n_filters must be a whole number, got 2.5"),
        ({"win_length": 0}, ValueError, "win_length must be at least 1, got 0"),
        ({"win_length": True}, TypeError, "win_length must be a whole number, got True"),
        ({"hop_length": -1}, ValueError, "hop_length must be at least 1, got -1"),
        *(
            (
                {"f_min": low, "f_max": high},
                ValueError,
                "f_min and f_max must satisfy 0 <= f_min < f_max <= sample_rate / 2, "
                f"got f_min={low}, f_max={high}, sample_rate=8000 (all in Hz)",
            )
            for low, high in [(4000.0, 4000.0), (-1.0, 4000.0), (0.0, 4000.5)]
        ),
        ({"f_min": math.nan}, ValueError, "f_min must be finite, got nan"),
        ({"f_min": None}, TypeError, "f_min must be a number, got None"),
        ({"f_max": "4000"}, TypeError, "f_max must be a number, got '4000'"),
        ({"sample_rate": "8000"}, TypeError, "sample_rate must be a number, got '8000' (in Hz)"),
        (
            {"pad_mode": "zeros"},
            ValueError,
            "pad_mode must be one of ('constant', 'reflect', 'replicate', 'circular'), got 'zeros'",
        ),
        (
            {"compression": "log"},
            TypeError,
            "compression must be a module such as Log(1e-3), got 'log' (torch.nn.Identity() for none)",
        ),
        (
            {"win_length": 100, "window": lambda n: torch.ones(n - 1)},
            ValueError,
            "window must return 100 samples for win_length=100, got shape (99,) "
            "(pass a function such as torch.hann_window)",
        ),
        (
            {"win_length": 100, "window": lambda n: n},
            ValueError,
            "window must return 100 samples for win_length=100, got 100 (pass a function such as torch.hann_window)",
        ),
        (
            {"window": "hann"},
            TypeError,
            "window must be a function of a length in samples, got 'hann' (such as torch.hann_window)",
        ),
    ],
)
def test_invalid_settings_are_refused(family, settings, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        family(**{"sample_rate": 8000, "n_filters": 6, **settings})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"kernel_size": 704}, ValueError, "kernel_size must be odd, got 704 (try 705)"),
        ({"kernel_size": 1}, ValueError, "kernel_size must be at least 3, got 1"),
        (
            {"sample_rate": 124},
            ValueError,
            "kernel_size must be given for sample_rate=124, whose 16 ms are one sample",
        ),
        ({"kernel_size": 70.5}, TypeError, "kernel_size must be a whole number, got 70.5"),
        ({"padding": "same"}, ValueError, "padding must be 'full' or 'valid', got 'same'"),
        (
            {"padding": "valid", "kernel_size": 129, "win_length": 128},
            ValueError,
            "kernel_size must be at most win_length=128 with padding='valid', got 129 "
            "(no output would cover the whole kernel; use padding='full')",
        ),
        ({"gain": "unit"}, ValueError, "gain must be 'raw' or 'peak', got 'unit'"),
        (
            {"init": [1000.0, 1000.5]},
            ValueError,
            "init must keep centers more than 2 Hz from each other and from f_min and f_max, "
            "got [1000.0, 1000.5] (all in Hz)",
        ),
        (
            {"init": [0.5, 1000.0]},
            ValueError,
            "init must keep centers more than 2 Hz from each other and from f_min and f_max, "
            "got [0.5, 1000.0] (all in Hz)",
        ),
        (
            {"f_min": 3999.0, "n_filters": 4},
            ValueError,
            "f_min and f_max must be further apart for 4 filters to differ in float32, "
            "got f_min=3999.0, f_max=4000.0 (all in Hz)",
        ),
        ({"init": [1000.0]}, ValueError, "init must have 2 centers in Hz, got shape (1,) (one per filter)"),
    ],
)
def test_invalid_kernel_settings_are_refused(build_kernels, settings, error, message):
    if "16 ms" in message and build_kernels.family.__name__ == "GammatoneFilterbank":
        pytest.skip("its default is longer")
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        build_kernels(**{"n_filters": 2, **settings})


@given(data=st.data())
def test_accepted_centers_are_kept_and_others_refused(build_kernels, data):
    if not build_kernels.family.centers_ascend:
        pytest.skip("its centers are centroids")
    hz = sorted(data.draw(st.lists(st.floats(0.0, 4000.0), min_size=4, max_size=4)))
    try:
        frontend = build_kernels(dtype=torch.float64, n_filters=4, init=hz)
    except ValueError:
        assert np.diff([0.0, *hz, 4000.0]).min() <= 1.2 + 1e-9  # 1.5 steps of the ramp, 4000 Hz / 1000 / 5
    else:
        centers = torch.tensor(hz, dtype=torch.float64)
        assert_close(frontend.center_frequencies.detach(), centers, rtol=0, atol=1e-9)  # logit and back


def test_whole_floats_count_as_lengths(build, noise):
    settings = {"win_length": 200, "hop_length": 80, "kernel_size" if build.has_kernels else "n_fft": 257}
    floats = {name: float(value) for name, value in settings.items()}
    assert_close(build(**floats)(noise(1000)), build(**settings)(noise(1000)), rtol=0, atol=0)


@pytest.mark.parametrize("n_fft", [16, 64, 90, 128])
def test_response_at_few_bins_is_that_at_many(build_kernels, n_fft):
    frontend = build_kernels(dtype=torch.float64)
    many = frontend.power_response(16 * n_fft)[:, ::16]
    assert_close(frontend.power_response(n_fft), many, rtol=1e-9, atol=1e-12 * float(many.detach().max()))


@pytest.mark.parametrize("call", ["__call__", "energies"])
def test_invalid_waveforms_are_refused(build, call):
    function = getattr(build(), call)
    message = "waveform must be a floating-point tensor, got torch.int16 (16-bit samples: divide by 32768.0)"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        function(torch.zeros(1000, dtype=torch.int16))
    with pytest.raises(TypeError, match=r"^waveform must be a tensor, got ndarray \(torch.as_tensor makes one\)$"):
        function(np.zeros(1000))
    message = "waveform must have a time axis, got a tensor without axes (shape (..., time))"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        function(torch.tensor(0.0))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"center": False}, "center=True pads"),
        ({"pad_mode": "reflect"}, "pad_mode='constant' takes any length"),
        ({"pad_mode": "circular"}, "pad_mode='constant' takes any length"),
        ({"pad_mode": "constant"}, "an empty clip has no features"),
        ({"pad_mode": "replicate"}, "an empty clip has no features"),
    ],
    ids=str,
)
def test_the_shortest_waveform_works_and_a_shorter_one_is_refused(build, settings, hint):
    frontend = build(win_length=256, **settings)  # mel: n_fft=256 too
    needed = {"center=True pads": 256, "an empty clip has no features": 1}.get(hint, 128)
    needed += settings.get("pad_mode") == "reflect"
    bank = bare(frontend)
    assert frontend(torch.ones(needed)).shape == (6, 1 if not bank.center else 1 + needed // 80)
    message = (
        f"waveform must have at least {needed} samples with center={bank.center}, "
        f"pad_mode={bank.pad_mode!r}, got {needed - 1} ({hint})"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        frontend(torch.ones(3, needed - 1))


BOTH_ENDS = st.sampled_from(
    [(True, mode) for mode in ("constant", "reflect", "replicate", "circular")] + [(False, "constant")]
)


@given(ends=BOTH_ENDS, lengths=st.lists(st.integers(260, 900), min_size=1, max_size=4), data=st.data())
def test_a_clip_in_a_padded_batch_has_the_features_that_it_has_alone(build, noise, ends, lengths, data):
    center, pad_mode = ends
    win_length, hop_length = data.draw(st.integers(20, 250)), data.draw(st.integers(1, 300))
    frontend = build(center=center, pad_mode=pad_mode, win_length=win_length, hop_length=hop_length)
    waveform = noise(len(lengths), max(lengths) + data.draw(st.integers(0, 300)))  # noise beyond the ends too
    features, frames = frontend(waveform, torch.tensor(lengths))
    assert features.shape[0] == frames.shape[0] == len(lengths)
    for item, clip, length, count in zip(features, waveform, lengths, frames.tolist(), strict=True):
        alone = frontend(clip[:length])
        assert count == alone.shape[-1]
        assert_close(item[:, :count], alone, **SINGLE)
        assert (item[:, count:] == 0).all()


@pytest.mark.parametrize("compression", [Decibels(top_db=20.0), PCEN(6)], ids=["decibels", "pcen"])
def test_compression_of_a_padded_clip_is_that_of_the_clip_alone(build, noise, compression):
    frontend = build(compression=compression)
    waveform = noise(2, 3000) * torch.tensor([[1.0], [0.01]])
    features, frames = frontend(waveform, torch.tensor([3000, 1500]))
    assert_close(features[1, :, : int(frames[1])], frontend(waveform[1, :1500]), **SINGLE)


@pytest.mark.parametrize(
    "settings", [{"gate": "softmax"}, {"first_layer": "conv"}, {"split": "even-odd"}, {"skip": False}]
)
def test_heads_see_zeros_beyond_the_end_of_each_clip(noise, settings):
    frontend = MultiHeadRelevance(MelFrontend(8000, 6), context=3, **settings)
    waveform = noise(2, 4000)
    features, frames = frontend(waveform, torch.tensor([4000, 1700]))
    assert_close(features[1, :, : int(frames[1])], frontend(waveform[1, :1700]), **SINGLE)
    assert (features[1, :, int(frames[1]) :] == 0).all()


def test_lengths_have_the_leading_axes_of_the_waveform(build, noise):
    frontend = build()
    waveform, lengths = noise(2, 3, 2000), torch.tensor([[2000, 1000, 1500], [1200, 2000, 700]])
    features, frames = frontend(waveform, lengths)
    assert frames.shape == (2, 3)
    assert_close(features[1, 2, :, : int(frames[1, 2])], frontend(waveform[1, 2, :700]), **SINGLE)
    features, frames = frontend(waveform[0, 0], torch.tensor(1000))
    assert_close(features[:, : int(frames)], frontend(waveform[0, 0, :1000]), **SINGLE)


def test_samples_beyond_a_clip_get_no_gradient_and_may_be_nan(build, noise):
    frontend = build()
    waveform = noise(2, 2000)
    waveform[1, 1200:] = torch.nan
    waveform.requires_grad_()
    features, _ = frontend(waveform, torch.tensor([2000, 1200]))
    assert features.isfinite().all()
    features.sum().backward()
    assert (waveform.grad[1, 1200:] == 0).all()
    assert waveform.grad[1, :1200].isfinite().all()
    assert (waveform.grad[1, :1200] != 0).any()


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([1000, 1000], TypeError, r"^lengths must be an integer tensor, got list \(samples of each clip\)$"),
        (
            torch.tensor([0.5, 1.0]),
            TypeError,
            r"^lengths must be an integer tensor, got torch.float32 \(samples of each",
        ),
        (torch.tensor([1000]), ValueError, r"^lengths must have the leading axes of waveform, \(2,\), got \(1,\)$"),
        (torch.tensor([1000, 1001]), ValueError, r"^lengths must be at most the 1000 samples of waveform, got 1001$"),
        (torch.tensor([1000, 0]), ValueError, r"^lengths must be at least \d+ samples with center=True, .*, got 0 \("),
    ],
)
def test_invalid_lengths_are_refused(build, noise, lengths, error, message):
    with pytest.raises(error, match=message):
        build()(noise(2, 1000), lengths)


@pytest.mark.parametrize("padding", ["full", "valid"])
def test_frozen_filters_give_the_same_and_do_not_learn(build, noise, padding):
    frontend = build(**({"padding": padding, "kernel_size": 33} if build.has_kernels else {}))
    waveform = noise(2, 2000)
    before, state = frontend(waveform).detach(), set(frontend.state_dict())
    learned = {name for name, parameter in frontend.named_parameters() if parameter.requires_grad}
    assert frontend.freeze() is frontend
    assert_close(frontend(waveform).detach(), before, rtol=0, atol=0)
    assert frontend.is_frozen
    assert "frozen=True" in repr(frontend)
    assert set(frontend.state_dict()) == state
    still = {name for name, parameter in frontend.named_parameters() if parameter.requires_grad}
    assert still == {name for name in learned if "raw_" not in name}
    frontend.unfreeze()
    assert not frontend.is_frozen
    assert {name for name, parameter in frontend.named_parameters() if parameter.requires_grad} == learned
    if build.has_kernels:
        frontend(waveform).sum().backward()
        assert all(p.grad is not None for name, p in frontend.named_parameters() if "raw_" in name)


def test_frozen_filters_are_computed_anew_when_a_state_or_a_type_comes(build_kernels, noise):
    other, waveform = build_kernels(init="linear"), noise(2000)
    frozen = build_kernels().freeze()
    frozen.load_state_dict(other.state_dict())
    assert_close(frozen(waveform), other(waveform).detach(), rtol=0, atol=0)
    assert_close(frozen.double()(waveform.double()), other.double()(waveform.double()).detach(), rtol=0, atol=0)
    for copied in (copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert copied.is_frozen
        assert_close(copied(waveform.double()), frozen(waveform.double()), rtol=0, atol=0)
    began = frozen.as_initialized()
    assert began.is_frozen
    assert_close(began(waveform.double()), build_kernels().double()(waveform.double()).detach(), rtol=1e-6, atol=1e-6)


# Edges


@pytest.mark.parametrize("shape", [(0, 1000), (2, 0, 1000), (0, 3, 1000)], ids=str)
def test_an_empty_batch_gives_no_clips_of_as_many_frames(build, shape):
    frontend = build()
    assert frontend(torch.zeros(shape)).shape == (*shape[:-1], 6, 13)
    assert frontend.energies(torch.zeros(shape)).shape == (*shape[:-1], 6, 13)
    features, frames = frontend(torch.zeros(shape), torch.zeros(shape[:-1], dtype=torch.int64))
    assert (features.shape, frames.shape) == ((*shape[:-1], 6, 13), shape[:-1])
    waveform = torch.zeros(shape, requires_grad=True)
    (frontend(waveform).sum() + waveform.sum()).backward()
    assert waveform.grad.shape == shape


def test_an_empty_batch_and_no_frames_pass_transforms_and_heads(build):
    pipeline = nn.Sequential(build(compression=PCEN(6)), transforms.MinMaxScale(), transforms.SpecAugment(2, 2))
    assert pipeline(torch.zeros(0, 1000)).shape == (0, 6, 13)


@given(length=st.integers(0, 500), center=st.booleans())
def test_output_lengths_are_never_negative(build, length, center):
    frontend = build(center=center)
    (frames,) = frontend.output_lengths(torch.tensor([length])).tolist()
    span = bare(frontend).framing.span
    assert frames == (1 + length // 80 if center else max(0, 1 + (length - span) // 80))


def test_channels_behind_time_are_refused(build):
    frontend = build(pad_mode="constant")
    message = (
        "waveform must be (..., time), got shape (16000, 2), 2 samples behind an axis of 16000 "
        "(transpose (time, channels): waveform.mT)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        frontend(torch.zeros(16000, 2))
    assert frontend(torch.zeros(16000, 2).mT).shape == (2, 6, 201)


def test_numbers_of_numpy_are_numbers(build, noise):
    settings = {"n_filters": 4, "win_length": 200, "hop_length": 50}
    settings |= {"kernel_size": 257} if build.has_kernels else {"n_fft": 512}
    frontend = build(
        sample_rate=np.float32(8000), f_max=np.float64(3000), **{k: np.int64(v) for k, v in settings.items()}
    )
    expected = build(sample_rate=8000, f_max=3000.0, **settings)
    assert_close(frontend(noise(1000)), expected(noise(1000)), rtol=0, atol=0)


def test_a_band_too_narrow_for_its_mel_filters_is_refused():
    with pytest.raises(
        ValueError, match=r"^f_min and f_max must be further apart for each of 40 filters to cover a bin "
    ):
        MelFrontend(16000, 40, f_min=1000, f_max=1000.001)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_sample_that_is_not_finite_spoils_the_frames_that_hold_it_and_no_others(build, noise, value):
    for compression in (Log(), Decibels(top_db=60.0), PCEN(6)):
        frontend = build(compression=compression)
        waveform = noise(4000)
        expected = frontend(waveform)
        waveform[2000] = value
        features = frontend(waveform)
        framing, heads = bare(frontend).framing, 2 if build.wrapped else 0
        frames = torch.arange(features.shape[-1])
        starts = frames * framing.hop_length - framing.padding[0]
        window = slice(starts + framing.window_start, starts + framing.window_start + framing.win_length)
        heard = (window.start <= 2000) & (window.stop > 2000)  # under the window
        cut = (starts <= 2000) & (starts + framing.frame_length > 2000)  # in the transform
        near = torch.nn.functional.max_pool1d(cut[None].float(), 2 * heads + 1, 1, heads)[0].bool()
        assert not features[:, heard].isfinite().any()
        assert features[:, ~near].isfinite().all()
        before = frames < frames[near][0]
        assert_close(features[:, before], expected[:, before], **SINGLE)
        if not isinstance(compression, PCEN):  # whose mean has left these frames out
            assert_close(features[:, ~near], expected[:, ~near], **SINGLE)
