"""What may lie between a sound and its recording: noise, a band, a microphone's response, another speed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfiltfilt

Signal = NDArray[np.float64]
Change = Callable[[Signal, int, int], Signal]  # of a clip at a sample rate, from a seed


def noisy(clip: Signal, sample_rate: int, seed: int, decibels: float) -> Signal:  # noqa: ARG001 - all take the same
    """Add white noise at a ratio of mean powers in dB."""
    noise = np.random.default_rng(seed).standard_normal(len(clip))
    noisy_clip: Signal = clip + noise * np.sqrt(np.square(clip).mean() * 10 ** (-decibels / 10))
    return noisy_clip


def filtered(clip: Signal, sample_rate: int, seed: int, low: float, high: float) -> Signal:  # noqa: ARG001
    """Pass a band in Hz, with a Butterworth filter of fourth order forwards and backwards; ``low`` 0 is a low-pass.

    What lies above half of the sample rate is not there: a higher end does nothing.
    """
    edges = [edge for edge in (low, high) if 0 < edge < sample_rate / 2]
    if not edges:
        return clip
    kind = "bandpass" if len(edges) == 2 else "lowpass" if low == 0 else "highpass"
    passed: Signal = sosfiltfilt(butter(4, np.squeeze(edges), kind, fs=sample_rate, output="sos"), clip)
    return passed


def colored(clip: Signal, sample_rate: int, seed: int, decibels: float) -> Signal:  # noqa: ARG001
    """Change levels over frequency as another microphone would: a sine over three octaves, 0 dB at 1 kHz."""
    frequencies = np.fft.rfftfreq(len(clip), 1 / sample_rate)
    octaves = np.log2(np.maximum(frequencies, 20.0) / 1000)
    gains = 10 ** (decibels * np.sin(2 * np.pi * octaves / 3) / 20)
    return np.fft.irfft(gains * np.fft.rfft(clip), len(clip))


def faster(clip: Signal, sample_rate: int, seed: int, percent: int) -> Signal:  # noqa: ARG001
    """Play faster, so that all frequencies are higher, and fill with zeros to the length of before: ``(..., time)``."""
    fast = resample_poly(clip, 100, 100 + percent, axis=-1)
    return np.pad(fast, [(0, 0)] * (clip.ndim - 1) + [(0, clip.shape[-1] - fast.shape[-1])])
