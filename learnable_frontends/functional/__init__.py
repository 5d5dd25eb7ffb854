"""Pure stages of a front-end: framing, spectra, energies, constraints of free parameters, frequency scales."""

from learnable_frontends.functional.constraints import (
    bounded,
    bounded_log_factor,
    even_ramp,
    ordered,
    unbounded,
    unordered,
)
from learnable_frontends.functional.energies import band_energies, conv_energies
from learnable_frontends.functional.framing import frame, over_blocks, pad_each
from learnable_frontends.functional.scales import hz_to_scale, scale_slope, scale_to_hz, spaced_centers, spaced_edges
from learnable_frontends.functional.spectra import (
    DFTFactors,
    dft_factors,
    even_kernel_response,
    kernel_response,
    next_fast_length,
    power_spectrum,
    power_spectrum_by_matmul,
)

__all__ = [
    "DFTFactors",
    "band_energies",
    "bounded",
    "bounded_log_factor",
    "conv_energies",
    "dft_factors",
    "even_kernel_response",
    "even_ramp",
    "frame",
    "hz_to_scale",
    "kernel_response",
    "next_fast_length",
    "ordered",
    "over_blocks",
    "pad_each",
    "power_spectrum",
    "power_spectrum_by_matmul",
    "scale_slope",
    "scale_to_hz",
    "spaced_centers",
    "spaced_edges",
    "unbounded",
    "unordered",
]
