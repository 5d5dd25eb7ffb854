"""The parts that presets are made of."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch

from learnable_frontends.filterbanks import LearnableMelFilterbank, MelFrontend

__all__ = ["mel"]

SYMMETRIC_HANN = partial(torch.hann_window, periodic=False)
SLANEY: dict[str, Any] = {"mel_scale": "slaney", "norm": "slaney"}


def mel(learn: bool, sample_rate: float, n_filters: int, **settings: Any) -> MelFrontend:
    """Return a mel spectrogram, or one that learns.

    In AST and BEATs one filter lies between two bins, so that its energy is zero. They were trained that way, and the
    warning is suppressed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=.* leaves")
        return (LearnableMelFilterbank if learn else MelFrontend)(sample_rate, n_filters, **settings)
