"""Learnable audio front-ends for PyTorch: waveform ``(..., time)`` in, ``(..., n_filters, frames)`` out."""

from learnable_frontends.compression import Decibels, Log
from learnable_frontends.filterbanks import CosGaussFilterbank, MelFrontend, SincFilterbank
from learnable_frontends.frontend import Filterbank, Frontend
from learnable_frontends.kernel_filterbank import EvenKernelFilterbank, KernelFilterbank
from learnable_frontends.pcen import PCEN
from learnable_frontends.relevance import MultiHeadRelevance, RelevanceWeighting

__all__ = [
    "PCEN",
    "CosGaussFilterbank",
    "Decibels",
    "EvenKernelFilterbank",
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
