"""The filterbanks: the base classes of families, and one family in each file."""

from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.filterbanks.by_kernels import KernelFilterbank
from learnable_frontends.filterbanks.by_response import ResponseFilterbank
from learnable_frontends.filterbanks.centers import CenteredFilterbank
from learnable_frontends.filterbanks.cos_gauss import CosGaussFilterbank
from learnable_frontends.filterbanks.free import FreeFilterbank
from learnable_frontends.filterbanks.free_response import FreeResponseFilterbank
from learnable_frontends.filterbanks.gabor import GaborFilterbank
from learnable_frontends.filterbanks.gammatone import GammatoneFilterbank
from learnable_frontends.filterbanks.gaussian import GaussianFilterbank
from learnable_frontends.filterbanks.learnable_mel import LearnableMelFilterbank
from learnable_frontends.filterbanks.mel import MelFrontend
from learnable_frontends.filterbanks.sinc import SincFilterbank

__all__ = [
    "CenteredFilterbank",
    "CosGaussFilterbank",
    "Filterbank",
    "FreeFilterbank",
    "FreeResponseFilterbank",
    "GaborFilterbank",
    "GammatoneFilterbank",
    "GaussianFilterbank",
    "KernelFilterbank",
    "LearnableMelFilterbank",
    "MelFrontend",
    "ResponseFilterbank",
    "SincFilterbank",
]
