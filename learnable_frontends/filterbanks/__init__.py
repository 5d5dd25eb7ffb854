"""The filterbanks: bases for families, and one family a file."""

from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.filterbanks.by_kernels import KernelFilterbank
from learnable_frontends.filterbanks.cos_gauss import CosGaussFilterbank
from learnable_frontends.filterbanks.mel import MelFrontend
from learnable_frontends.filterbanks.sinc import SincFilterbank

__all__ = ["CosGaussFilterbank", "Filterbank", "KernelFilterbank", "MelFrontend", "SincFilterbank"]
