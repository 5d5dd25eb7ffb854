"""Compression of streams: which modules work frame by frame, and which go on where they ended."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["check_streams", "resume_compression"]


def check_streams(compression: nn.Module) -> None:
    """Raise unless a compression can work on a stream: it has ``resume``, or its class or it is ``frame_by_frame``.

    What a class says of itself does not count for its subclasses: they may do anything.

    Raises:
        ValueError: If it looks at a whole clip, or is not known to work frame by frame.
    """
    if hasattr(compression, "resume") or type(compression) is nn.Identity:
        return
    if "frame_by_frame" not in {**vars(type(compression)), **vars(compression)}:
        raise ValueError(
            f"compression must work frame by frame, got {type(compression).__name__} (if its features of a frame do "
            "not depend on other frames, give it an attribute frame_by_frame = True)"
        )
    if not compression.frame_by_frame:
        raise ValueError(
            f"compression must work frame by frame, got {compression}, which looks at a whole clip (Decibels: use "
            "top_db=None)"
        )


def resume_compression(compression: nn.Module, energies: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Compress the energies of a stream's next frames, ``(..., n_filters, frames)``; return them and the new state."""
    resume: Any = getattr(compression, "resume", None)
    if resume is not None:
        features, state = resume(energies, state)
        return features, state.clone()  # not a view, which would keep the state of every frame
    return compression(energies), None
