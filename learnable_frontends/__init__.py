"""Learnable audio front-ends for PyTorch.

A front-end is a module that turns a waveform ``(..., time)`` into features ``(..., n_filters, frames)``. The filters of
these front-ends are learned together with the classifier behind them, at about the cost of a mel spectrogram.
`LearnableMelFilterbank` starts as exactly the mel spectrogram that it replaces. Others have the filters of Dutta et
al. 2021 (`CosGaussFilterbank`, with the relevance heads of `MultiHeadRelevance`), of SincNet or of LEAF. All of them
take the same calls, which `Frontend` describes, and `MelFrontend` is the mel spectrogram itself.
"""

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
