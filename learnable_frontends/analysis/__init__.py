"""Analysis before training (where classes differ, which filterbank to take) and after it (what was learned)."""

from learnable_frontends.analysis.information import BandInformation, band_information
from learnable_frontends.analysis.masks import MaskStatistics, mask_statistics
from learnable_frontends.analysis.movement import Movement, movement
from learnable_frontends.analysis.optimizer_steps import GroupSteps, OptimizerMonitor
from learnable_frontends.analysis.probing import Candidate, Probe, probe

__all__ = [
    "BandInformation",
    "Candidate",
    "GroupSteps",
    "MaskStatistics",
    "Movement",
    "OptimizerMonitor",
    "Probe",
    "band_information",
    "mask_statistics",
    "movement",
    "probe",
]
