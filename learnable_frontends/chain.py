"""Several stages combined into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from learnable_frontends._stages import apply_stage, check_streams, counts_behind, resume_stage

__all__ = ["Chain"]


class Chain(nn.Module):
    """Several stages in sequence, for the arguments ``inputs``, ``frame_stages`` and ``compression`` of front-ends.

    Unlike `torch.nn.Sequential` it passes the lengths of clips to the stages that take them, and it works on streams.

    Args:
        stages: Modules, at least one.

    Shape:
        - Input: that of the first stage.
        - Output: that of the last stage.

    Raises:
        TypeError: If one of ``stages`` is not a module.
        ValueError: If there are none.

    Example:
        >>> import torch
        >>> from learnable_frontends import Decibels, Normalize
        >>> chain = Chain([Decibels(), Normalize(mean=-40.0, std=40.0)])
        >>> chain(torch.tensor([[1.0, 1e-4]]))
        tensor([[1., 0.]])
    """

    takes_counts = True

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        if not all(isinstance(stage, nn.Module) for stage in stages):
            raise TypeError(f"stages must be modules, got {[type(stage).__name__ for stage in stages]}")
        if not stages:
            raise ValueError("stages must have at least one module, got none (torch.nn.Identity() changes nothing)")
        self.stages = nn.ModuleList(stages)

    def forward(self, values: Tensor, counts: Tensor | None = None) -> Tensor:
        """Apply all stages to ``(..., time)``; ``counts`` places belong to each clip, or all if it is ``None``."""
        for stage in self.stages:
            values = apply_stage(stage, values, counts)
            counts = None if counts is None else counts_behind(stage, counts)
        return values

    def output_counts(self, counts: Tensor) -> Tensor:
        """Return how many places on the last axis belong to each clip after the last stage."""
        for stage in self.stages:
            counts = counts_behind(stage, counts)
        return counts

    def check_streams(self, argument: str) -> None:
        """Raise ``ValueError`` unless every stage can work on a stream."""
        for stage in self.stages:
            check_streams(argument, stage)

    def resume(self, values: Tensor, state: dict[str, Any] | None) -> tuple[Tensor, dict[str, Any]]:
        """Apply all stages to the next part of a stream; return the output and the new states."""
        after = {}
        for name, stage in self.stages.named_children():
            values, after[name] = resume_stage(stage, values, None if state is None else state[name])
        return values, after
