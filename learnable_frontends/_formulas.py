"""Formulas that come with a gradient written by hand.

Autograd runs one node for each operation, and for filters drawn over a few hundred bins the nodes take longer than the
arithmetic. A formula returns its value and its *pullback*: the function from the gradient of the value to the gradients
of the parameters. Together they are a single node. The value is computed with operations that autograd knows, so
tracing, `torch.func`, forward mode and second derivatives ignore the pullback and differentiate the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from learnable_frontends._constants import is_plain

__all__ = ["Formula", "Pullback", "apply_formula"]

Pullback = Callable[[Tensor], tuple[Tensor, ...]]
Formula = Callable[..., tuple[Tensor, Pullback]]


def apply_formula(formula: Formula, *parameters: Tensor) -> Tensor:
    """Compute the value of a formula, and use its pullback as the gradient where a plain backward pass is enough.

    Args:
        formula: Function from tensors to a new tensor and its pullback. The pullback may hold intermediate results,
            but not the value itself: the graph would then refer to itself.
        parameters: The tensors that get gradients; others that the formula uses get none.

    Returns:
        The value of the formula.

    Example:
        >>> def square(x):
        ...     return x * x, lambda gradient: (2 * x * gradient,)
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> apply_formula(square, x).backward()
        >>> x.grad
        tensor(6.)
    """
    learns = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)
    if not learns or not all(map(is_plain, parameters)) or _differs_otherwise():
        return formula(*parameters)[0]
    value: Tensor = _Node.apply(formula, *parameters)  # type: ignore[no-untyped-call]
    return value


def _differs_otherwise() -> bool:
    """Return whether more than a plain backward pass may differentiate: tracing, a transform, forward mode."""
    tracing = torch._C._get_tracing_state() is not None
    return tracing or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


class _Node(torch.autograd.Function):
    """A formula as one node of the autograd graph."""

    @staticmethod
    def forward(ctx: Any, formula: Formula, *parameters: Tensor) -> Tensor:
        value, ctx.pullback = formula(*parameters)
        ctx.formula = formula
        ctx.save_for_backward(*parameters)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return None, *ctx.pullback(gradient)
        parameters = ctx.saved_tensors  # the gradient itself is differentiated, so it is computed by autograd
        value = ctx.formula(*parameters)[0]
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        found = iter(torch.autograd.grad(value, wanted, gradient, create_graph=True))
        return None, *(next(found) if parameter.requires_grad else None for parameter in parameters)
