"""A family that is not in the package: a file with its parameters and kernels is enough, even or not."""

import numpy as np
import pytest
import scipy.signal
import torch
from conftest import families
from torch.testing import assert_close

from learnable_frontends import Frontend, KernelFilterbank, MultiHeadRelevance
from learnable_frontends.functional import bounded, unbounded

pytestmark = pytest.mark.usefixtures("double")


class GammatoneFilterbank(KernelFilterbank):
    """Fourth-order gammatones, causal: nothing even about them."""

    def __init__(self, sample_rate, n_filters=80, **options):
        settings = {"kernel_size": 301, "pad_mode": "constant", "window": torch.hann_window, **options}
        super().__init__(sample_rate, n_filters, init="erb", **settings)
        self.declare("raw_center", unbounded(self.starting_points()[1:-1], self.f_min, self.f_max))

    @property
    def center_frequencies(self):
        return bounded(self.raw_center.sort().values, self.f_min, self.f_max)

    def kernels(self):
        hz = self.center_frequencies[:, None]
        time = torch.arange(self.kernel_size) / self.sample_rate
        return (
            (1e3 * time) ** 3 * torch.exp(-2 * torch.pi * (25 + 0.1 * hz) * time) * torch.cos(2 * torch.pi * hz * time)
        )


@pytest.mark.parametrize("padding", ["full", "valid"])
@pytest.mark.parametrize("gain", ["raw", "peak"])
def test_energies_of_uneven_kernels_equal_the_literal_convolution(noise, padding, gain):
    bank = GammatoneFilterbank(16000, 5, padding=padding, gain=gain)
    kernels = bank.kernels().detach().numpy()
    assert not np.allclose(kernels, kernels[:, ::-1])
    if gain == "peak":
        hz = bank.center_frequencies.detach().numpy()
        kernels = (
            kernels / np.abs((kernels * np.exp(-2j * np.pi * np.outer(hz, np.arange(301)) / 16000)).sum(-1))[:, None]
        )
    waveform = noise(1000, dtype=torch.float64)
    padded = np.pad(waveform.numpy(), 200)
    frames = [padded[t : t + 400] * scipy.signal.get_window("hann", 400) for t in range(0, 1001, 160)]
    expected = [[np.mean(scipy.signal.fftconvolve(f, g, mode=padding) ** 2) for f in frames] for g in kernels]
    assert_close(bank.energies(waveform).detach(), torch.tensor(np.array(expected)), rtol=1e-9, atol=0)  # rounding


def test_peak_gain_of_uneven_kernels_is_one_at_each_center():
    bank = GammatoneFilterbank(16000, 5, gain="peak")
    response, hz = bank.power_response(16000).detach(), bank.center_frequencies.detach()
    for gains, center in zip(response, hz, strict=True):
        # Bins are 1 Hz apart and the lowest filter, 30 Hz wide, is not flat at its center.
        assert np.interp(center, np.arange(8001), gains) == pytest.approx(1, rel=1e-3)


def test_a_new_family_has_bandwidths_groups_gradients_and_heads(noise):
    bank = GammatoneFilterbank(16000, 5)
    kernels = bank.kernels().detach().numpy()
    expected = 8000 * (kernels**2).sum(-1) / np.abs(np.fft.rfft(kernels, 2**16)).max(-1) ** 2
    # Half a bin of 1 Hz at either end of the band.
    assert_close(bank.bandwidths.detach(), torch.tensor(expected), rtol=1e-3, atol=1.0)
    model = MultiHeadRelevance(bank, 2)
    model(noise(2, 4000, dtype=torch.float64)).sum().backward()
    assert all((p.grad != 0).any() for p in model.parameters())
    assert [group["name"] for group in model.param_groups(1e-3, 1e-2)] == ["filters", "frontend"]


def test_families_of_tests_do_not_count_as_the_packages():
    assert GammatoneFilterbank in KernelFilterbank.__subclasses__()
    assert GammatoneFilterbank not in families(Frontend)


def test_a_family_without_kernels_cannot_be_made():
    class Nothing(KernelFilterbank):
        center_frequencies = None

    with pytest.raises(TypeError, match=r"^Nothing must define kernels\(\), or half_kernels\(\) if they are even$"):
        Nothing(16000, 5)
