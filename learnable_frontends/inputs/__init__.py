"""What happens to a waveform, or to a frame of it, before its spectrum: stages for ``inputs`` and ``frame_stages``."""

from learnable_frontends.inputs.length import FixedLength
from learnable_frontends.inputs.levels import RemoveMean, Scale
from learnable_frontends.inputs.preemphasis import FramePreemphasis, Preemphasis

__all__ = ["FixedLength", "FramePreemphasis", "Preemphasis", "RemoveMean", "Scale"]
