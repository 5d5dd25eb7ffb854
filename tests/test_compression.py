import librosa
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from learnable_frontends import PCEN, Decibels, Log
from learnable_frontends._parameters import parameters_by_role

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
    with pytest.raises(ValueError, match=r"^offset must be positive and finite, got 0 \(silence would give -inf\)$"):
        Log(0)
    for name in ("ref", "amin", "top_db"):
        with pytest.raises(ValueError, match=rf"^{name} must be positive and finite, got -1.0$"):
            Decibels(**{name: -1.0})


@pytest.mark.parametrize(
    ("make", "name"),
    [(lambda: Log("a"), "offset"), (lambda: Log(True), "offset"), (lambda: Decibels(amin="a"), "amin")],
)
def test_settings_that_are_no_numbers_are_refused(make, name):
    with pytest.raises(TypeError, match=rf"^{name} must be a number, got "):
        make()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_settings_that_are_not_finite_are_refused(value):
    for make, name in ((Log, "offset"), *((Decibels, name) for name in ("ref", "amin", "top_db"))):
        with pytest.raises(ValueError, match=rf"^{name} must be positive and finite, got {value}"):
            make(**{name: value})


@pytest.mark.parametrize("compression", [Log(), Log(learn=True), Decibels(), PCEN(6)], ids=str)
def test_energies_must_be_tensors_of_floating_point_numbers(compression):
    with pytest.raises(TypeError, match=r"^energies must be a tensor, got ndarray \(torch.as_tensor makes one\)$"):
        compression(np.ones((6, 5)))
    with pytest.raises(TypeError, match=r"^energies must be a floating-point tensor, got torch.int64$"):
        compression(torch.ones(6, 5, dtype=torch.int64))


def test_decibels_need_filters_and_frames():
    with pytest.raises(ValueError, match=r"^energies must have filters and frames, got shape \(5,\)$"):
        Decibels()(torch.ones(5))


def test_what_works_frame_by_frame_declares_it():
    assert Log().frame_by_frame
    assert Log(learn=True).frame_by_frame
    assert Decibels(top_db=None).frame_by_frame
    assert not Decibels().frame_by_frame


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_the_loudest_bin_is_finite_and_what_is_not_stays_so(bad):
    energies = torch.rand(2, 3, 50, dtype=torch.float64) + 1e-6
    energies[:, :, 0], energies[:, :, 10:20] = 2.0, 1e-9  # the loudest, and below the range that is kept
    expected = Decibels(top_db=40.0)(energies)
    spoiled = energies.clone()
    spoiled[0, 1, 5] = bad
    features = Decibels(top_db=40.0)(spoiled.requires_grad_())
    assert not features[0, 1, 5].isfinite()
    keep = torch.ones_like(expected, dtype=torch.bool)
    keep[0, 1, 5] = False
    assert_close(features[keep], expected[keep], rtol=0, atol=0)
    features[keep].sum().backward()
    assert spoiled.grad[keep].isfinite().all()


def test_a_clip_without_a_finite_bin_has_no_features_and_changes_no_other():
    energies = torch.rand(2, 3, 5)
    spoiled = energies.clone()
    spoiled[0] = torch.nan
    features = Decibels()(spoiled)
    assert features[0].isnan().all()
    assert_close(features[1], Decibels()(energies)[1], rtol=0, atol=0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_the_gradient_of_a_learned_offset_leaves_out_what_is_not_finite(bad):
    energies, gradients = torch.rand(3, 5), []
    energies[1, 2] = bad
    kept = energies.isfinite()
    for rest in (energies, energies[kept]):
        log = Log(1e-2, learn=True)
        features = log(rest)
        features[features.isfinite()].sum().backward()
        gradients.append(log.log_offset.grad)
    assert_close(gradients[0], gradients[1])
    assert not log(energies)[1, 2].isfinite()


def test_a_learned_offset_can_be_built_without_memory():
    with torch.device("meta"):
        again, loaded = Log(0.5, learn=True), Log(0.1, learn=True)
    again.to_empty(device="cpu").reset_parameters()
    loaded.load_state_dict(Log(0.5, learn=True).state_dict(), assign=True)
    for log in (again, loaded):
        assert_close(log(torch.zeros(1)).item(), np.log(0.5))
        assert [parameter is log.log_offset for parameter in parameters_by_role(log)["free"]] == [True]
        assert list(log.buffers()) == []


@pytest.mark.parametrize("shape", [(6, 0), (2, 6, 0), (0, 6, 5)], ids=str)
@pytest.mark.parametrize("compression", [Log(), Decibels(), Decibels(top_db=None), PCEN(6)], ids=str)
def test_no_frames_and_no_clips_give_as_many(compression, shape):
    assert compression(torch.zeros(shape)).shape == shape


def test_a_learned_offset_starts_again_and_is_no_weight():
    log = Log(0.5, learn=True)
    with torch.no_grad():
        log.log_offset.fill_(3.0)
    log.reset_parameters()
    assert_close(log.log_offset.exp(), torch.tensor(0.5))
    assert list(log.state_dict()) == ["log_offset"]
    assert list(Log(0.5).state_dict()) == []
