"""Energies of filters in frames, from power spectra by Parseval's theorem or by the literal convolution."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["band_energies", "conv_energies"]


def band_energies(power: Tensor, response: Tensor) -> Tensor:
    """Return the energy of each filter in each frame: the power spectrum, weighted by the response and summed.

    Args:
        power: Shape ``(..., frames, bins)``.
        response: Shape ``(n_filters, bins)``.

    Returns:
        Energies, shape ``(..., n_filters, frames)``.

    Example:
        >>> import torch
        >>> band_energies(torch.ones(5, 3), torch.ones(2, 3)).shape
        torch.Size([2, 5])
    """
    return F.linear(power, response).transpose(-1, -2)


def conv_energies(frames: Tensor, kernels: Tensor, padding: str) -> Tensor:
    """Return the mean square of each frame convolved with each kernel: the literal, slow reference.

    It convolves in the time domain and writes ``frames x n_filters x samples`` numbers. For ``padding="full"``,
    Parseval's theorem leads to the same energies from one FFT per frame (`power_spectrum`, `kernel_response`,
    `band_energies`).

    Args:
        frames: Windowed frames, shape ``(batch, frames, samples)``.
        kernels: Impulse responses, shape ``(n_filters, kernel_size)``.
        padding: ``"full"`` for all ``samples + kernel_size - 1`` outputs, ``"valid"`` for the
            ``samples - kernel_size + 1`` outputs that cover the whole kernel.

    Returns:
        Energies, shape ``(batch, n_filters, frames)``.

    Example:
        >>> import torch
        >>> conv_energies(torch.ones(1, 1, 2), torch.ones(1, 2), "full")  # 1, 2, 1
        tensor([[[2.]]])
    """
    batch, n_frames, samples = frames.shape
    flat = frames.reshape(batch * n_frames, 1, samples)
    if padding == "full":
        # The argument padding of conv1d is slower, and for some sizes far slower.
        flat = F.pad(flat, (kernels.shape[-1] - 1, kernels.shape[-1] - 1))
    # conv1d computes a correlation; flipped kernels make it a convolution.
    outputs: Tensor = F.conv1d(flat, kernels.flip(-1)[:, None])
    return outputs.square().mean(-1).reshape(batch, n_frames, -1).transpose(1, 2)
