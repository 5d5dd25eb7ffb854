import copy
import math
import pickle

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from torch.testing import assert_close

from learnable_frontends import PCEN, CosGaussFilterbank, MultiHeadRelevance
from learnable_frontends.pcen import smooth

pytestmark = pytest.mark.usefixtures("double")
inside = st.floats(0.01, 0.99)


def energies_of(*shape, seed=0):
    """Positive numbers over six decades."""
    generator = torch.Generator().manual_seed(seed)
    return 10 ** (6 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 5)


@given(frames=st.integers(1, 300), shares=st.lists(inside, min_size=3, max_size=3))
def test_smoothing_is_the_recursion(frames, shares):
    values = energies_of(2, 3, frames)
    for row, share in enumerate(shares):
        start = (1 - share) * values[:, row, :1].numpy()
        expected, _ = lfilter([share], [1, share - 1], values[:, row].numpy(), zi=start)
        assert_close(smooth(values, torch.tensor(shares))[:, row], torch.tensor(expected), rtol=1e-10, atol=1e-14)


@given(gain=inside, bias=st.floats(0.01, 20.0), power=st.floats(0.05, 0.95), smoothing=inside)
def test_pcen_equals_librosa(gain, bias, power, smoothing):
    energies = energies_of(2, 4, 90)
    start = (1 - smoothing) * energies[..., :1].numpy()
    expected = librosa.pcen(
        energies.numpy(), gain=gain, bias=bias, power=power, b=smoothing, eps=1e-6, zi=start, axis=-1
    )
    actual = PCEN(4, gain=gain, bias=bias, power=power, smoothing=smoothing)(energies)
    assert_close(actual, torch.tensor(expected), rtol=1e-8, atol=1e-10)


def test_each_filter_has_its_own_numbers():
    energies, pcen = energies_of(3, 50), PCEN(3)
    with torch.no_grad():
        pcen.free += torch.linspace(-1, 1, 12).reshape(4, 3)
    together = pcen(energies)
    for i in range(3):
        alone = PCEN(
            1,
            gain=pcen.gain[i].item(),
            bias=pcen.bias[i].item(),
            power=pcen.power[i].item(),
            smoothing=pcen.smoothing[i].item(),
        )
        assert_close(together[i : i + 1], alone(energies[i : i + 1]))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=16), min_size=4, max_size=4))
def test_numbers_stay_in_their_range_for_any_parameters(values):
    pcen = PCEN(1)
    with torch.no_grad():
        pcen.free.copy_(torch.tensor(values)[:, None].clamp(-600, 600))
    for name in ("gain", "power", "smoothing"):
        assert 0 <= getattr(pcen, name).item() <= 1
    assert pcen.bias.item() > 0


def test_gradients_are_those_of_differences():
    pcen = PCEN(2)
    energies = energies_of(2, 2, 70).requires_grad_()

    def run(energies, free):
        return torch.func.functional_call(pcen, {"free": free}, (energies,))

    assert torch.autograd.gradcheck(run, (energies + 0.1, pcen.free.detach().requires_grad_()))
    PCEN(2, learn=False)(energies).sum().backward()
    assert energies.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 1e-12, 1e4])
def test_silence_and_loud_sound_give_finite_features_and_gradients(dtype, level):
    energies = torch.full((2, 3, 200), level, dtype=dtype, requires_grad=True)
    pcen = PCEN(3)
    features = pcen(energies)
    features.sum().backward()
    assert features.dtype == dtype
    assert features.isfinite().all()
    assert pcen.free.grad.isfinite().all()
    # At silence the slope is near 1 / eps, beyond float16. Front-ends give energies in float32 or better.
    assert energies.grad.isfinite().all() or dtype == torch.float16


def test_float32_is_close_to_float64():
    energies = energies_of(3, 1000)
    assert_close(PCEN(3).float()(energies.float()).double(), PCEN(3)(energies), rtol=1e-4, atol=1e-5)


def test_a_front_end_learns_it_with_the_rest(noise):
    frontend = MultiHeadRelevance(CosGaussFilterbank(8000, 6, compression=PCEN(6)), context=2, hidden=3)
    features = frontend(noise(2, 2, 4000))
    assert features.shape == (2, 2, 6, 51)
    features.square().sum().backward()
    assert frontend.frontend.compression.free.grad.any(-1).all()
    groups = {group["name"]: len(group["params"]) for group in frontend.param_groups(1e-3, 1e-2)}
    assert groups["filters"] == 1
    for other in (copy.deepcopy(frontend), pickle.loads(pickle.dumps(frontend))):
        assert_close(other(noise(4000)), frontend(noise(4000)))


def test_a_level_does_not_matter_but_an_event_does():
    steady = torch.full((1, 400), 0.01)
    steady[0, 300] = 1.0
    pcen = PCEN(1, eps=1e-12, learn=False)
    quiet, loud = pcen(steady), pcen(1000 * steady)
    assert_close(quiet, loud, rtol=0.15, atol=0.0)  # 1000 ** 0.02 of the energy
    assert quiet[0, 300] > 3 * quiet[0, 299]
    assert math.isclose(quiet[0, 298].item(), quiet[0, 299].item(), rel_tol=1e-6)


def test_it_exports_with_any_number_of_frames():
    dynamic = torch.export.Dim.DYNAMIC
    energies = torch.rand(2, 3, 150, dtype=torch.float32)
    program = torch.export.export(PCEN(3).float(), (energies,), dynamic_shapes=({0: dynamic, 2: dynamic},))
    for shape in ((5, 3, 64), (1, 3, 20), (1, 3, 333)):
        energies = torch.rand(shape, dtype=torch.float32)
        assert_close(program.module()(energies), PCEN(3).float()(energies))


def test_invalid_settings_are_refused():
    for name in ("gain", "power", "smoothing"):
        with pytest.raises(ValueError, match=rf"^{name} must be between 0 and 1, got 1.0$"):
            PCEN(4, **{name: 1.0})
    for name in ("bias", "eps"):
        with pytest.raises(ValueError, match=rf"^{name} must be positive and finite, got 0.0$"):
            PCEN(4, **{name: 0.0})
    with pytest.raises(ValueError, match=r"^energies must be \(..., 4, frames\), got shape \(5, 10\)$"):
        PCEN(4)(torch.ones(5, 10))
    assert repr(PCEN(4, learn=False)) == "PCEN(4, eps=1e-06, learn=False)"
    assert not any(p.requires_grad for p in PCEN(4, learn=False).parameters())
    assert np.isclose(PCEN(4).power.mean().item(), 0.5)
