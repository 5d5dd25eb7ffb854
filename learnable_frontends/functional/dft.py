"""Power spectra of frames by two small matrix products, for runtimes whose FFT is missing, slow or inexact."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["DFTFactors", "dft_factors", "power_spectrum_by_matmul"]


class DFTFactors(NamedTuple):
    """The matrices of `power_spectrum_by_matmul`, in float64.

    Attributes:
        first: Transforms of a part of the samples, shape ``(2 * (n1 // 2 + 1), rows)``: real and imaginary parts of
            ``n1 // 2 + 1`` frequencies in turn.
        second: For each of these frequencies, the transform of the remaining samples and the twiddle factors between
            the two, shape ``(n1 // 2 + 1, 2 * n2, 2 * n2)``.
        order: The bin of each column of the power spectrum, or ``n_fft // 2 + 1`` for a column that is the mirror image
            of another one; whole numbers, shape ``((n1 // 2 + 1) * n2,)``.
    """

    first: Tensor
    second: Tensor
    order: Tensor


def dft_factors(samples: int, n_fft: int) -> DFTFactors:
    """Return the matrices of `power_spectrum_by_matmul`.

    A transform of ``n_fft = n1 * n2`` samples consists of ``n2`` transforms of ``n1`` samples, factors of unit
    magnitude, and ``n1`` transforms of ``n2`` samples. For real samples half of the latter are enough, since the others
    mirror them. The two lengths are chosen for the fewest multiplications.

    Args:
        samples: Number of samples of each frame, at most ``n_fft``.
        n_fft: Transform length in samples.

    Example:
        >>> [matrix.shape for matrix in dft_factors(2048, 2880)]
        [torch.Size([92, 64]), torch.Size([46, 64, 64]), torch.Size([1472])]

    Source: Cooley and Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965.
    """

    def multiplications(n1: int) -> int:
        n2 = n_fft // n1
        return (n1 // 2 + 1) * (2 * -(-samples // n2) * n2 + 4 * n2 * n2)

    n1 = min((n for n in range(1, n_fft + 1) if n_fft % n == 0), key=multiplications)
    n2, half = n_fft // n1, n1 // 2 + 1
    rows, low, high = (torch.arange(n, dtype=torch.float64) for n in (-(-samples // n2), half, n2))
    turns = torch.outer(low, rows) / n1
    first = torch.stack([_cosine(turns), -_sine(turns)], 1).flatten(0, 1)
    turns = low[:, None, None] * high[:, None] / n_fft + torch.outer(high, high) / n2
    cosine, sine = _cosine(turns), _sine(turns)
    second = torch.cat([torch.cat([cosine, -sine], -1), torch.cat([sine, cosine], -1)], 1)
    bins = torch.arange(n_fft // 2 + 1)
    found = torch.where(bins % n1 < half, bins, n_fft - bins)  # itself, or its mirror image
    order = torch.full((half * n2,), len(bins))
    order[(found % n1) * n2 + found // n1 % n2] = bins
    return DFTFactors(first, second, order)


def _cosine(turns: Tensor) -> Tensor:
    return (2 * math.pi * turns.remainder(1.0)).cos()


def _sine(turns: Tensor) -> Tensor:
    return (2 * math.pi * turns.remainder(1.0)).sin()


def power_spectrum_by_matmul(frames: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the squared magnitude of the spectrum of each frame, by two small matrix products instead of an FFT.

    It is for runtimes whose FFT is missing, slow or inexact.

    Args:
        frames: Windowed frames, shape ``(..., samples)``.
        first: The first result of `dft_factors` for ``samples``, in the type of the frames.
        second: The second result of `dft_factors`, in the type of the frames.

    Returns:
        Power, shape ``(..., columns)``: the bins of `power_spectrum` in the order of `DFTFactors`, a few of them twice.

    Example:
        >>> first, second, order = dft_factors(4, 4)
        >>> power = power_spectrum_by_matmul(torch.ones(4), first.float(), second.float())
        >>> [f"{float(power[order == bin]):.1f}" for bin in range(3)]
        ['16.0', '0.0', '0.0']
    """
    rows, half, n2 = first.shape[1], second.shape[0], second.shape[-1] // 2
    if rows * n2 != frames.shape[-1]:
        frames = F.pad(frames, (0, rows * n2 - frames.shape[-1]))
    # Real and imaginary parts of a frequency are neighbors, so these are the rows of the second product already.
    parts = (first @ frames.reshape(-1, rows, n2)).reshape(-1, half, 2 * n2)
    spectrum = (parts.transpose(0, 1) @ second).square()
    power = (spectrum[..., :n2] + spectrum[..., n2:]).transpose(0, 1)
    return power.reshape(*frames.shape[:-1], half * n2)
