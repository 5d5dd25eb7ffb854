import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, jacrev
from torch.testing import assert_close

from experiments.training.natural_steps import NaturalSteps, response_information
from learnable_frontends import CosGaussFilterbank, MelFrontend, MultiHeadRelevance, SincFilterbank


@given(center=st.floats(500.0, 7000.0), width=st.floats(2.0, 10.0))
def test_information_about_a_gaussian_is_one_over_its_variance(center, width):
    # Kernels long enough for all of the Gaussian; centers far enough from both ends.
    bank = CosGaussFilterbank(16000, 1, init=[center], width=width, kernel_size=4001)
    deviation = center / (2 * torch.pi * width * 2**0.5)
    (slope,) = torch.autograd.grad(bank.center_frequencies.sum(), bank.raw_center)
    # The shape scales with the center, and the logarithm of the deviation has information 2.
    expected = slope**2 * (1 / deviation**2 + 2 / center**2)
    assert_close(response_information(bank)["raw_center"], expected, rtol=0.01, atol=0)


@pytest.mark.parametrize("build", [CosGaussFilterbank, SincFilterbank], ids=lambda family: family.__name__)
def test_information_is_the_diagonal_of_the_whole_matrix_in_the_order_of_the_parameter(build):
    bank = build(16000, 5, **({"learn_width": True} if build is CosGaussFilterbank else {})).double()
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.copy_(parameter.flip(0) + 0.1 * torch.randn(5, generator=torch.Generator().manual_seed(3)))
    response = nn.Module()
    response.bank = bank
    response.forward = lambda: bank.power_response(bank.n_fft)
    for name, value in response_information(bank).items():

        def roots(values, name=name):
            power = functional_call(response, {f"bank.{name}": values}, ())
            return (power / power.sum(-1, keepdim=True)).clamp_min(1e-9).sqrt()

        jacobian = jacrev(roots)(bank.get_parameter(name).detach())
        assert_close(value, 4 * jacobian.square().sum((0, 1)))


def step_of(bank, wrap, rate=0.1):
    """Change of each parameter in one step of Adam."""
    before = {name: parameter.detach().clone() for name, parameter in bank.named_parameters()}
    optimizer = torch.optim.Adam(bank.param_groups(rate, rate))
    monitor = NaturalSteps(optimizer, bank) if wrap else None
    torch.manual_seed(0)
    bank(torch.randn(8000)).mean().backward()
    optimizer.step()
    if monitor is not None:
        monitor.close()
    return {name: parameter.detach() - before[name] for name, parameter in bank.named_parameters()}


def test_steps_of_filters_are_scaled_and_others_are_not():
    torch.manual_seed(1)
    state = MultiHeadRelevance(SincFilterbank(16000, 6)).state_dict()

    def fresh():
        bank = MultiHeadRelevance(SincFilterbank(16000, 6))
        bank.load_state_dict(state)
        return bank

    plain, scaled = step_of(fresh(), wrap=False), step_of(fresh(), wrap=True)
    information = response_information(fresh())
    assert set(information) == {"frontend.raw_low", "frontend.raw_band"}
    for name, step in plain.items():
        factor = (1 + information[name]).rsqrt() if name in information else 1.0
        assert_close(scaled[name], step * factor, rtol=1e-3, atol=1e-7)


def test_a_filter_moves_by_the_rate_in_deviations_whatever_its_width():
    banks = [CosGaussFilterbank(16000, 3, width=width, kernel_size=4001) for width in (5.0, 20.0)]
    for bank, width in zip(banks, (5.0, 20.0), strict=True):
        before = bank.center_frequencies.detach()
        step_of(bank, wrap=True, rate=0.01)
        deviation = before / (2 * torch.pi * width * 2**0.5)
        moved = (bank.center_frequencies.detach() - before).abs() / deviation
        assert_close(moved, torch.full((3,), 0.01), rtol=0.05, atol=0)


def test_a_closed_one_leaves_the_optimiser_alone():
    bank = CosGaussFilterbank(16000, 3)
    optimizer = torch.optim.SGD(bank.param_groups(1.0, 1.0))
    with NaturalSteps(optimizer, bank):
        pass
    before = bank.raw_center.detach().clone()
    bank(torch.ones(8000)).mean().backward()
    optimizer.step()
    assert_close(bank.raw_center.detach(), before - bank.raw_center.grad)


def test_the_information_is_used_for_the_given_number_of_steps(monkeypatch):
    from experiments.training import natural_steps

    calls = []
    monkeypatch.setattr(
        natural_steps, "response_information", lambda bank: calls.append(1) or response_information(bank)
    )
    bank = CosGaussFilterbank(16000, 3)
    optimizer = torch.optim.SGD(bank.param_groups(1e-3, 1e-3))
    with NaturalSteps(optimizer, bank, every=3):
        for _ in range(7):
            bank(torch.ones(8000)).mean().backward()
            optimizer.step()
    assert len(calls) == 3
    with pytest.raises(ValueError, match=r"^every must be at least 1, got 0 \(in steps\)$"):
        NaturalSteps(optimizer, bank, every=0)


def test_fixed_filters_have_no_information():
    assert response_information(MelFrontend(16000)) == {}
