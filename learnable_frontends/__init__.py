"""Learnable audio front-ends for PyTorch: waveform ``(..., time)`` in, ``(..., n_filters, frames)`` out."""

from learnable_frontends.compression import PCEN, Decibels, Log
from learnable_frontends.filterbanks import (
    CosGaussFilterbank,
    Filterbank,
    KernelFilterbank,
    MelFrontend,
    SincFilterbank,
)
from learnable_frontends.frontend import Frontend
from learnable_frontends.relevance import MultiHeadRelevance, RelevanceWeighting

__all__ = [
    "PCEN",
    "CosGaussFilterbank",
    "Decibels",
    "Filterbank",
    "Frontend",
    "KernelFilterbank",
    "Log",
    "MelFrontend",
    "MultiHeadRelevance",
    "RelevanceWeighting",
    "SincFilterbank",
]

__version__ = "0.1.0"
