"""Stages before the spectrum: of the waveform, for the argument ``inputs``, or of each frame, for ``frame_stages``."""

from learnable_frontends.inputs.length import FixedLength
from learnable_frontends.inputs.levels import RemoveMean, Scale
from learnable_frontends.inputs.preemphasis import FramePreemphasis, Preemphasis

__all__ = ["FixedLength", "FramePreemphasis", "Preemphasis", "RemoveMean", "Scale"]
