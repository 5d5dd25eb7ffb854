import gc
import weakref

import pytest
import torch
from torch.autograd import forward_ad
from torch.testing import assert_close

from learnable_frontends._formulas import apply_formula

WRITTEN = []


def product(x, y):
    """x times the sine of y; says when its pullback is used."""
    sine = y.sin()

    def pullback(gradient):
        WRITTEN.append(gradient)
        return gradient * sine, gradient * x * y.cos()

    return x * sine, pullback


@pytest.fixture
def numbers():
    WRITTEN.clear()
    return [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in ([2.0, 3.0], [0.5, 1.5])]


def test_a_gradient_is_the_pullback(numbers):
    x, y = numbers
    apply_formula(product, x, y).sum().backward()
    assert len(WRITTEN) == 1
    assert_close(x.grad, y.sin())
    assert_close(y.grad, x * y.cos())


def test_it_can_be_differentiated_again(numbers):
    assert torch.autograd.gradcheck(lambda *values: apply_formula(product, *values), numbers)
    assert torch.autograd.gradgradcheck(lambda *values: apply_formula(product, *values), numbers)
    numbers[0].requires_grad_(False)
    assert torch.autograd.gradgradcheck(lambda y: apply_formula(product, numbers[0], y), numbers[1:])


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own forward mode
def test_what_differentiates_otherwise_sees_the_formula(numbers):
    x, y = (values.detach() for values in numbers)

    def formula(y):
        return apply_formula(product, x, y)

    expected = x * y.cos()
    assert_close(torch.func.jacrev(formula)(y).diagonal(), expected)
    assert_close(torch.func.jacfwd(formula)(y).diagonal(), expected)
    assert_close(torch.func.vmap(formula)(torch.stack([y, y]))[1], x * y.sin())
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(y.requires_grad_(), torch.ones_like(y))
        assert_close(forward_ad.unpack_dual(formula(dual)).tangent, expected)
    assert not WRITTEN


def test_a_graph_is_gone_with_its_value(numbers):
    value = apply_formula(product, *numbers)
    gone = weakref.ref(value)
    gc.disable()
    try:
        del value
        assert gone() is None
    finally:
        gc.enable()


def test_nothing_is_kept_where_nothing_learns(numbers):
    with torch.no_grad():
        assert apply_formula(product, *numbers).grad_fn is None
