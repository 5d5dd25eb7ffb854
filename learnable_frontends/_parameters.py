"""The role of each parameter of a module, and the value that it started with.

A module declares a parameter, its role and its first value with `DeclaredParameters.declare`. Everything else follows:
`reset_parameters` and `Frontend.as_initialized` copy first values, and `freeze` and `param_groups` sort parameters by
role (`parameters_by_role`). A role belongs to the module and the declared name, never to a `torch.nn.Parameter`, which
``assign=True``, ``to`` and wrappers replace; `held` finds the parameters that the name stands for now.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from learnable_frontends._constants import Constants

__all__ = ["DeclaredParameters", "Role", "held", "optimizer_groups", "parameters_by_role"]

# "filters": where filters are and how wide. "free": other numbers behind a logarithm or a logit, such as those of a
# compression. Weight decay would pull both to the middle of their range. "weights": layers of networks, and the rest.
Role = Literal["filters", "free", "weights"]

START = "start."  # prefix of the name of the constant that holds a parameter's first value


class DeclaredParameters(nn.Module):
    """A module that declares each of its parameters with a role and a first value."""

    def __init__(self) -> None:
        super().__init__()
        self._constants = Constants()
        self._roles: dict[str, Role] = {}

    def declare(self, name: str, start: Any, role: Role = "filters") -> None:
        """Register a parameter.

        Args:
            name: Name of the attribute that holds the parameter.
            start: First value, in float64. The parameter starts with it, in the default type and on the default device.
            role: ``"filters"`` for parameters of filters, which have a learning rate of their own, get no weight decay,
                and are fixed by `Frontend.freeze`; ``"free"`` for other parameters without weight decay.
        """
        self._roles[name] = role
        self._constants[START + name] = start
        value = torch.tensor(self._constants[START + name], dtype=torch.get_default_dtype())
        self.register_parameter(name, nn.Parameter(value))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set this module's own parameters to the values that they had after construction."""
        for name in self._roles:
            value: Tensor = getattr(self, name)
            start = torch.from_numpy(self._constants[START + name]).to(value)
            if nn.utils.parametrize.is_parametrized(self, name):
                setattr(self, name, start)
            else:
                value.copy_(start)


def held(module: nn.Module, name: str) -> list[nn.Parameter]:
    """Return the parameters that a declared name stands for now: one, or those of its parametrization.

    Raises:
        TypeError: If there are none, because a wrapper has replaced them.
    """
    if nn.utils.parametrize.is_parametrized(module, name):
        parametrization: Any = module.parametrizations[name]  # type: ignore[index]
        found = [p for key, p in parametrization.named_parameters(recurse=False) if key.startswith("original")]
    else:
        found = [parameter for key, parameter in module._parameters.items() if key == name and parameter is not None]
    if not found:
        raise TypeError(
            f"{name} of {type(module).__name__} must be a parameter, got {type(getattr(module, name, None)).__name__} "
            "(a wrapper replaced it; call param_groups, freeze and unfreeze before wrapping)"
        )
    return found


def parameters_by_role(module: nn.Module) -> dict[Role, list[nn.Parameter]]:
    """Sort the parameters of a module and of all modules in it by role, each parameter once."""
    by_role: dict[Role, list[nn.Parameter]] = {"filters": [], "free": [], "weights": []}
    declared: set[int] = set()
    for part in module.modules():
        if not isinstance(part, DeclaredParameters):
            continue
        if odd := [name for name, p in part._parameters.items() if p is not None and name not in part._roles]:
            raise TypeError(
                f"parameters of {type(part).__name__} must be declared, got {odd} (register them with declare)"
            )
        for name, role in part._roles.items():
            new = [parameter for parameter in held(part, name) if id(parameter) not in declared]
            by_role[role] += new
            declared |= {id(parameter) for parameter in new}
    by_role["weights"] += [parameter for parameter in module.parameters() if id(parameter) not in declared]
    return by_role


def optimizer_groups(
    module: nn.Module, lr: float, frontend_lr: float, *, rest: str = "frontend"
) -> list[dict[str, Any]]:
    """Return the parameters of a module and of all in it as groups for an optimizer; see `Frontend.param_groups`."""
    by_role = parameters_by_role(module)
    groups = [
        {"params": by_role["filters"], "name": "filters", "lr": frontend_lr, "weight_decay": 0.0},
        {"params": by_role["free"], "name": "free", "lr": lr, "weight_decay": 0.0},
        {"params": by_role["weights"], "name": rest, "lr": lr},
    ]
    return [group for group in groups if group["params"]]
