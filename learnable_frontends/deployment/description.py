"""The metadata of a deployed file."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch

from learnable_frontends.frontend import Frontend

__all__ = ["describe"]


def describe(frontends: dict[str, Frontend], least: Sequence[int]) -> dict[str, str]:
    """Return what a program needs to know about the input and the rows of features of a model, as text by name.

    Args:
        frontends: Front-ends of the model by name.
        least: The smallest numbers of samples: of the waveforms, and of the clips in ``lengths`` if that is an input.
    """
    from learnable_frontends import __version__

    first = next(iter(frontends.values()))
    described = {
        "sample_rate": f"{first.sample_rate:g}",
        "sample_rate_unit": "Hz",
        "waveform": "float32, (batch, time), full scale -1 to 1",
        "min_samples": f"{least[0]}",
    }
    for length in least[1:]:
        described["lengths"] = f"int64, (batch,), samples of each clip, at least {length}"
    for name, frontend in frontends.items():
        own = {
            "family": type(frontend).__name__,
            "n_filters": frontend.n_filters,
            "hop_length_samples": frontend.hop_length,
            "frame_span_samples": frontend.span,
            "first_frame_center_samples": frontend.first_frame_center,
            "f_min_hz": frontend.f_min,
            "f_max_hz": frontend.f_max,
            "center_frequencies_hz": [round(float(center), 3) for center in frontend.center_frequencies.detach()],
        }
        described[f"frontend.{name}" if name else "frontend"] = json.dumps(own)
    return {**described, "made_by": f"learnable_frontends {__version__}, torch {torch.__version__}"}
