"""Steps that `torch.compile` calls as they are, on a CPU and without gradients, since what it makes of them is slower.

It computes the place of each sample in each frame anew, and does not take frames block by block, so that spectra leave
the cache. With gradients, on other devices and in exported programs the steps are traced.
"""

import torch
from torch import Tensor

from learnable_frontends.functional.energies import band_energies
from learnable_frontends.functional.framing import over_blocks
from learnable_frontends.functional.spectra import power_spectrum, to_power

__all__ = ["compiles_opaquely", "opaque_energies"]


def compiles_opaquely(*tensors: Tensor) -> bool:
    """Whether a step of these tensors is being compiled for a CPU, and nobody asks for gradients."""
    if not torch.compiler.is_dynamo_compiling() or torch.compiler.is_exporting() or tensors[0].device.type != "cpu":
        return False
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))


@torch.library.custom_op("learnable_frontends::energies", mutates_args=())
def opaque_energies(
    frames: Tensor, window: Tensor, weights: Tensor, n_fft: int, exponent: float, offset: float
) -> Tensor:
    """Energies of filters in frames, block by block: `power_spectrum`, `to_power`, `band_energies`.

    Args:
        frames: Not windowed, shape ``(batch, frames, samples)``.
        window: Shape ``(samples,)``.
        weights: Of bins, shape ``(n_filters, n_fft // 2 + 1)``.
        n_fft: Transform length in samples.
        exponent: Of the magnitudes.
        offset: Added to their squares before.

    Returns:
        Shape ``(batch, n_filters, frames)``, without gradients.
    """

    def energies(block: Tensor) -> Tensor:
        return band_energies(to_power(power_spectrum(block, n_fft, window), exponent, offset), weights)

    return over_blocks(energies, frames).contiguous()


@opaque_energies.register_fake
def _(frames: Tensor, window: Tensor, weights: Tensor, n_fft: int, exponent: float, offset: float) -> Tensor:
    del window, n_fft, exponent, offset
    return frames.new_empty(frames.shape[0], weights.shape[0], frames.shape[1])
