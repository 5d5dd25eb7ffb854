"""Modules between a front-end and a classifier, which map features to features."""

from learnable_frontends.transforms.augmentation import Mixup, RandomCrop, SpecAugment
from learnable_frontends.transforms.features import Cepstra, Deltas, MinMaxScale

__all__ = ["Cepstra", "Deltas", "MinMaxScale", "Mixup", "RandomCrop", "SpecAugment"]
