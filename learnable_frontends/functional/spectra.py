"""Power spectra of frames and power responses of kernels, by FFTs or matrix products."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "DFTFactors",
    "dft_factors",
    "even_kernel_response",
    "kernel_response",
    "next_fast_length",
    "power_spectrum",
    "power_spectrum_by_matmul",
]


def next_fast_length(length: int) -> int:
    """Return the smallest even product of powers of 2, 3 and 5 that is at least ``length``.

    Args:
        length: A transform length in samples, positive.

    Returns:
        A length in samples for which a real FFT is fast.

    Example:
        >>> next_fast_length(2752)
        2880
    """
    candidate = max(2, length + length % 2)
    while True:
        rest = candidate
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return candidate
        candidate += 2


def power_spectrum(frames: Tensor, n_fft: int, window: Tensor | None = None) -> Tensor:
    """Squared magnitude of the one-sided spectrum of each frame; only real arithmetic leaves the FFT.

    Args:
        frames: Shape ``(..., samples)``, at most ``n_fft`` samples each.
        n_fft: Transform length in samples; shorter frames are zero-padded.
        window: Factor of each sample, shape ``(samples,)``; ``None`` for frames that are windowed already. Given here,
            the windowed frames, as large as the spectrum, are gone before its square is made.

    Returns:
        Power, shape ``(..., n_fft // 2 + 1)``.

    Example:
        >>> power_spectrum(torch.ones(4), 4)
        tensor([16.,  0.,  0.])
    """
    if frames.shape[-1] != n_fft:
        frames = F.pad(frames, (0, n_fft - frames.shape[-1]))  # faster than rfft(n=n_fft)
        window = None if window is None else F.pad(window, (0, n_fft - window.shape[-1]))
    spectrum = torch.fft.rfft(frames if window is None else frames * window)
    # Squaring real and imaginary parts in place, then adding them, is the fastest of the equal ways and takes the least
    # memory: nothing else holds the spectrum.
    real, imag = torch.view_as_real(spectrum).square_().unbind(-1)
    power: Tensor = real + imag
    return power


class DFTFactors(NamedTuple):
    """The matrices of `power_spectrum_by_matmul`, float64.

    Attributes:
        first: Transforms of a part of the samples: real and imaginary parts of ``n1 // 2 + 1`` frequencies in turn,
            shape ``(2 * (n1 // 2 + 1), rows)``.
        second: For each of these frequencies, the transform of the rest and the twiddle factors between the two, shape
            ``(n1 // 2 + 1, 2 * n2, 2 * n2)``.
        order: The bin of each column of the power spectrum, or ``n_fft // 2 + 1`` for a column that is another one's
            mirror image, shape ``((n1 // 2 + 1) * n2,)``, whole numbers.
    """

    first: Tensor
    second: Tensor
    order: Tensor


def dft_factors(samples: int, n_fft: int) -> DFTFactors:
    """Return the matrices of `power_spectrum_by_matmul`.

    A transform of ``n_fft = n1 * n2`` samples is ``n2`` transforms of ``n1`` samples, factors of unit magnitude, and
    ``n1`` transforms of ``n2`` samples. Of real samples half of the latter are enough: the others mirror them. The two
    lengths are those with the fewest multiplications.

    Args:
        samples: Samples of each frame, at most ``n_fft``.
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
    """Squared magnitude of the spectrum of each frame, by two small matrix products in place of an FFT.

    For runtimes whose FFT is missing, slow or inexact.

    Args:
        frames: Windowed, shape ``(..., samples)``.
        first: As `dft_factors` returns it for ``samples``, of the type of the frames.
        second: Likewise.

    Returns:
        Power, shape ``(..., columns)``: the bins of `power_spectrum` in the order of `DFTFactors`, and a few twice.

    Example:
        >>> first, second, order = dft_factors(4, 4)
        >>> power = power_spectrum_by_matmul(torch.ones(4), first.float(), second.float())
        >>> [f"{float(power[order == bin]):.1f}" for bin in range(3)]
        ['16.0', '0.0', '0.0']
    """
    rows, half, n2 = first.shape[1], second.shape[0], second.shape[-1] // 2
    if rows * n2 != frames.shape[-1]:
        frames = F.pad(frames, (0, rows * n2 - frames.shape[-1]))
    # Real and imaginary parts of a frequency are neighbors: rows of the second product as they are.
    parts = (first @ frames.reshape(-1, rows, n2)).reshape(-1, half, 2 * n2)
    spectrum = (parts.transpose(0, 1) @ second).square()
    power = (spectrum[..., :n2] + spectrum[..., n2:]).transpose(0, 1)
    return power.reshape(*frames.shape[:-1], half * n2)


def kernel_response(kernels: Tensor, n_fft: int) -> Tensor:
    """Power gain of FIR filters at the bins of a transform.

    Args:
        kernels: Impulse responses, shape ``(n_filters, kernel_size)``.
        n_fft: Transform length in samples. Kernels that are longer are folded, which is exact: the transform of the
            sum of their pieces is their response at these bins.

    Returns:
        Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``.

    Example:
        >>> kernel_response(torch.tensor([[1.0, 1.0, 2.0]]), 2)
        tensor([[16.,  4.]])
    """
    return power_spectrum(_folded(kernels, n_fft) if kernels.shape[-1] > n_fft else kernels, n_fft)


def even_kernel_response(half_kernels: Tensor, n_fft: int, half_quadrature: Tensor | None = None) -> Tensor:
    """Power gain of FIR filters that are even about their middle tap, from that tap and those after it.

    With the middle at time zero the response is real, so that half of each kernel is enough, and a second one that is
    odd about its middle, where it is zero, costs nothing: it takes the place of the imaginary part.

    Args:
        half_kernels: Shape ``(n_filters, (kernel_size + 1) // 2)``, the middle tap first.
        n_fft: Even transform length in samples. Longer kernels are folded, as in `kernel_response`.
        half_quadrature: Halves of odd kernels, of the same shape, whose power gain is added; ``None`` for none.

    Returns:
        Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``.

    Example:
        >>> even_kernel_response(torch.tensor([[2.0, 1.0]]), 4)  # the kernel 1, 2, 1
        tensor([[16.,  4.,  0.]])
    """
    parts = half_kernels[..., None]
    if half_quadrature is not None:
        parts = torch.stack([half_kernels, -half_quadrature], dim=-1)
    bins = n_fft // 2 + 1
    if half_kernels.shape[-1] == bins:  # the last tap and its image meet; of odd kernels they cancel, and irfft knows
        parts = torch.cat([parts[:, :-1], 2 * parts[:, -1:]], dim=1)
    elif half_kernels.shape[-1] > bins:
        # A tap and its image on the other side are a period apart in the end, so each place has the sum of both, of odd
        # kernels the difference; the middle tap is its own image and counts once.
        period = _folded(torch.cat([parts[:, :1] / 2, parts[:, 1:]], dim=1), n_fft)
        images = torch.cat([period[:, :1], period[:, bins - 1 :].flip(1)], dim=1)
        parts = period[:, :bins] + torch.cat([images[..., :1], -images[..., 1:]], dim=-1)
    # This is hfft without its complex padding, which the ONNX exporter does not know: zeros become the higher taps, and
    # the imaginary part where there is none.
    padded = F.pad(parts, (0, 2 - parts.shape[-1], 0, bins - parts.shape[1]))
    response: Tensor = torch.fft.irfft(torch.view_as_complex(padded.contiguous()), n=n_fft, norm="forward").square()
    if half_quadrature is None:
        return response[:, :bins]
    # The even part plus the odd one at each frequency, and less it at the negative frequency.
    negative = torch.cat([response[:, :1], response[:, bins - 1 :].flip(-1)], dim=-1)
    power: Tensor = (response[:, :bins] + negative) / 2
    return power


def _folded(kernels: Tensor, period: int) -> Tensor:
    """Sum the pieces of ``period`` taps that kernels consist of: ``(n_filters, taps, ...)``."""
    pieces = -(-kernels.shape[1] // period)
    padded = torch.cat(
        [kernels, kernels.new_zeros(len(kernels), pieces * period - kernels.shape[1], *kernels.shape[2:])], 1
    )
    folded: Tensor = padded.unflatten(1, (pieces, period)).sum(1)
    return folded
