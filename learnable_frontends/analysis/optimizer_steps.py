"""How large the steps of an optimizer are, for each of its parameter groups."""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

__all__ = ["GroupSteps", "OptimizerMonitor"]


class GroupSteps(NamedTuple):
    """Root mean squares over the parameters of a group and over the steps that were watched.

    Attributes:
        gradient: Root mean square of the gradients.
        step: Root mean square of the changes that the optimizer made.
        parameter: Root mean square of the parameters themselves.
    """

    gradient: float
    step: float
    parameter: float


class OptimizerMonitor:
    """Measure the gradients and steps of each parameter group of an optimizer.

    If filters do not move, either their gradient is small relative to its noise, or their learning rate is too low. A
    step of 0.01 in a filter's free parameter moves a low center by about one percent (`Frontend.param_groups`).

    The monitor copies all parameters in each step. Groups are identified by their ``"name"``, or else by their number.

    Args:
        optimizer: Any optimizer. It is watched until `close` is called, or until the end of a ``with`` block.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(16000, n_filters=40)
        >>> optimizer = torch.optim.SGD(bank.param_groups(lr=0.1, frontend_lr=0.5))
        >>> with OptimizerMonitor(optimizer) as monitor:
        ...     bank(torch.randn(16000)).mean().backward()
        ...     optimizer.step()
        ...     filters = monitor.read()["filters"]
        >>> round(filters.step / filters.gradient, 3)
        0.5
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._before: list[list[Tensor]] = []
        self._squares: dict[str, Tensor] = {}
        self._steps = 0
        self._hooks = [
            optimizer.register_step_pre_hook(lambda *_: self._keep()),
            optimizer.register_step_post_hook(lambda *_: self._add()),
        ]

    def read(self) -> dict[str, GroupSteps]:
        """Return the root mean squares over the steps since the last call, by group; empty if there were no steps."""
        steps, squares = self._steps, self._squares
        self._steps, self._squares = 0, {}
        sizes = {name: sum(p.numel() for p in parameters) for name, parameters in self._groups()}
        return {
            name: GroupSteps(*((total / (steps * sizes[name])).sqrt().item() for total in totals))
            for name, totals in squares.items()
        }

    def close(self) -> None:
        """Stop watching the optimizer."""
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> OptimizerMonitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _groups(self) -> list[tuple[str, list[Tensor]]]:
        return [(str(group.get("name", i)), group["params"]) for i, group in enumerate(self._optimizer.param_groups)]

    def _keep(self) -> None:
        self._before = [[p.detach().clone() for p in parameters] for _, parameters in self._groups()]

    def _add(self) -> None:
        for (name, parameters), before in zip(self._groups(), self._before, strict=True):
            gradients = [p.grad for p in parameters if p.grad is not None]
            changes = [p.detach() - old for p, old in zip(parameters, before, strict=True)]
            sums = [_sum_of_squares(tensors).to(before[0]) for tensors in (gradients, changes, parameters)]
            self._squares[name] = self._squares.get(name, 0) + torch.stack(sums)
        self._steps += 1
        self._before = []


def _sum_of_squares(tensors: list[Tensor]) -> Tensor:
    return get_total_norm([tensor.detach() for tensor in tensors]).square()
