"""Compression of the energies of a front-end to the features that a classifier is trained on."""

from learnable_frontends.compression.frames import FixedFrames
from learnable_frontends.compression.log import Decibels, Log
from learnable_frontends.compression.normalize import ClipNormalize, Normalize
from learnable_frontends.compression.pcen import PCEN

__all__ = ["PCEN", "ClipNormalize", "Decibels", "FixedFrames", "Log", "Normalize"]
