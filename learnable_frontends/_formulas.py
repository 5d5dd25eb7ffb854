"""Formulas with their gradient written beside them.

Autograd runs a node for each operation, and for filters drawn over a few hundred bins its nodes take longer than their
arithmetic. A formula that returns its value and the function from a gradient of that value to those of its parameters,
its *pullback*, is one node. It is written in operations that autograd knows, so that whatever needs more than a
gradient takes its value alone: tracing, `torch.func`, forward mode, a second derivative.
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
    """Compute a formula's value, with its pullback as its gradient where that is all that is asked for.

    Args:
        formula: From tensors to a new tensor and its pullback, which may hold what was computed on the way, but not
            the value itself: the graph would hold itself.
        parameters: The tensors; others that the formula uses get no gradient.

    Returns:
        The value.

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
    """Whether something differentiates that does not run backward through nodes."""
    tracing = torch._C._get_tracing_state() is not None
    return tracing or torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


class _Node(torch.autograd.Function):
    """A formula in the graph of autograd."""

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
        parameters = ctx.saved_tensors  # to be differentiated again
        value = ctx.formula(*parameters)[0]
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        found = iter(torch.autograd.grad(value, wanted, gradient, create_graph=True))
        return None, *(next(found) if parameter.requires_grad else None for parameter in parameters)
