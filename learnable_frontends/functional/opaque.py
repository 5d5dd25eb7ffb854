"""Steps that `torch.compile` calls without compiling them, on a CPU and without gradients.

Its compiled code would be slower: it computes the position of each sample in each frame again, and processes all frames
at once, so that spectra leave the cache. With gradients, on other devices and in exported programs, the steps are
traced as usual.
"""

import torch
from torch import Tensor

from learnable_frontends.functional.energies import band_energies
from learnable_frontends.functional.framing import over_blocks
from learnable_frontends.functional.spectra import power_spectrum, to_power

__all__ = ["compiles_opaquely", "opaque_energies"]


def compiles_opaquely(*tensors: Tensor) -> bool:
    """Return whether a step with these tensors is being compiled for a CPU, without gradients."""
    if not torch.compiler.is_dynamo_compiling() or torch.compiler.is_exporting() or tensors[0].device.type != "cpu":
        return False
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))


@torch.library.custom_op("learnable_frontends::energies", mutates_args=())
def opaque_energies(
    frames: Tensor, window: Tensor, weights: Tensor, n_fft: int, exponent: float, offset: float
) -> Tensor:
    """Return the energies of filters in frames, computed block by block and without gradients.

    The steps are `power_spectrum`, `to_power` and `band_energies`.

    Args:
        frames: Unwindowed frames, shape ``(batch, frames, samples)``.
        window: Frame window, shape ``(samples,)``.
        weights: Weights of the bins, shape ``(n_filters, n_fft // 2 + 1)``.
        n_fft: Transform length in samples.
        exponent: Exponent of the magnitudes, as in `to_power`.
        offset: Number that is added to the squared magnitudes, as in `to_power`.

    Returns:
        Energies, shape ``(batch, n_filters, frames)``.
    """

    def energies(block: Tensor) -> Tensor:
        return band_energies(to_power(power_spectrum(block, n_fft, window), exponent, offset), weights)

    return over_blocks(energies, frames).contiguous()


@opaque_energies.register_fake
def _(frames: Tensor, window: Tensor, weights: Tensor, n_fft: int, exponent: float, offset: float) -> Tensor:
    del window, n_fft, exponent, offset
    return frames.new_empty(frames.shape[0], weights.shape[0], frames.shape[1])
