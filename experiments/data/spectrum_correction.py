"""Spectrum correction: a filter that matches the average spectrum of other devices to that of a reference device."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
from scipy.signal import firwin2, stft

from experiments.data.catalog import Catalog

PAIRS = 150  # as published
REFERENCE = "a"  # device


def fit(pairs: Iterable[tuple[np.ndarray, np.ndarray]], n_fft: int = 2048) -> np.ndarray:
    """Estimate the correction from recordings of the same sound by two devices.

    Args:
        pairs: Reference and other recording, shape ``(time,)`` each, at the same rate; ``n_fft`` samples or more.
        n_fft: Samples of a transform.

    Returns:
        Taps of a symmetric filter, shape ``(n_fft + 1,)``: its gain is the mean over pairs of the ratio of the two
        average magnitude spectra, and its delay half of its length.

    Raises:
        ValueError: If there are no pairs.

    Source: Nguyen, Pernkopf and Kosmider, "Acoustic scene classification for mismatched recording devices using
    heated-up softmax and spectrum correction", ICASSP 2020.
    """
    ratios = []
    for reference, other in pairs:
        spectra = [np.abs(stft(signal, nperseg=n_fft)[2]).mean(axis=-1) for signal in (reference, other)]
        ratios.append(spectra[0] / np.maximum(spectra[1], 1e-3 * spectra[1].max() + 1e-12))
    if not ratios:
        raise ValueError("pairs must hold one pair or more of recordings of the same sound, got none")
    gain = np.mean(ratios, axis=0)
    taps: np.ndarray = firwin2(n_fft + 1, np.linspace(0, 1, len(gain)), gain).astype(np.float32)
    return taps


def correction(catalog: Catalog, read: Callable[[int], np.ndarray]) -> np.ndarray | None:
    """Estimate the correction to the reference device from a data set's training clips.

    Args:
        catalog: The data set.
        read: Returns the waveform of a clip by its index.

    Returns:
        What `fit` returns, or ``None`` if no two devices recorded at once.
    """
    pairs = parallel_clips(catalog)
    return fit((read(i), read(k)) for i, k in pairs) if pairs else None


def parallel_clips(catalog: Catalog, reference: str = REFERENCE, fold: str = "train") -> list[tuple[int, int]]:
    """Find clips of the same sound by two devices: names that differ in the device alone.

    Args:
        catalog: Clips whose file names end in ``-<device>``.
        reference: The device to correct to.
        fold: Where to look.

    Returns:
        Indices of the reference's clip and of the other's, at most `PAIRS`, chosen at random but always the same.
    """
    takes: dict[str, dict[str, int]] = defaultdict(dict)
    for i, clip in enumerate(catalog.clips):
        if clip.fold == fold:
            takes[re.sub(r"-\w+$", "", clip.path.stem)][clip.device] = i
    found = [
        (devices[reference], i)
        for _, devices in sorted(takes.items())
        if reference in devices
        for device, i in sorted(devices.items())
        if device != reference
    ]
    # At random: at regular distances they could all be of one device.
    order = np.random.default_rng(0).permutation(len(found))[:PAIRS]
    return [found[i] for i in sorted(order)]
