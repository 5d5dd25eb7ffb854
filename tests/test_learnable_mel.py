import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from learnable_frontends import PCEN, CosGaussFilterbank, LearnableMelFilterbank, Log, MelFrontend
from learnable_frontends.functional import hz_to_scale, scale_to_hz


@st.composite
def arguments(draw):
    sample_rate = draw(st.sampled_from([8000, 16000, 22050, 44101]))
    f_min = draw(st.sampled_from([0.0, 50.0, 1000.0]))
    win_length = draw(st.integers(40, 500))
    return {
        "sample_rate": sample_rate,
        "n_filters": draw(st.integers(1, 128)),
        "win_length": win_length,
        "hop_length": draw(st.integers(20, 300)),
        "n_fft": draw(st.none() | st.integers(win_length, 1024)),
        "f_min": f_min,
        "f_max": draw(st.none() | st.floats(f_min + 1500, sample_rate / 2)),
        "power": draw(st.sampled_from([1.0, 2.0])),
        "norm": draw(st.sampled_from([None, "slaney"])),
        "mel_scale": draw(st.sampled_from(["htk", "slaney"])),
        "pad_mode": draw(st.sampled_from(["reflect", "constant"])),
    }


@pytest.mark.filterwarnings("ignore:n_fft=.* leaves")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@given(settings=arguments())
def test_it_begins_as_mel_to_the_last_bit(noise, dtype, settings):
    waveform = noise(2, 3000).to(dtype)
    mel, learnable = MelFrontend(**settings), LearnableMelFilterbank(**settings)
    for bank in (learnable, copy.deepcopy(learnable).to(dtype), LearnableMelFilterbank.from_mel(mel)):
        assert torch.equal(bank(waveform), mel(waveform))
    assert torch.equal(learnable.power_response(2048), mel.power_response(2048))
    assert_close(learnable.center_frequencies, mel.center_frequencies, rtol=1e-5, atol=0.01)


def test_from_mel_takes_everything_over(noise):
    mel = MelFrontend(16000, 40, n_fft=1024, window=torch.hamming_window, compression=PCEN(40)).set_transform("matmul")
    bank = LearnableMelFilterbank.from_mel(mel.eval())
    assert torch.equal(bank(noise(8000)), mel(noise(8000)))
    assert not bank.training
    with torch.no_grad():
        mel.compression.free += 1
    assert not torch.equal(bank(noise(8000)), mel(noise(8000)))  # a copy
    for other in (CosGaussFilterbank(16000, 40), bank):
        with pytest.raises(TypeError, match=rf"^frontend must be a MelFrontend, got {type(other).__name__}$"):
            LearnableMelFilterbank.from_mel(other)


def test_every_filter_has_a_gradient_where_triangles_have_one_bin(noise):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bank = LearnableMelFilterbank(16000, 128, win_length=512, n_fft=512)
    bank(noise(2, 16000)).square().sum().backward()
    assert (bank.raw_displacements.grad != 0).all()


def moved_bank(places=0.0, low=1.0, high=1.0, n_filters=20, filter=10, **settings):
    """A bank, one of whose filters is so many half-widths from its place, and its sides wider by these factors."""
    bank = LearnableMelFilterbank(16000, n_filters, n_fft=4096, **settings).double()
    place = (filter + 1) / (n_filters + 1)
    goal = place + places / (n_filters + 1)
    with torch.no_grad():
        bank.raw_displacements[:, filter] = torch.tensor(
            [
                np.log(goal / (1 - goal)) - np.log(place / (1 - place)),
                2.3 * np.arctanh(np.log(low) / 2.3),
                2.3 * np.arctanh(np.log(high) / 2.3),
            ]
        )
    ends = hz_to_scale(torch.tensor([bank.f_min, bank.f_max], dtype=torch.float64), bank.mel_scale)
    shares = torch.tensor([goal - low / (n_filters + 1), goal, goal + high / (n_filters + 1)], dtype=torch.float64)
    edges = scale_to_hz(ends[0] + (ends[1] - ends[0]) * shares, bank.mel_scale)
    return bank, int((bank.center_frequencies - edges[1]).abs().argmin()), edges


@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
@pytest.mark.parametrize(
    ("places", "low", "high"), [(3.5, 1, 1), (-3.4, 1, 1), (5.5, 2, 0.5), (0, 9, 9), (0, 0.2, 0.2)]
)
def test_far_from_its_start_a_filter_is_a_gaussian_and_nothing_stays_behind(norm, mel_scale, places, low, high):
    bank, row, edges = moved_bank(places, low, high, norm=norm, mel_scale=mel_scale)
    assert_close(bank.center_frequencies[row].detach(), edges[1], rtol=0, atol=5.0)  # the ramp that keeps them apart
    assert_close(bank.edges[row].detach(), edges[[0, 2]], rtol=0, atol=12.0)
    response = bank.power_response(4096).detach()[row]
    lower, center, upper = [bank.edges[row, 0].item(), bank.center_frequencies[row].item(), bank.edges[row, 1].item()]
    hz = np.arange(2049) * (16000 / 4096)
    sides = np.where(hz < center, center - lower, upper - center)
    expected = torch.tensor(np.exp(-0.5 * ((hz - center) / (0.435 * sides)) ** 2))
    expected *= 2 / (upper - lower) if norm == "slaney" else 1.0
    assert (response - expected).abs().sum() < 1e-4 * expected.sum()
    inside = (lower > 0) & (upper < 8000)
    centroid = (response * torch.tensor(hz)).sum() / response.sum()
    skew = 0.435 * np.sqrt(2 / np.pi) * ((upper - center) - (center - lower))
    assert not inside or abs(centroid - center - skew) < 0.01 * (upper - lower)


def test_on_its_way_a_filter_changes_smoothly():
    before = None
    for places in np.linspace(0, 1.9, 381):
        bank, row, _ = moved_bank(places if places else 1e-9)
        response = bank.power_response(4096).detach()[10 if places < 0.99 else row]
        if before is not None and not 0.98 < places < 1.02:  # where rows change places
            assert (response - before).abs().max() < 0.02
        before = response


@pytest.mark.usefixtures("double")
def test_a_filter_that_has_not_moved_stays_mels_to_the_last_bit_when_another_passes():
    bank, row, _ = moved_bank(3.5)
    assert row == 13
    mel = MelFrontend(16000, 20, n_fft=4096).power_response(4096)
    assert torch.equal(bank.power_response(4096)[:13], mel[[*range(10), 11, 12, 13]])


everywhere = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(data=st.data(), norm=st.sampled_from([None, "slaney"]), mel_scale=st.sampled_from(["htk", "slaney"]))
def test_any_displacements_give_gains_that_are_not_negative_and_gradients_that_are_finite(data, norm, mel_scale):
    bank = LearnableMelFilterbank(8000, 6, norm=norm, mel_scale=mel_scale, f_min=100.0)
    kind = data.draw(st.sampled_from([everywhere, st.sampled_from([0.0, 1e30, -1e30]), st.floats(-10, 10, width=32)]))
    with torch.no_grad():
        bank.raw_displacements.copy_(torch.tensor(data.draw(st.lists(kind, min_size=18, max_size=18))).view(3, 6))
    response = bank.power_response(1024)
    assert response.isfinite().all()
    assert (response >= 0).all()
    response.sum().backward()
    assert bank.raw_displacements.grad.isfinite().all()
    factors = bank.edges.detach()
    assert (factors[:, 0] < bank.center_frequencies).all()
    assert (factors[:, 1] > bank.center_frequencies).all()


def test_state_of_another_scale_is_refused():
    state = LearnableMelFilterbank(16000, 40).state_dict()
    with pytest.raises(RuntimeError, match="state must be of a LearnableMelFilterbank"):
        LearnableMelFilterbank(16000, 40, mel_scale="slaney").load_state_dict(state)


def test_it_learns_to_hear_a_tone_beside_its_filters():
    torch.manual_seed(0)
    bank = LearnableMelFilterbank(16000, 8, compression=Log(1e-6))
    tone = torch.sin(2 * torch.pi * 1500 * torch.arange(8000) / 16000)[None]
    start = bank.energies(tone).mean(-1).detach()
    optimizer = torch.optim.Adam(bank.param_groups(1e-3, 3e-2))
    for _ in range(60):
        optimizer.zero_grad()
        (-bank(tone)[0, 2].mean()).backward()
        optimizer.step()
    assert bank.energies(tone)[0, 2].mean() > 3 * start[0, 2]


@pytest.mark.filterwarnings("ignore:n_fft=.* leaves")
def test_a_band_too_narrow_for_the_filters_is_refused():
    with pytest.raises(ValueError, match=r"^f_min and f_max must be further apart for 200 filters"):
        LearnableMelFilterbank(16000, 200, f_min=7000.0, f_max=7001.0, n_fft=512)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", [None, "slaney"])
@given(far=st.sampled_from([0.0, 0.1, 1.0, 10.0]), seed=st.integers(0, 99))
def test_the_gradient_that_is_written_down_is_that_of_the_formula(noise, norm, scale, far, seed):
    bank = LearnableMelFilterbank(16000, 7, n_fft=512, norm=norm, mel_scale=scale).double()
    with torch.no_grad():
        bank.raw_displacements += far * noise(3, 7, dtype=torch.float64, seed=seed)
    value = (bank.weights(torch.zeros(1, dtype=torch.float64)) * noise(7, 257, dtype=torch.float64)).sum()
    (written,) = torch.autograd.grad(value, bank.raw_displacements, retain_graph=True)
    (derived,) = torch.autograd.grad(value, bank.raw_displacements, create_graph=True)
    assert_close(written, derived, rtol=1e-9, atol=1e-12)
