"""Stages, which are modules before, between and after the steps of a front-end, and how a front-end calls them.

A stage is any `torch.nn.Module` that maps a tensor to a tensor whose last axis is time: samples, samples of a frame, or
frames. Its class may declare more:

- ``takes_counts = True``: ``forward`` takes a second argument, the number of places on the last axis that belong to
  each clip: an integer tensor of the leading axes, or ``None`` for all. Without it, the output inside a clip must not
  depend on what lies beyond the clip.
- ``output_counts(counts)`` returns the number of places that belong to each clip after the stage, if it changes.
- ``frame_by_frame = True``, on the class or on the module: each output depends on one place of the last axis alone.
- ``resume(values, state)`` continues a stream. Streams refuse a stage that has neither this nor ``frame_by_frame``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["apply_stage", "check_streams", "counts_behind", "resume_stage", "within"]


def apply_stage(stage: nn.Module, values: Tensor, counts: Tensor | None) -> Tensor:
    """Call a stage, with the counts if it takes them."""
    takes_counts = getattr(type(stage), "takes_counts", False)  # of the class: a module is slow to report a missing one
    output: Tensor = stage(values, counts) if takes_counts else stage(values)
    return output


def counts_behind(stage: nn.Module, counts: Tensor) -> Tensor:
    """Return how many places on the last axis belong to each clip after a stage."""
    behind: Any = getattr(type(stage), "output_counts", None)
    changed: Tensor = counts if behind is None else behind(stage, counts)
    return changed


def within(counts: Tensor, values: Tensor) -> Tensor:
    """Return whether each place on the last axis of ``values`` belongs to its clip: ``(...)`` to ``(..., time)``."""
    return torch.arange(values.shape[-1], device=values.device) < counts.to(values.device)[..., None]


def check_streams(argument: str, stage: nn.Module) -> None:
    """Raise an error unless a stage can work on a stream.

    A declaration of a class does not hold for its subclasses, since they may compute anything.

    Raises:
        ValueError: If the stage needs a whole clip, or does not declare that it works frame by frame. The message
            names ``argument``.
    """
    inner: Any = getattr(stage, "check_streams", None)
    if inner is not None:  # the stage consists of others
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
        raise ValueError(f"{argument} must work frame by frame, got {stage}, which needs a whole clip{hint}")


def resume_stage(stage: nn.Module, values: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Apply a stage to the next part of a stream, ``(..., time)``; return its output and the new state."""
    resume: Any = getattr(stage, "resume", None)
    if resume is None:
        return stage(values), None
    output, state = resume(values, state)
    return output, state.clone() if isinstance(state, Tensor) else state  # a view would hold every frame
