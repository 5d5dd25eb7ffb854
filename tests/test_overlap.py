import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from experiments.training.overlap import neighbor_overlap
from learnable_frontends import CosGaussFilterbank, MelFrontend


@given(centers=st.lists(st.floats(0.1, 0.9), min_size=2, max_size=2, unique=True), width=st.floats(1.0, 20.0))
def test_overlap_of_gaussians_is_that_of_the_closed_form(centers, width):
    low, high = sorted(centers)
    if high - low < 0.01:
        return
    rate = 16000
    # Long kernels, so that neither the kernel's end nor the bins are seen.
    bank = CosGaussFilterbank(rate, 2, init=[low * rate / 2, high * rate / 2], width=width, kernel_size=8001)
    frequency = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    responses = []
    for center in (low, high):
        # Transform of cos times a Gaussian: a Gaussian at plus and minus the center, as seen from below Nyquist.
        images = [frequency - center, frequency + center, frequency - (2 - center)]
        amplitude = sum(torch.exp(-((2 * torch.pi * width * image / center) ** 2) / 2) for image in images)
        responses.append(amplitude.square())
    a, b = responses
    expected = (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()
    assert_close(neighbor_overlap(bank)[0].double(), expected, rtol=1e-3, atol=1e-5)


def test_overlap_is_a_share_and_the_level_does_not_count(build):
    frontend = build()
    overlap = neighbor_overlap(frontend)
    assert overlap.shape == (frontend.n_filters - 1,)
    assert ((overlap >= 0) & (overlap <= 1)).all()
    raw, peak = (CosGaussFilterbank(16000, 6, gain=gain) for gain in ("raw", "peak"))
    assert_close(neighbor_overlap(raw), neighbor_overlap(peak))


def test_the_gradient_drives_neighbors_apart():
    bank = CosGaussFilterbank(16000, 2, init=[1000.0, 1020.0])
    neighbor_overlap(bank).sum().backward()
    assert bank.raw_center.grad[0] > 0 > bank.raw_center.grad[1]


def test_one_filter_has_no_neighbors():
    with pytest.raises(ValueError, match=r"^frontend must have two filters or more to have neighbors, got 1$"):
        neighbor_overlap(CosGaussFilterbank(16000, 1))


def test_triangles_side_by_side_overlap_by_a_quarter():
    # Linear flanks of equal width: (1/6) / (2/3).
    mel = MelFrontend(16000, 3, f_min=7900.0, n_fft=2**16)
    assert_close(neighbor_overlap(mel), torch.full((2,), 0.25), rtol=0.02, atol=0)
