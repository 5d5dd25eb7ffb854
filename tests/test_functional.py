import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from learnable_frontends import functional
from learnable_frontends.functional import framing

pytestmark = pytest.mark.usefixtures("double")

odd = st.integers(0, 20).map(lambda half: 2 * half + 1)


@given(length=st.integers(1, 5000))
def test_next_fast_length_is_the_smallest_even_product_of_2_3_and_5(length):
    fast = sorted(2**a * 3**b * 5**c for a in range(1, 14) for b in range(9) for c in range(7))
    assert functional.next_fast_length(length) == next(candidate for candidate in fast if candidate >= length)


@pytest.mark.parametrize(
    ("pad_mode", "numpy_mode"),
    [("reflect", "reflect"), ("constant", "constant"), ("replicate", "edge"), ("circular", "wrap")],
)
@pytest.mark.parametrize("padding", [(0, 0), (3, 4), (0, 1), (2, 0)])
@pytest.mark.parametrize("tail", [0, 5])
def test_frame_equals_slices_of_the_padded_waveform(noise, pad_mode, numpy_mode, padding, tail):
    waveform = noise(2, 23, dtype=torch.float64)
    frames = functional.frame(waveform, 8, 3, padding=padding, pad_mode=pad_mode, tail=tail)
    padded = np.pad(np.pad(waveform, [(0, 0), padding], mode=numpy_mode), [(0, 0), (0, tail)])
    starts = range(0, padded.shape[-1] - 8 + 1, 3)
    assert_close(frames, torch.tensor(np.stack([padded[:, i : i + 8] for i in starts], axis=1)), rtol=0, atol=0)


@pytest.mark.parametrize("n_fft", [12, 13, 20])
def test_power_spectrum_equals_squared_magnitude_of_numpy_fft(noise, n_fft):
    frames = noise(2, 3, 12, dtype=torch.float64)
    expected = np.abs(np.fft.rfft(frames.numpy(), n_fft)) ** 2
    # Rounding of a dozen float64 additions.
    assert_close(functional.power_spectrum(frames, n_fft), torch.tensor(expected), rtol=1e-12, atol=1e-15)
    window = torch.linspace(0.5, 1.5, 12)
    windowed = functional.power_spectrum(frames, n_fft, window)
    assert_close(windowed, functional.power_spectrum(frames * window, n_fft), rtol=1e-12, atol=1e-15)


def test_kernel_response_equals_the_fourier_sum(noise):
    kernels = noise(3, 7, dtype=torch.float64).numpy()
    phases = np.exp(-2j * np.pi * np.outer(np.arange(7), np.arange(6)) / 10)
    response = functional.kernel_response(torch.tensor(kernels), 10)
    assert_close(response, torch.tensor(np.abs(kernels @ phases) ** 2), rtol=1e-12, atol=1e-15)  # rounding


@pytest.mark.parametrize(("half", "n_fft"), [(1, 2), (4, 8), (4, 30)])
def test_even_kernel_response_equals_that_of_the_whole_kernel(noise, half, n_fft):
    kernels = noise(3, half, dtype=torch.float64)
    whole = np.concatenate([np.flip(kernels.numpy()[:, 1:], axis=1), kernels.numpy()], axis=1)
    _, response = scipy.signal.freqz(whole[0], worN=2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft)
    actual = functional.even_kernel_response(kernels, n_fft)
    assert actual.shape == (3, n_fft // 2 + 1)
    assert_close(actual[0], torch.tensor(np.abs(response) ** 2), rtol=1e-12, atol=1e-15)  # rounding


@pytest.mark.parametrize("n_fft", [2, 4, 6, 8, 10, 64])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9, 21])
def test_response_of_folded_kernels_is_sampled_from_their_fourier_transform(kernel_size, n_fft):
    half, odd = torch.randn(2, 3, kernel_size // 2 + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    odd[:, 0] = 0
    even, quadrature = (
        torch.cat([sign * taps[:, 1:].flip(-1), taps], dim=-1).numpy() for sign, taps in ((1, half), (-1, odd))
    )
    phases = np.exp(-2j * np.pi * np.outer(np.arange(kernel_size), np.arange(n_fft // 2 + 1)) / n_fft)
    of_even, of_odd = (torch.tensor(np.abs(kernels @ phases) ** 2) for kernels in (even, quadrature))
    close = {"rtol": 1e-9, "atol": 1e-12}
    assert_close(functional.kernel_response(torch.tensor(even), n_fft), of_even, **close)
    assert_close(functional.even_kernel_response(half, n_fft), of_even, **close)
    assert_close(functional.even_kernel_response(half, n_fft, odd), of_even + of_odd, **close)


def test_band_energies_sums_power_over_frequency_with_the_response_as_weight(noise):
    power, response = noise(2, 5, 4, dtype=torch.float64).square(), noise(3, 4, dtype=torch.float64).square()
    expected = np.einsum("btk,fk->bft", power.numpy(), response.numpy())
    assert_close(functional.band_energies(power, response), torch.tensor(expected), rtol=1e-12, atol=0)  # rounding


@given(samples=st.integers(1, 30), kernel_size=odd, padding=st.sampled_from(["full", "valid"]), seed=st.integers(0, 99))
def test_conv_energies_equals_mean_square_of_scipy_convolution(noise, samples, kernel_size, padding, seed):
    if padding == "valid":
        samples += kernel_size - 1
    frames = noise(2, 3, samples, dtype=torch.float64, seed=seed)
    kernels = noise(4, kernel_size, dtype=torch.float64, seed=seed + 1)
    expected = [
        [[np.mean(scipy.signal.convolve(f, g, mode=padding) ** 2) for f in clip.numpy()] for g in kernels.numpy()]
        for clip in frames
    ]
    actual = functional.conv_energies(frames, kernels, padding)
    assert_close(actual, torch.tensor(expected), rtol=1e-10, atol=1e-18)  # rounding


@given(samples=st.integers(1, 40), kernel_size=odd, more=st.integers(0, 9), seed=st.integers(0, 99))
def test_parseval_gives_the_mean_square_of_the_full_convolution(noise, samples, kernel_size, more, seed):
    outputs = samples + kernel_size - 1
    n_fft = functional.next_fast_length(outputs + more)
    frames = noise(1, 2, samples, dtype=torch.float64, seed=seed)
    kernels = noise(3, kernel_size, dtype=torch.float64, seed=seed + 1)
    weights = torch.full((n_fft // 2 + 1,), 2.0)
    weights[[0, -1]] = 1.0
    response = functional.kernel_response(kernels, n_fft) * weights / (outputs * n_fft)
    spectral = functional.band_energies(functional.power_spectrum(frames, n_fft), response)
    # Rounding; the spectral route loses digits where outputs nearly cancel.
    assert_close(spectral, functional.conv_energies(frames, kernels, "full"), rtol=1e-9, atol=1e-15)


@given(
    position=st.floats(1e-6, 1 - 1e-6), low=st.floats(-1e3, 1e3), span=st.floats(1e-2, 1e4), raw=st.floats(-1e30, 1e30)
)
def test_bounded_inverts_unbounded_and_never_leaves_the_bounds(position, low, span, raw):
    value = torch.tensor(low + span * position)
    # Near a bound the logit amplifies the rounding of low + span.
    assert_close(functional.bounded(functional.unbounded(value, low, low + span), low, low + span), value)
    assert low <= functional.bounded(torch.tensor(raw), low, low + span) <= low + span


def test_bounded_is_the_logistic_function_between_the_bounds():
    raw = torch.linspace(-5, 5, 11)
    expected = torch.tensor(2 + 3 / (1 + np.exp(-raw.numpy())))
    assert_close(functional.bounded(raw, 2.0, 5.0), expected, rtol=1e-14, atol=0)


@given(positions=st.lists(st.floats(0, 1), min_size=1, max_size=200), offset=st.sampled_from([0.0, -0.25, 0.25]))
def test_ordered_keeps_positions_apart_inside_and_within_a_thousandth(positions, offset):
    given_positions = torch.tensor(sorted(positions))
    ramp = functional.even_ramp(len(positions), offset)
    for dtype in (torch.float32, torch.float64):
        spread = functional.ordered(given_positions.to(dtype), ramp.to(dtype))
        assert (spread.diff() > 0).all()
        assert spread.min() > 0
        assert spread.max() < 1
    assert (spread - given_positions).abs().max() <= 1e-3
    assert_close(functional.unordered(spread, ramp), given_positions, rtol=0, atol=1e-15)  # rounding


def test_even_ramp_is_even_and_within_a_thousandth():
    assert_close(functional.even_ramp(4), torch.tensor([2e-4, 4e-4, 6e-4, 8e-4]), rtol=1e-14, atol=0)
    assert_close(functional.even_ramp(4, 0.25) - functional.even_ramp(4), torch.full((4,), 5e-5), rtol=1e-12, atol=0)


@pytest.mark.parametrize("threads", [1, 2])
def test_over_blocks_equals_all_frames_at_once_and_passes_gradients(noise, monkeypatch, threads):
    monkeypatch.setattr(framing, "BLOCK", 50)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    frames = noise(3, 17, 8, dtype=torch.float64).requires_grad_()
    response = noise(4, 5, dtype=torch.float64).square().requires_grad_()
    sizes = []

    def energies(part):
        sizes.append(part.shape[1])
        return functional.band_energies(functional.power_spectrum(part, 8), response)

    blocked = functional.over_blocks(energies, frames)
    assert len(sizes) > 1
    assert sum(sizes) == 17
    assert max(sizes) * 3 * 8 <= 50 * threads + 3 * 8
    whole = energies(frames)
    assert_close(blocked, whole, rtol=1e-12, atol=0)
    weights = noise(3, 4, 17, dtype=torch.float64)
    for mine, plain in zip(
        torch.autograd.grad((blocked * weights).sum(), (frames, response)),
        torch.autograd.grad((whole * weights).sum(), (frames, response)),
        strict=True,
    ):
        assert_close(mine, plain, rtol=1e-12, atol=1e-12)
