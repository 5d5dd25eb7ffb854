"""Compression: from the energies of a front-end to the features that a classifier sees."""

from learnable_frontends.compression.log import Decibels, Log
from learnable_frontends.compression.pcen import PCEN

__all__ = ["PCEN", "Decibels", "Log"]
