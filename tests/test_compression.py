import librosa
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from learnable_frontends import Decibels, Log

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("offset", [1e-3, 1e-10, 1.0])
def test_log_is_the_natural_logarithm_of_energy_and_offset(noise, offset):
    energies = noise(2, 3, 4, dtype=torch.float64).square()
    assert_close(Log(offset)(energies), torch.tensor(np.log(energies.numpy() + offset)), rtol=1e-12, atol=1e-15)


def test_log_offset_defaults_to_the_published_codes():
    assert Log()(torch.zeros(1)).item() == pytest.approx(np.log(1e-3), rel=1e-14)


def test_a_learned_offset_starts_where_it_is_put_and_stays_positive(noise):
    energies = noise(2, 3, 4, dtype=torch.float64).square()
    learned = Log(1e-2, learn=True)
    assert_close(learned(energies), Log(1e-2)(energies))
    optimizer = torch.optim.SGD(learned.parameters(), lr=1.0)
    learned(energies).sum().backward()
    gradient = (learned.log_offset.exp() / (energies + learned.log_offset.exp())).sum()
    assert_close(learned.log_offset.grad, gradient)
    optimizer.step()
    assert_close(learned(energies), torch.log(energies + 1e-2 * torch.exp(-gradient)), rtol=1e-10, atol=1e-10)
    assert list(Log().state_dict()) == []
    assert repr(learned) == "Log(offset=0.01, learn=True)"


@pytest.mark.parametrize("lead", [(), (3,), (2, 2), (2, 1, 3)])
@pytest.mark.parametrize(
    "settings", [{}, {"top_db": 20.0}, {"top_db": None}, {"ref": 0.5, "amin": 1e-3}, {"ref": 1e-8, "top_db": 1.0}]
)
def test_decibels_equal_librosa_clip_by_clip(noise, lead, settings):
    energies = noise(*lead, 5, 7, dtype=torch.float64).square()
    energies = energies * 10 ** torch.arange(energies[..., :1, :1].numel()).reshape(*lead, 1, 1).double()  # 10 dB apart
    energies[..., 0, 0] = 0.0
    expected = [librosa.power_to_db(clip, **settings) for clip in energies.reshape(-1, 5, 7).numpy()]
    actual = Decibels(**settings)(energies)
    assert_close(actual, torch.tensor(np.stack(expected)).reshape(energies.shape), rtol=1e-12, atol=1e-10)  # rounding


def test_decibels_of_a_clip_do_not_depend_on_its_batch(noise):
    quiet = noise(1, 4, 6, dtype=torch.float64).square()
    batch = torch.cat([quiet, 1e9 * quiet])
    assert_close(Decibels(top_db=10.0)(batch)[:1], Decibels(top_db=10.0)(quiet), rtol=0, atol=0)


@pytest.mark.parametrize("compression", [Log(), Decibels(), Decibels(top_db=None)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_silence_gives_finite_features_and_gradient_of_the_same_type(compression, dtype):
    energies = torch.zeros(2, 3, 4, dtype=dtype, requires_grad=True)
    features = compression(energies)
    features.sum().backward()
    assert features.dtype == dtype
    assert features.isfinite().all()
    assert energies.grad.isfinite().all()


def test_a_floor_too_small_for_float16_still_holds():
    silence = torch.zeros(1, 1, dtype=torch.float16)
    # float16 has three digits.
    assert Log(1e-10)(silence).item() == pytest.approx(np.log(1e-10), rel=1e-3)
    assert Decibels(amin=1e-10)(silence).item() == pytest.approx(-100.0, rel=1e-3)


def test_printed_form_shows_the_settings():
    assert repr(Log(1e-5)) == "Log(offset=1e-05)"
    assert repr(Decibels(top_db=None)) == "Decibels(ref=1, amin=1e-10, top_db=None)"


def test_invalid_settings_are_refused():
    with pytest.raises(ValueError, match=r"^offset must be positive, got 0 \(silence would give -inf\)$"):
        Log(0)
    for name in ("ref", "amin", "top_db"):
        with pytest.raises(ValueError, match=rf"^{name} must be positive, got -1.0$"):
            Decibels(**{name: -1.0})
