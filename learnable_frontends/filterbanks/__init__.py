"""Families of filters, one a file."""

from learnable_frontends.filterbanks.cos_gauss import CosGaussFilterbank
from learnable_frontends.filterbanks.mel import MelFrontend
from learnable_frontends.filterbanks.sinc import SincFilterbank

__all__ = ["CosGaussFilterbank", "MelFrontend", "SincFilterbank"]
