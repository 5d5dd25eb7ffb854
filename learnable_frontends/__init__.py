"""Learnable audio front-ends for PyTorch: waveform ``(..., time)`` in, ``(..., n_filters, frames)`` out."""

from learnable_frontends.chain import Chain
from learnable_frontends.compression import PCEN, ClipNormalize, Decibels, FixedFrames, Log, Normalize
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
from learnable_frontends.waveform_model import WaveformModel

__all__ = [
    "PCEN",
    "CenteredFilterbank",
    "Chain",
    "ClipNormalize",
    "ConcatFrontend",
    "CosGaussFilterbank",
    "Decibels",
    "Filterbank",
    "FixedFrames",
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
    "Normalize",
    "RelevanceWeighting",
    "ResponseFilterbank",
    "SincFilterbank",
    "WaveformModel",
]

__version__ = "0.1.0"
