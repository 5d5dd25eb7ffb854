import warnings

import librosa
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from learnable_frontends import MelFrontend
from learnable_frontends.functional import spaced_edges

# (sample_rate, n_fft, win_length, hop_length): even, odd window, odd transform, odd rate, all odd.
LENGTHS = [
    (16000, 512, 400, 160),
    (16000, 512, 401, 160),
    (16000, 511, 400, 161),
    (22051, 768, 551, 220),
    (11025, 399, 399, 99),
]
# Measured errors are below 2e-6 in float32: two FFTs round differently. In float64 both agree to rounding.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def librosa_melspectrogram(waveform, **settings):
    dtype = waveform.numpy().dtype
    return torch.tensor(librosa.feature.melspectrogram(y=waveform.numpy(), dtype=dtype, **settings))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize(("center", "pad_mode"), [(True, "constant"), (True, "reflect"), (False, "reflect")])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_mel_equals_librosa(noise, dtype, lengths, mel_scale, norm, center, pad_mode, power):
    sample_rate, n_fft, win_length, hop_length = lengths
    shared = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length, "power": power, "norm": norm}
    shared |= {"center": center, "pad_mode": pad_mode}
    waveform = noise(2, 3001, dtype=dtype)
    torch.set_default_dtype(dtype)
    try:
        frontend = MelFrontend(sample_rate, 20, f_min=50.0, f_max=5000.0, mel_scale=mel_scale, **shared)
    finally:
        torch.set_default_dtype(torch.float32)
    expected = librosa_melspectrogram(
        waveform, sr=sample_rate, n_mels=20, fmin=50.0, fmax=5000.0, htk=mel_scale == "htk", **shared
    )
    assert_close(frontend.energies(waveform), expected, rtol=TOLERANCE[dtype], atol=0)


@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", [None, "slaney"])
def test_mel_equals_torchaudio(noise, mel_scale, norm):
    try:
        import torchaudio
    except (ImportError, OSError) as error:  # OSError: built against a CUDA that is not here
        pytest.skip(f"torchaudio does not import: {error}")
    settings = {"n_fft": 512, "win_length": 400, "hop_length": 160, "f_min": 50.0, "norm": norm, "mel_scale": mel_scale}
    waveform = noise(2, 8000)
    expected = torchaudio.transforms.MelSpectrogram(16000, n_mels=40, **settings)(waveform)
    # Two float32 FFTs round differently.
    assert_close(MelFrontend(16000, 40, **settings).energies(waveform), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("n_fft", [512, 513])
def test_power_response_and_centers_equal_librosa_filters(n_fft):
    frontend = MelFrontend(16000, 30, f_min=20.0, f_max=7000.0, norm="slaney", mel_scale="slaney")
    triangles = librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=30, fmin=20.0, fmax=7000.0)
    assert_close(frontend.power_response(n_fft), torch.tensor(triangles), rtol=1e-5, atol=1e-8)  # float32 near the feet
    centers = librosa.mel_frequencies(32, fmin=20.0, fmax=7000.0)[1:-1]
    assert_close(frontend.center_frequencies.double(), torch.tensor(centers), rtol=1e-6, atol=0)  # float32


def test_bandwidth_and_centroid_are_those_of_a_triangle():
    frontend = MelFrontend(8000, 5)
    edges = spaced_edges(5, 0.0, 4000.0, "htk").float()
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    # Bins of 1 Hz: the sum over a triangle hundreds of Hz wide misses the kinks by less than a thousandth.
    assert_close(frontend.bandwidths, (high - low) / 2, rtol=2e-3, atol=0)
    response, hz = frontend.power_response(8000), torch.arange(4001.0)
    assert_close((response * hz).sum(-1) / response.sum(-1), (low + peak + high) / 3, rtol=1e-3, atol=0)


@pytest.mark.parametrize("n_filters", [1, 40, 80, 128])
@pytest.mark.parametrize("win_length", [1, 400, 512, 513])
def test_default_n_fft_is_the_smallest_power_of_two_at_which_every_filter_covers_a_bin(n_filters, win_length):
    def uncovered(n_fft):
        edges = spaced_edges(n_filters, 0.0, 8000.0, "htk").numpy()
        bins = np.arange(n_fft // 2 + 1) * 16000 / n_fft
        return any(not ((bins > low) & (bins < high)).any() for low, high in zip(edges[:-2], edges[2:], strict=True))

    n_fft = MelFrontend(16000, n_filters, win_length=win_length).n_fft
    assert n_fft & (n_fft - 1) == 0
    assert n_fft >= win_length
    assert not uncovered(n_fft)
    assert n_fft // 2 < win_length or uncovered(n_fft // 2)


def test_empty_filters_are_warned_of_and_counted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        empty = int((librosa.filters.mel(sr=16000, n_fft=256, n_mels=80, htk=True, norm=None).max(1) == 0).sum())
    assert empty > 0
    with pytest.warns(
        UserWarning,
        match=rf"^n_fft=256 leaves {empty} of 80 mel filters without a bin \(raise n_fft or lower n_filters\)$",
    ):
        MelFrontend(16000, 80, win_length=256, n_fft=256)


def test_a_fixed_front_end_has_no_parameters():
    assert not list(MelFrontend(8000, 5).parameters())
    assert MelFrontend(8000, 5).param_groups(lr=1e-3, frontend_lr=1e-2) == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_fft": 128, "win_length": 200}, ValueError, r"^n_fft must be at least win_length=200, got 128$"),
        ({"n_fft": 512.5}, TypeError, r"^n_fft must be a whole number, got 512.5$"),
        ({"power": 0}, ValueError, r"^power must be positive and finite, got 0 \(2 for power, 1 for magnitude\)$"),
        ({"norm": "area"}, ValueError, r"^norm must be None or 'slaney', got 'area'$"),
        ({"mel_scale": "bark"}, ValueError, r"^mel_scale must be 'htk' or 'slaney', got 'bark'$"),
    ],
)
def test_invalid_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        MelFrontend(8000, 5, **settings)
