"""Power spectra of frames and power responses of kernels, by FFTs."""

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


def to_power(power: Tensor, exponent: float, offset: float = 0.0) -> Tensor:
    """Raise magnitudes to another power than two.

    Args:
        power: Squared magnitudes, any shape.
        exponent: Of the magnitudes: 2 leaves them squared, 1 takes the root.
        offset: Added to the squares before.

    Returns:
        Shaped like ``power``.

    Example:
        >>> to_power(torch.tensor([4.0, 9.0]), 1.0)
        tensor([2., 3.])
    """
    if offset:
        power = power + offset
    if exponent == 2.0:
        return power
    # The floor keeps the gradient of silence finite.
    power = power.clamp_min(torch.finfo(power.dtype).tiny)
    return power.sqrt() if exponent == 1.0 else power.pow(exponent / 2)


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
