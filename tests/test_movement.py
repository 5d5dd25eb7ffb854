import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from learnable_frontends import CosGaussFilterbank, MelFrontend, MultiHeadRelevance
from learnable_frontends.analysis import OptimizerMonitor, movement


def disturb(frontend, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in frontend.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return frontend


def test_a_front_end_remembers_how_its_filters_began(build):
    frontend, fresh = disturb(build()), build()
    began = frontend.as_initialized()
    assert_close(began.center_frequencies, fresh.center_frequencies, rtol=0, atol=0)
    assert_close(began.bandwidths, fresh.bandwidths, rtol=0, atol=0)
    assert type(began) is type(frontend)
    loaded = build()
    loaded.load_state_dict(frontend.state_dict())
    for other in (loaded, copy.deepcopy(frontend), frontend.double()):
        assert_close(other.as_initialized().center_frequencies.float(), fresh.center_frequencies)
        assert_close(other.center_frequencies.float(), frontend.center_frequencies.float())


def test_the_beginning_is_not_in_the_state_and_does_not_train(build):
    frontend = build()
    assert not [name for name in frontend.state_dict() if "initial" in name]
    assert {id(p) for p in frontend.parameters()} == {
        id(p) for group in frontend.param_groups(1.0, 1.0) for p in group["params"]
    }


@given(shift=st.lists(st.floats(-2.0, 2.0), min_size=5, max_size=5), width=st.floats(1.0, 9.0))
def test_movement_is_the_difference_of_centers(shift, width):
    bank = CosGaussFilterbank(16000, 5, width=width, gain="peak")
    before = bank.center_frequencies.detach().double()
    with torch.no_grad():
        bank.raw_center.add_(torch.tensor(shift))
    after = bank.center_frequencies.detach().double()
    moved = movement(bank)
    assert_close(moved.initial, before, rtol=1e-5, atol=1e-3)
    assert_close(moved.current, after, rtol=1e-5, atol=1e-3)
    assert_close(moved.hz, after - before, rtol=1e-4, atol=0.01)
    assert_close(moved.bandwidths, (after - before) / bank.bandwidths.detach().double(), rtol=1e-3, atol=1e-3)
    # Glasberg and Moore 1990, eq. 4.
    number = [21.4 * torch.log10(0.00437 * hertz + 1) for hertz in (before, after)]
    assert_close(moved.erb, number[1] - number[0], rtol=1e-4, atol=1e-4)


def test_nothing_has_moved_before_training(build):
    moved = movement(build())
    for shift in (moved.hz, moved.bandwidths, moved.erb):
        assert not shift.any()
        assert shift.dtype == torch.float64
        assert not shift.requires_grad


def test_movement_leaves_the_front_end_alone(build):
    frontend = disturb(build())
    state = copy.deepcopy(frontend.state_dict())
    movement(frontend)
    assert {name: tensor.dtype for name, tensor in frontend.state_dict().items()} == {
        name: tensor.dtype for name, tensor in state.items()
    }
    for name, tensor in frontend.state_dict().items():
        assert_close(tensor, state[name], rtol=0, atol=0)


def test_movement_of_heads_is_that_of_their_filters():
    bank = disturb(CosGaussFilterbank(16000, 6))
    assert_close(movement(MultiHeadRelevance(bank)).hz, movement(bank).hz)
    assert not movement(MultiHeadRelevance(MelFrontend(16000, 20))).hz.any()


def quadratic():
    """Two groups whose gradients are the parameters themselves."""
    groups = [torch.arange(1.0, 4.0), torch.tensor([[2.0, -2.0]])]
    parameters = [nn.Parameter(values) for values in groups]
    optimizer = torch.optim.SGD([{"params": parameters[:1], "name": "filters"}, {"params": parameters[1:]}], lr=0.5)

    def step():
        optimizer.zero_grad()
        sum(p.square().sum() / 2 for p in parameters).backward()
        optimizer.step()

    return optimizer, step


def test_steps_of_an_optimiser_by_group():
    optimizer, step = quadratic()
    monitor = OptimizerMonitor(optimizer)
    step()
    first = monitor.read()
    assert list(first) == ["filters", "1"]
    # Of 1, 2, 3; halved by the step.
    assert first["filters"] == pytest.approx([(14 / 3) ** 0.5, 0.5 * (14 / 3) ** 0.5, 0.5 * (14 / 3) ** 0.5])
    assert first["1"] == pytest.approx([2.0, 1.0, 1.0])
    step()
    step()
    second = monitor.read()
    assert second["1"].gradient == pytest.approx(((1.0 + 0.25) / 2) ** 0.5)
    assert monitor.read() == {}


def test_a_closed_monitor_costs_and_sees_nothing():
    optimizer, step = quadratic()
    with OptimizerMonitor(optimizer) as monitor:
        step()
    step()
    assert monitor.read()["1"].step == pytest.approx(1.0)  # of the first step alone
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_parameters_without_gradients_have_none():
    fixed, used = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([{"params": [fixed]}, {"params": [used]}], lr=0.1)
    with OptimizerMonitor(optimizer) as monitor:
        used.sum().backward()
        optimizer.step()
    sizes = monitor.read()
    assert sizes["0"] == (0.0, 0.0, 1.0)
    assert sizes["1"] == pytest.approx((1.0, 0.1, 0.9))
