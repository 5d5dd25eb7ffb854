"""The stages of a front-end as pure functions: frames, spectra, energies, maps of free parameters, frequency scales."""

from learnable_frontends.functional.constraints import (
    bounded,
    bounded_log_factor,
    even_ramp,
    ordered,
    unbounded,
    unordered,
)
from learnable_frontends.functional.dft import DFTFactors, dft_factors, power_spectrum_by_matmul
from learnable_frontends.functional.energies import band_energies, conv_energies
from learnable_frontends.functional.framing import frame, over_blocks, pad_each
from learnable_frontends.functional.opaque import compiles_opaquely, opaque_energies
from learnable_frontends.functional.scales import hz_to_scale, scale_slope, scale_to_hz, spaced_centers, spaced_edges
from learnable_frontends.functional.spectra import (
    even_kernel_response,
    kernel_response,
    next_fast_length,
    power_spectrum,
    to_power,
)

__all__ = [
    "DFTFactors",
    "band_energies",
    "bounded",
    "bounded_log_factor",
    "compiles_opaquely",
    "conv_energies",
    "dft_factors",
    "even_kernel_response",
    "even_ramp",
    "frame",
    "hz_to_scale",
    "kernel_response",
    "next_fast_length",
    "opaque_energies",
    "ordered",
    "over_blocks",
    "pad_each",
    "power_spectrum",
    "power_spectrum_by_matmul",
    "scale_slope",
    "scale_to_hz",
    "spaced_centers",
    "spaced_edges",
    "to_power",
    "unbounded",
    "unordered",
]
