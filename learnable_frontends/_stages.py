"""Stages: modules before, between and behind the steps of a front-end, and what a front-end asks them.

A stage is any `torch.nn.Module` from a tensor to a tensor whose last axis is time: samples, samples of a frame, or
frames. Its class may say more of it:

- ``takes_counts = True``: `forward` takes a second argument, how much of the last axis belongs to each clip, an integer
  tensor of the leading axes, or ``None`` for all. Without it what lies beyond a clip must not change what lies in it.
- ``output_counts(counts)``: how much belongs to each clip behind it, where that is not the same.
- ``frame_by_frame = True``, of its class or its own: an output depends on no other place of the last axis; or
  ``resume(values, state)``: how a stream goes on. What has neither is refused in streams.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["apply_stage", "check_streams", "counts_behind", "resume_stage", "within"]


def apply_stage(stage: nn.Module, values: Tensor, counts: Tensor | None) -> Tensor:
    """Call a stage, with the counts if it takes them."""
    takes_counts = getattr(type(stage), "takes_counts", False)  # a module looks long for what it does not have
    output: Tensor = stage(values, counts) if takes_counts else stage(values)
    return output


def counts_behind(stage: nn.Module, counts: Tensor) -> Tensor:
    """How much of the last axis belongs to each clip behind a stage."""
    behind: Any = getattr(type(stage), "output_counts", None)
    changed: Tensor = counts if behind is None else behind(stage, counts)
    return changed


def within(counts: Tensor, values: Tensor) -> Tensor:
    """Whether each place of the last axis of ``values`` belongs to its clip: ``(...)`` to ``(..., time)``."""
    return torch.arange(values.shape[-1], device=values.device) < counts.to(values.device)[..., None]


def check_streams(argument: str, stage: nn.Module) -> None:
    """Raise unless a stage can work on a stream.

    What a class says of itself does not count for its subclasses: they may do anything.

    Raises:
        ValueError: If it looks at a whole clip, or is not known to work frame by frame; ``argument`` is its name there.
    """
    inner: Any = getattr(stage, "check_streams", None)
    if inner is not None:  # it consists of others
        inner(argument)
        return
    if hasattr(stage, "resume") or type(stage) is nn.Identity:
        return
    if "frame_by_frame" not in {**vars(type(stage)), **vars(stage)}:
        raise ValueError(
            f"{argument} must work frame by frame, got {type(stage).__name__} (if its features of a frame do "
            "not depend on other frames, give it an attribute frame_by_frame = True)"
        )
    if not stage.frame_by_frame:
        hint = " (use top_db=None)" if hasattr(stage, "top_db") else ""
        raise ValueError(f"{argument} must work frame by frame, got {stage}, which looks at a whole clip{hint}")


def resume_stage(stage: nn.Module, values: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Apply a stage to the next part of a stream, ``(..., time)``; return what it gives and the new state."""
    resume: Any = getattr(stage, "resume", None)
    if resume is None:
        return stage(values), None
    output, state = resume(values, state)
    return output, state.clone() if isinstance(state, Tensor) else state  # not a view, which would keep every frame
