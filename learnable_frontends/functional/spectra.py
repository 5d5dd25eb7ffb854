"""Power spectra of frames and power responses of kernels, computed by FFTs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "even_kernel_response",
    "kernel_response",
    "next_fast_length",
    "power_spectrum",
    "to_power",
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
    """Return the squared magnitude of the one-sided spectrum of each frame; only real numbers leave the FFT.

    Args:
        frames: Shape ``(..., samples)``, at most ``n_fft`` samples each.
        n_fft: Transform length in samples; shorter frames are zero-padded.
        window: Factor of each sample, shape ``(samples,)``; ``None`` for frames that are windowed already. Passing it
            saves memory: the windowed frames, as large as the spectrum, are freed before the spectrum is squared.

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
    # Squaring real and imaginary parts in place and adding them is the fastest of the equivalent ways and takes the
    # least memory. Nothing else refers to the spectrum.
    real, imag = torch.view_as_real(spectrum).square_().unbind(-1)
    power: Tensor = real + imag
    return power


def to_power(power: Tensor, exponent: float, offset: float = 0.0) -> Tensor:
    """Return magnitudes raised to an exponent other than two, given their squares.

    Args:
        power: Squared magnitudes, any shape.
        exponent: Exponent of the magnitudes: 2 leaves them squared, 1 takes the root.
        offset: Number that is added to the squares before that.

    Returns:
        Magnitudes raised to the exponent, shaped like ``power``.

    Example:
        >>> to_power(torch.tensor([4.0, 9.0]), 1.0)
        tensor([2., 3.])
    """
    if offset:
        power = power + offset
    if exponent == 2.0:
        return power
    # The floor keeps the gradient finite in silence.
    power = power.clamp_min(torch.finfo(power.dtype).tiny)
    return power.sqrt() if exponent == 1.0 else power.pow(exponent / 2)


def kernel_response(kernels: Tensor, n_fft: int) -> Tensor:
    """Return the power gain of FIR filters at the bins of a transform.

    Args:
        kernels: Impulse responses, shape ``(n_filters, kernel_size)``.
        n_fft: Transform length in samples. Longer kernels are folded, which is exact: the transform of the sum of their
            pieces is their response at these bins.

    Returns:
        Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``.

    Example:
        >>> kernel_response(torch.tensor([[1.0, 1.0, 2.0]]), 2)
        tensor([[16.,  4.]])
    """
    return power_spectrum(_folded(kernels, n_fft) if kernels.shape[-1] > n_fft else kernels, n_fft)


def even_kernel_response(half_kernels: Tensor, n_fft: int, half_quadrature: Tensor | None = None) -> Tensor:
    """Return the power gain of FIR filters that are even about their middle tap, given half of their taps.

    With the middle tap at time zero the response is real, so half of each kernel is enough. A second kernel that is odd
    about its middle tap, which is zero, costs nothing more, since it takes the place of the imaginary part.

    Args:
        half_kernels: The middle tap and those after it, shape ``(n_filters, (kernel_size + 1) // 2)``.
        n_fft: Even transform length in samples. Longer kernels are folded, as in `kernel_response`.
        half_quadrature: Halves of odd kernels, of the same shape, whose power gain is added; ``None`` means none.

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
    if half_kernels.shape[-1] == bins:  # the last tap meets its image; in odd kernels they cancel, and irfft drops both
        parts = torch.cat([parts[:, :-1], 2 * parts[:, -1:]], dim=1)
    elif half_kernels.shape[-1] > bins:
        # Folding adds a tap to images of others, so that each place has the sum of both, or the difference for odd
        # kernels. The middle tap is its own image and counts once.
        period = _folded(torch.cat([parts[:, :1] / 2, parts[:, 1:]], dim=1), n_fft)
        images = torch.cat([period[:, :1], period[:, bins - 1 :].flip(1)], dim=1)
        parts = period[:, :bins] + torch.cat([images[..., :1], -images[..., 1:]], dim=-1)
    # This is hfft without complex padding, which the ONNX exporter does not support: zeros are appended as higher taps,
    # and as the imaginary part if there is none.
    padded = F.pad(parts, (0, 2 - parts.shape[-1], 0, bins - parts.shape[1]))
    response: Tensor = torch.fft.irfft(torch.view_as_complex(padded.contiguous()), n=n_fft, norm="forward").square()
    if half_quadrature is None:
        return response[:, :bins]
    # The response is the sum of the even and the odd part at a frequency, and their difference at minus that frequency.
    negative = torch.cat([response[:, :1], response[:, bins - 1 :].flip(-1)], dim=-1)
    power: Tensor = (response[:, :bins] + negative) / 2
    return power


def _folded(kernels: Tensor, period: int) -> Tensor:
    """Return the sum of the pieces of ``period`` taps of each kernel: ``(n_filters, period, ...)``."""
    pieces = -(-kernels.shape[1] // period)
    padded = torch.cat(
        [kernels, kernels.new_zeros(len(kernels), pieces * period - kernels.shape[1], *kernels.shape[2:])], 1
    )
    folded: Tensor = padded.unflatten(1, (pieces, period)).sum(1)
    return folded
