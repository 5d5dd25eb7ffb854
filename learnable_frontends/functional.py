"""Pure stages of a front-end: framing, spectra, band energies by either route, and the maps of free parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "at_least_float32",
    "band_energies",
    "bounded",
    "conv_energies",
    "dft_bases",
    "even_kernel_response",
    "even_ramp",
    "frame",
    "kernel_response",
    "next_fast_length",
    "ordered",
    "over_blocks",
    "pad_each",
    "power_spectrum",
    "power_spectrum_by_matmul",
    "unbounded",
    "unordered",
    "whole_number",
    "without_autocast",
]


# Samples of frames that a CPU thread transforms at a time: 3 MiB of float32. With 8 clips of 10 s at 44.1 kHz and 80
# filters, forward and backward then take 0.65 of the time of all frames at once, on one thread and on two. Twice as
# much takes as long and 1.4 times the memory; less pays for each call, and with threads for waking them.
BLOCK = 3 * 2**18


def next_fast_length(length: int) -> int:
    """Give the smallest even product of powers of 2, 3 and 5 that is at least ``length``.

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


def frame(
    waveform: Tensor,
    frame_length: int,
    hop_length: int,
    *,
    padding: tuple[int, int] = (0, 0),
    pad_mode: str = "reflect",
    tail: int = 0,
) -> Tensor:
    """Cut a waveform into overlapping frames.

    Args:
        waveform: Samples, shape ``(batch, time)``.
        frame_length: Samples per frame.
        hop_length: Samples from one frame's start to the next.
        padding: Samples added before and after.
        pad_mode: How they are made: a mode of `torch.nn.functional.pad`.
        tail: Zeros added after that, for frames that reach past the window they are multiplied with.

    Returns:
        A view, shape ``(batch, frames, frame_length)``, with ``frames = 1 + (time + sum(padding) + tail -
        frame_length) // hop_length``.

    Example:
        >>> frame(torch.arange(6.0)[None], 4, 2)
        tensor([[[0., 1., 2., 3.],
                 [2., 3., 4., 5.]]])
    """
    before, after = padding
    if pad_mode == "reflect" and before and after:
        # Two flips are up to four times faster than F.pad(mode="reflect").
        head, end = waveform[:, 1 : before + 1].flip(-1), waveform[:, -after - 1 : -1].flip(-1)
        waveform = torch.cat([head, waveform, end, waveform.new_zeros(waveform.shape[0], tail)], dim=-1)
    else:
        if before or after:
            waveform = F.pad(waveform, padding, mode=pad_mode)
        if tail:
            waveform = F.pad(waveform, (0, tail))
    return waveform.unfold(-1, frame_length, hop_length)


def pad_each(waveform: Tensor, lengths: Tensor, padding: tuple[int, int], pad_mode: str) -> Tensor:
    """Pad each clip of a batch at its own end, as if it were alone.

    Args:
        waveform: Shape ``(..., time)``; what lies beyond the length of a clip is not read.
        lengths: Samples of each clip, shape ``(...)``, at most ``time`` and enough for the mode.
        padding: Samples added before and after.
        pad_mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Returns:
        Shape ``(..., time + sum(padding))``: each padded clip, followed by zeros.

    Example:
        >>> pad_each(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([3]), (1, 1), "reflect")
        tensor([[2., 1., 2., 3., 2., 0.]])
    """
    (before, after), time = padding, waveform.shape[-1]
    place = torch.arange(-before, time + after, device=waveform.device)
    length = lengths.to(waveform.device)[..., None]
    kept = place < length + after
    if pad_mode == "reflect":
        source = torch.where(place.abs() < length, place.abs(), 2 * (length - 1) - place)
    elif pad_mode == "circular":
        source = place.remainder(length)
    else:
        source = torch.minimum(place.clamp_min(0), length - 1)
        if pad_mode == "constant":
            kept = (place >= 0) & (place < length)
    samples = waveform.gather(-1, source.clamp(0, time - 1))
    return samples.masked_fill(~kept, 0.0)


def over_blocks(function: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Apply a function of frames to blocks of them, so that spectra are never all in memory.

    On a CPU only; elsewhere, and in `torch.compile` and `torch.export`, there is one block.

    Args:
        function: From ``(batch, frames, samples)`` to ``(batch, n_filters, frames)``, frame by frame.
        frames: Shape ``(batch, frames, samples)``.

    Returns:
        What ``function(frames)`` gives.

    Example:
        >>> over_blocks(lambda frames: frames.transpose(1, 2), torch.zeros(2, 5, 3)).shape
        torch.Size([2, 3, 5])
    """
    if torch.compiler.is_compiling() or frames.device.type != "cpu":
        return function(frames)
    blocks = -(-frames.numel() // (BLOCK * torch.get_num_threads()))
    if blocks <= 1:
        return function(frames)
    return torch.cat([function(block) for block in frames.split(-(-frames.shape[1] // blocks), dim=1)], dim=-1)


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
        frames = F.pad(frames, (0, n_fft - frames.shape[-1]))  # twice as fast as rfft(n=n_fft)
        window = None if window is None else F.pad(window, (0, n_fft - window.shape[-1]))
    spectrum = torch.fft.rfft(frames if window is None else frames * window)
    # Squaring real and imaginary parts in place, then adding them, is the fastest of the equal ways and takes the least
    # memory: nothing else holds the spectrum.
    real, imag = torch.view_as_real(spectrum).square_().unbind(-1)
    power: Tensor = real + imag
    return power


def dft_bases(samples: int, n_fft: int) -> Tensor:
    """Give the matrices of `power_spectrum_by_matmul`.

    Args:
        samples: Samples of each frame.
        n_fft: Transform length in samples.

    Returns:
        Cosines and sines about the middle of a frame for half of it, shape ``(2, (samples + 1) // 2, n_fft // 2 +
        1)``, float64.

    Example:
        >>> dft_bases(2, 4)[0].square().round(decimals=4)
        tensor([[1.0000, 0.5000, 0.0000]], dtype=torch.float64)
    """
    time = torch.arange(-(-samples // 2), dtype=torch.float64) - (samples - 1) / 2
    phase = (2 * math.pi / n_fft) * torch.outer(time, torch.arange(n_fft // 2 + 1, dtype=torch.float64))
    bases = torch.stack([phase.cos(), phase.sin()])
    if samples % 2:
        bases[0, -1] /= 2  # the middle sample meets itself
    return bases


def power_spectrum_by_matmul(frames: Tensor, bases: Tensor) -> Tensor:
    """Squared magnitude of the one-sided spectrum of each frame, by two matrix products in place of an FFT.

    For runtimes whose FFT is missing, slow or inexact. Folded about its middle a frame has an even and an odd part,
    half as long, which meet cosines and sines alone.

    Args:
        frames: Windowed, shape ``(..., samples)``.
        bases: What `dft_bases` gives for ``samples``, of the type of the frames.

    Returns:
        Power, shape ``(..., n_fft // 2 + 1)``, as `power_spectrum`.

    Example:
        >>> power_spectrum_by_matmul(torch.ones(4), dft_bases(4, 4).float()).round(decimals=5).abs()
        tensor([16.,  0.,  0.])
    """
    half = bases.shape[1]
    before, after = frames[..., :half], frames[..., -half:].flip(-1)
    power: Tensor = ((before + after) @ bases[0]).square() + ((before - after) @ bases[1]).square()
    return power


def kernel_response(kernels: Tensor, n_fft: int) -> Tensor:
    """Power gain of FIR filters at the bins of a transform.

    Args:
        kernels: Impulse responses, shape ``(n_filters, kernel_size)``.
        n_fft: Transform length in samples, at least ``kernel_size``: a shorter one would cut the kernels.

    Returns:
        Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``.

    Raises:
        ValueError: If ``n_fft`` is smaller than the kernels.

    Example:
        >>> kernel_response(torch.tensor([[1.0, 1.0]]), 2)
        tensor([[4., 0.]])
    """
    if n_fft < kernels.shape[-1]:
        raise ValueError(f"n_fft must be at least kernel_size={kernels.shape[-1]}, got {n_fft}")
    return power_spectrum(kernels, n_fft)


def even_kernel_response(half_kernels: Tensor, n_fft: int) -> Tensor:
    """Power gain of FIR filters that are even about their middle tap, from that tap and those after it.

    With the middle at time zero the response is real, which takes half the time of `kernel_response`, forward and
    backward.

    Args:
        half_kernels: Shape ``(n_filters, (kernel_size + 1) // 2)``, the middle tap first.
        n_fft: Even transform length in samples, at least ``kernel_size``.

    Returns:
        Squared magnitude response, shape ``(n_filters, n_fft // 2 + 1)``.

    Raises:
        ValueError: If ``n_fft`` is smaller than the kernels.

    Example:
        >>> even_kernel_response(torch.tensor([[2.0, 1.0]]), 4)  # the kernel 1, 2, 1
        tensor([[16.,  4.,  0.]])
    """
    kernel_size = 2 * half_kernels.shape[-1] - 1
    if n_fft < kernel_size:
        raise ValueError(f"n_fft must be at least kernel_size={kernel_size}, got {n_fft}")
    # This is hfft(half_kernels, n_fft) without its complex padding, which the ONNX exporter does not know: zeros become
    # the imaginary part and the higher taps.
    padded = F.pad(half_kernels[..., None], (0, 1, 0, n_fft // 2 + 1 - half_kernels.shape[-1]))
    spectrum = torch.view_as_complex(padded)
    response: Tensor = torch.fft.irfft(spectrum, n=n_fft, norm="forward")[:, : n_fft // 2 + 1].square()
    return response


def band_energies(power: Tensor, response: Tensor) -> Tensor:
    """Weight the power spectrum of each frame by each filter's response and sum over frequency.

    Args:
        power: Shape ``(..., frames, bins)``.
        response: Shape ``(n_filters, bins)``.

    Returns:
        Energies, shape ``(..., n_filters, frames)``.

    Example:
        >>> band_energies(torch.ones(5, 3), torch.ones(2, 3)).shape
        torch.Size([2, 5])
    """
    return F.linear(power, response).transpose(-1, -2)


def conv_energies(frames: Tensor, kernels: Tensor, padding: str) -> Tensor:
    """Mean square of each frame convolved with each kernel, in the time domain: the literal, slow reference.

    It writes ``frames x n_filters x samples`` numbers. With ``padding="full"`` Parseval's theorem gives the same from
    one FFT per frame (`power_spectrum`, `kernel_response`, `band_energies`).

    Args:
        frames: Windowed frames, shape ``(batch, frames, samples)``.
        kernels: Impulse responses, shape ``(n_filters, kernel_size)``.
        padding: ``"full"`` for all ``samples + kernel_size - 1`` outputs, ``"valid"`` for the ``samples -
            kernel_size + 1`` that see the whole kernel.

    Returns:
        Energies, shape ``(batch, n_filters, frames)``.

    Example:
        >>> conv_energies(torch.ones(1, 1, 2), torch.ones(1, 2), "full")  # 1, 2, 1
        tensor([[[2.]]])
    """
    batch, n_frames, samples = frames.shape
    flat = frames.reshape(batch * n_frames, 1, samples)
    if padding == "full":
        # Padding first: conv1d(padding=...) is up to twice as slow, and for some sizes far slower.
        flat = F.pad(flat, (kernels.shape[-1] - 1, kernels.shape[-1] - 1))
    # conv1d correlates; flipping makes it a convolution, so that kernels need not be even.
    outputs: Tensor = F.conv1d(flat, kernels.flip(-1)[:, None])
    return outputs.square().mean(-1).reshape(batch, n_frames, -1).transpose(1, 2)


def bounded(raw: Tensor, low: float, high: float) -> Tensor:
    """Map a free parameter smoothly and monotonically into ``[low, high]``.

    Args:
        raw: Any values.
        low: Value for minus infinity.
        high: Value for plus infinity.

    Returns:
        ``low + (high - low) * sigmoid(raw)``, shaped like ``raw``.

    Example:
        >>> bounded(torch.tensor([0.0]), 2.0, 4.0)
        tensor([3.])
    """
    return low + (high - low) * torch.sigmoid(raw)


def unbounded(value: Tensor, low: float, high: float) -> Tensor:
    """Give the free parameter that `bounded` maps to ``value``.

    Args:
        value: Numbers strictly between ``low`` and ``high``.
        low: As in `bounded`.
        high: As in `bounded`.

    Returns:
        The logit of the position of ``value`` between the bounds.

    Example:
        >>> unbounded(torch.tensor([3.0]), 2.0, 4.0)
        tensor([0.])
    """
    return torch.logit((value - low) / (high - low))


# Share of the band that an even ramp takes, so that filters stay strictly apart whatever the optimiser does: at least
# 0.27 Hz between 80 centers below 22.05 kHz, over a hundred times the spacing of float32 there.
RAMP_SHARE = 1e-3


def ordered(positions: Tensor, ramp: Tensor) -> Tensor:
    """Spread ascending positions so that they are strictly apart and strictly inside (0, 1), smoothly.

    Args:
        positions: Numbers in [0, 1], not descending, shape ``(n,)``.
        ramp: What `even_ramp` gives for ``n``.

    Returns:
        ``0.999 * positions + ramp``.

    Example:
        >>> ordered(torch.tensor([0.0, 1.0, 1.0]), even_ramp(3).float())
        tensor([2.5000e-04, 9.9950e-01, 9.9975e-01])
    """
    return torch.add(ramp, positions, alpha=1.0 - RAMP_SHARE)


def unordered(positions: Tensor, ramp: Tensor) -> Tensor:
    """Undo `ordered`.

    Args:
        positions: What `ordered` returned, shape ``(n,)``.
        ramp: As given to `ordered`.

    Returns:
        The positions before spreading.

    Example:
        >>> ramp = even_ramp(2).float()
        >>> unordered(ordered(torch.tensor([0.25, 0.5]), ramp), ramp)
        tensor([0.2500, 0.5000])
    """
    return (positions - ramp) / (1.0 - RAMP_SHARE)


def even_ramp(n: int, offset: float = 0.0) -> Tensor:
    """Give ``n`` evenly spaced numbers strictly inside (0, 0.001), for `ordered`.

    Args:
        n: How many.
        offset: Moves them by this part of a step, between -1 and 1 (to keep the two edges of one filter apart).

    Returns:
        ``0.001 * (i + offset) / (n + 1)`` for ``i = 1 ... n``, float64.

    Example:
        >>> even_ramp(3)
        tensor([0.0003, 0.0005, 0.0008], dtype=torch.float64)
    """
    return RAMP_SHARE * (torch.arange(1, n + 1, dtype=torch.float64) + offset) / (n + 1)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Give a tensor in its own type, or in float32 if that is a smaller floating-point type.

    Args:
        tensor: Any shape.

    Returns:
        ``tensor`` itself where nothing has to change.

    Example:
        >>> at_least_float32(torch.ones(2, dtype=torch.float16)).dtype
        torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Keep autocast out of a block: squares of spectra leave the range of float16.

    Args:
        device_type: ``"cpu"``, ``"cuda"``, ...

    Returns:
        A context manager; where autocast is off it does nothing, so that traces without it stay plain.

    Example:
        >>> with torch.autocast("cpu"), without_autocast("cpu"):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    if device_type != "meta" and torch.is_autocast_enabled(device_type):  # tensors without values know no autocast
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def whole_number(name: str, value: float, least: int = 1) -> int:
    """Check that an argument is a whole number, ``least`` or more.

    Args:
        name: Its name, for the message.
        value: What was given; a float will do if it is whole.
        least: The smallest allowed.

    Returns:
        The number as an ``int``.

    Raises:
        TypeError: If ``value`` is not a whole number.
        ValueError: If it is smaller than ``least``.

    Example:
        >>> whole_number("win_length", 2048.0)
        2048
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)
