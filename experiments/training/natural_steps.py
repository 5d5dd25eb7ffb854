"""Steps of an optimizer in units of the responses of filters, not of their free parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from learnable_frontends.frontend import Frontend

__all__ = ["NaturalSteps", "response_information"]

FLOOR = 1e-9  # of a response's sum: what lies below says nothing


class NaturalSteps:
    r"""Scale the steps that an optimizer takes in filters, so that equal steps change responses equally.

    The free parameters of filters are logits. The same step moves a narrow filter by several of its bandwidths and a
    wide one by a small part of its own. Here the change that the optimizer made in a parameter is divided by
    :math:`\sqrt{1 + F}`, with the Fisher information :math:`F` of `response_information`: where that is large, a
    change of 0.1 moves a Gaussian response by 0.1 of its standard deviation, however wide it is. The one keeps steps
    from growing where a parameter hardly acts, as the width of a Gaussian that is cut off. That is the diagonal of a
    damped natural gradient, for an optimizer that normalizes gradients itself, as Adam does.

    Rates are therefore larger than without: try ``frontend_lr=0.1``.

    Args:
        optimizer: Any optimizer of the front-end. It is scaled until `close`, or to the end of a ``with`` block.
        frontend: The front-end. The parameters of its filters are scaled, and no others.
        every: Steps for which the information is used.

    Raises:
        ValueError: If ``every`` is not positive.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(16000, n_filters=2, init=[500.0, 4000.0], kernel_size=1601)
        >>> optimizer = torch.optim.Adam(bank.param_groups(lr=0.1, frontend_lr=0.1))
        >>> before = bank.center_frequencies
        >>> with NaturalSteps(optimizer, bank):
        ...     bank(torch.randn(16000)).mean().backward()
        ...     optimizer.step()
        >>> deviation = before / (2 * torch.pi * 5 * 2**0.5)  # of the response of kernels 5 periods wide
        >>> print([f"{abs(shift):.2f}" for shift in (bank.center_frequencies - before) / deviation])
        ['0.10', '0.10']

    Source: Amari, "Natural gradient works efficiently in learning", Neural Computation 10, 1998.
    """

    def __init__(self, optimizer: Optimizer, frontend: Frontend, every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every} (in steps)")
        self.every = every
        self._frontend = frontend
        self._steps = 0
        self._before: dict[str, Tensor] = {}
        self._scales: dict[str, Tensor] = {}
        self._hooks = [
            optimizer.register_step_pre_hook(lambda *_: self._keep()),
            optimizer.register_step_post_hook(lambda *_: self._scale()),
        ]

    def close(self) -> None:
        """Leave the optimizer as it was."""
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> NaturalSteps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @torch.no_grad()
    def _keep(self) -> None:
        if self._steps % self.every == 0:
            self._scales = {name: (1 + value).rsqrt() for name, value in response_information(self._frontend).items()}
        self._before = {name: parameter.detach().clone() for name, parameter in _free(self._frontend).items()}
        self._steps += 1

    @torch.no_grad()
    def _scale(self) -> None:
        for name, parameter in _free(self._frontend).items():
            before = self._before[name]
            parameter.copy_(torch.lerp(before, parameter, self._scales[name]))


def response_information(frontend: Frontend) -> dict[str, Tensor]:
    r"""Fisher information of the response of filters about each of their free parameters.

    A response of unit sum is taken as a distribution :math:`p` over frequency; then :math:`F = \sum_k (\partial p_k /
    \partial\theta)^2 / p_k`. A Gaussian response of standard deviation :math:`\sigma` has :math:`1/\sigma^2` for its
    center. The level of a filter does not count.

    Args:
        frontend: Any front-end.

    Returns:
        For each parameter of filters that learns, by its full name, a tensor of its shape, not negative. A family whose
        values act on several filters gets row sums of its information matrix.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> information = response_information(CosGaussFilterbank(16000, n_filters=4, learn_width=True))
        >>> {name: tuple(value.shape) for name, value in information.items()}
        {'raw_center': (4,), 'raw_width': (4,)}
    """
    free = _free(frontend)
    with torch.enable_grad():
        response = frontend.power_response(2 * math.ceil(frontend.n_fft / 2))
        roots = (response / response.sum(-1, keepdim=True)).clamp_min(FLOOR).sqrt()
        return {name: 4 * _squared_slopes(roots, parameter) for name, parameter in free.items()}


def _squared_slopes(values: Tensor, parameter: Tensor) -> Tensor:
    """Sum of squares of the derivatives of ``values`` for each number of ``parameter``.

    Each number acts on one filter, so that J'J is diagonal, and J'J 1 its diagonal, in the order of the parameter. J 1
    is the derivative of J'v for v; torch's forward mode would give it too, but warns of its own use of ``torch.jit``.
    """
    direction = torch.zeros_like(values, requires_grad=True)
    (pulled,) = torch.autograd.grad(values, parameter, direction, create_graph=True)
    (change,) = torch.autograd.grad(pulled, direction, torch.ones_like(pulled))
    return torch.autograd.grad(values, parameter, change, retain_graph=True)[0]


def _free(frontend: Frontend) -> dict[str, nn.Parameter]:
    groups = frontend.param_groups(lr=0.0, frontend_lr=0.0)
    filters = {id(p) for group in groups if group["name"] == "filters" for p in group["params"]}
    return {name: p for name, p in frontend.named_parameters() if id(p) in filters and p.requires_grad}
