import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from learnable_frontends.functional.scales import SCALES, hz_to_scale, scale_to_hz, spaced_centers, spaced_edges

pytestmark = pytest.mark.usefixtures("double")

every_scale = pytest.mark.parametrize("scale", sorted(SCALES))


@every_scale
@given(hz=st.floats(0.0, 96000.0))
def test_scale_and_back_is_the_identity(scale, hz):
    # The bark map loses digits near its pole at 26.28.
    assert_close(scale_to_hz(hz_to_scale(torch.tensor([hz]), scale), scale), torch.tensor([hz]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("scale", "htk"), [("htk", True), ("mel", True), ("slaney", False)])
def test_mel_scales_equal_librosa(scale, htk):
    hz = torch.linspace(0, 20000, 301)
    mel = torch.tensor(librosa.hz_to_mel(hz.numpy(), htk=htk))
    assert_close(hz_to_scale(hz, scale), mel, rtol=1e-12, atol=1e-12)
    assert_close(scale_to_hz(mel, scale), torch.tensor(librosa.mel_to_hz(mel.numpy(), htk=htk)), rtol=1e-12, atol=1e-10)


def test_bark_scale_passes_through_zwickers_critical_bands():
    # Zwicker, JASA 33 (1961): upper edges of the bands 2 to 20.
    hz = [200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400]
    expected = torch.arange(2.0, 21.0)
    # Traunmueller states 0.05 bark from the table for this range, given the table's rounding of the edges.
    assert_close(hz_to_scale(torch.tensor(hz, dtype=torch.float64), "bark"), expected, rtol=0, atol=0.06)


def test_erb_scale_advances_by_one_per_equivalent_rectangular_bandwidth():
    hz = torch.tensor([100.0, 1000.0, 4000.0, 10000.0])
    erb = 24.7 * (4.37 * hz / 1000 + 1)  # Glasberg and Moore, eq. 3
    step = hz_to_scale(hz + erb / 2, "erb") - hz_to_scale(hz - erb / 2, "erb")
    # Their 21.4 is 21.33 rounded up; the chord over one ERB is 0.1 % longer than the tangent.
    assert_close(step, torch.ones(4), rtol=0, atol=0.006)


@every_scale
@given(n=st.integers(1, 200), f_min=st.floats(0.0, 2000.0), span=st.floats(1.0, 20000.0))
def test_spaced_edges_are_even_on_the_scale_and_end_exactly(scale, n, f_min, span):
    edges = spaced_edges(n, f_min, f_min + span, scale)
    assert edges.shape == (n + 2,)
    assert edges[0] == f_min
    assert edges[-1] == f_min + span
    assert (edges.diff() > 0).all()
    steps = hz_to_scale(edges, scale).diff()
    assert_close(steps, steps.mean().expand(n + 1), rtol=1e-6, atol=0)  # differences of nearly equal numbers


@pytest.mark.parametrize(("scale", "htk"), [("htk", True), ("slaney", False)])
def test_spaced_edges_equal_librosa_mel_frequencies(scale, htk):
    expected = librosa.mel_frequencies(42, fmin=50.0, fmax=7600.0, htk=htk)
    assert_close(spaced_edges(40, 50.0, 7600.0, scale), torch.tensor(expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_given_centers_are_kept_between_the_ends_of_the_band(kind):
    edges = spaced_centers(kind([100.0, 440.0, 3000.0]), 3, 50.0, 4000.0)
    assert edges.tolist() == [50.0, 100.0, 440.0, 3000.0, 4000.0]


NAMES = r"\['bark', 'erb', 'htk', 'linear', 'mel', 'slaney'\]"


@pytest.mark.parametrize("function", [hz_to_scale, scale_to_hz])
def test_unknown_scale_is_refused(function):
    with pytest.raises(ValueError, match=rf"^scale must be one of {NAMES}, got 'log'$"):
        function(torch.ones(1), "log")


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("log", rf"^init must be one of {NAMES} or 2 centers in Hz, got 'log'$"),
        ([100.0], r"^init must have 2 centers in Hz, got shape \(1,\) \(one per filter\)$"),
        (
            [440.0, 100.0],
            r"^init must be strictly ascending and strictly between f_min=50.0 and f_max=4000.0, "
            r"got \[440.0, 100.0\] \(all in Hz\)$",
        ),
        ([100.0, 100.0], "strictly ascending"),
        ([50.0, 100.0], "strictly between f_min=50.0 and f_max=4000.0"),
        ([100.0, 4000.0], "strictly between f_min=50.0 and f_max=4000.0"),
        ([100.0, float("nan")], r"got \[100.0, nan\]"),
    ],
)
def test_invalid_init_is_refused(init, message):
    with pytest.raises(ValueError, match=message):
        spaced_centers(init, 2, 50.0, 4000.0)
