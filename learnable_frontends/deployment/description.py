"""The metadata of a deployed file."""

from __future__ import annotations

import json

import torch

from learnable_frontends.frontend import Frontend

__all__ = ["describe"]


def describe(frontends: dict[str, Frontend], *, lengths: bool) -> dict[str, str]:
    """Return what a program needs to know about the input and the rows of features of a model, as text by name."""
    from learnable_frontends import __version__

    first = next(iter(frontends.values()))
    described = {
        "sample_rate": f"{first.sample_rate:g}",
        "sample_rate_unit": "Hz",
        "waveform": "float32, (batch, time), full scale -1 to 1",
    }
    if lengths:
        described["lengths"] = "int64, (batch,), samples of each clip"
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
