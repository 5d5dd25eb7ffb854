"""Learnable audio front-ends for PyTorch: waveform ``(..., time)`` in, ``(..., n_filters, frames)`` out."""

from learnable_frontends.compression import PCEN, Decibels, Log
from learnable_frontends.concat import ConcatFrontend
from learnable_frontends.filterbanks import (
    CenteredFilterbank,
    CosGaussFilterbank,
    Filterbank,
    FreeFilterbank,
    FreeResponseFilterbank,
    GaborFilterbank,
    GammatoneFilterbank,
    GaussianFilterbank,
    KernelFilterbank,
    LearnableMelFilterbank,
    MelFrontend,
    ResponseFilterbank,
    SincFilterbank,
)
from learnable_frontends.frontend import Frontend
from learnable_frontends.relevance import MultiHeadRelevance, RelevanceWeighting

__all__ = [
    "PCEN",
    "CenteredFilterbank",
    "ConcatFrontend",
    "CosGaussFilterbank",
    "Decibels",
    "Filterbank",
    "FreeFilterbank",
    "FreeResponseFilterbank",
    "Frontend",
    "GaborFilterbank",
    "GammatoneFilterbank",
    "GaussianFilterbank",
    "KernelFilterbank",
    "LearnableMelFilterbank",
    "Log",
    "MelFrontend",
    "MultiHeadRelevance",
    "RelevanceWeighting",
    "ResponseFilterbank",
    "SincFilterbank",
]

__version__ = "0.1.0"
