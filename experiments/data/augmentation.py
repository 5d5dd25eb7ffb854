"""Augmentation of waveforms as in the paper: pitch, speed, noise, mixtures of one class, spectrum correction."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from scipy.signal import fftconvolve


class WaveformAugmentation:
    """Change a training waveform at random, the same way whenever an epoch is run.

    Each kind of change is made with the same probability, in this order: spectrum correction, mixing with a clip of the
    same class, speed, pitch, noise. Pitch and noise are audiomentations', and speed is the library's that its own is
    made with. The length stays: a slowed-down clip is cut where the input ended, a sped-up one is repeated.

    Args:
        sample_rate: Samples per second.
        pitch: Largest shift in semitones, up or down; 0 for none.
        speed: Smallest and largest factor of the speed, the pitch unchanged; ``(1, 1)`` for none.
        noise: Largest standard deviation of added noise, for a peak of one; 0 for none.
        mix: Smallest and largest weight of the clip itself against one of its class; ``(1, 1)`` for none.
        correction: Taps of a filter, as `experiments.data.spectrum_correction.fit` returns; ``None`` for none.
        probability: Of each kind.
        seed: Of all choices, together with epoch and clip.

    Raises:
        ValueError: If a range is empty or out of bounds.

    Source: Dutta et al. 2021, section 4.1, and the constants of its published code.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        pitch: float = 4.0,
        speed: tuple[float, float] = (0.5, 2.0),
        noise: float = 0.01,
        mix: tuple[float, float] = (0.5, 1.0),
        correction: np.ndarray | None = None,
        probability: float = 0.5,
        seed: int = 0,
    ) -> None:
        if not 0 <= pitch <= 24:
            raise ValueError(f"pitch must be 0 to 24 semitones, got {pitch}")
        if not 0.1 <= speed[0] <= speed[1] <= 10:
            raise ValueError(f"speed must be two ascending factors from 0.1 to 10, got {speed}")
        if not 0 <= mix[0] <= mix[1] <= 1:
            raise ValueError(f"mix must be two ascending weights from 0 to 1, got {mix}")
        if not noise >= 0:
            raise ValueError(f"noise must be at least 0, got {noise}")
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be 0 to 1, got {probability}")
        self.sample_rate, self.pitch, self.speed, self.noise, self.mix = sample_rate, pitch, speed, noise, mix
        self.correction, self.probability, self.seed = correction, probability, seed

    def __call__(
        self,
        waveform: np.ndarray,
        *,
        epoch: int,
        index: int,
        same_class: Callable[[], np.ndarray] | None = None,
        correct: bool = True,
    ) -> np.ndarray:
        """Change one waveform.

        Args:
            waveform: Shape ``(time,)``, float32.
            epoch: Number of the epoch, or of the copy.
            index: Number of the clip.
            same_class: Returns another waveform of its class; ``None`` leaves mixing out.
            correct: Whether spectrum correction may be applied: not to recordings of the reference device.

        Returns:
            Shape ``(time,)``, float32. It depends on the waveforms, seed, epoch and index only.
        """
        # Imported here: it loads slowly, and only training needs it.
        from audiomentations import AddGaussianNoise, PitchShift
        from python_stretch import Signalsmith

        choice = np.random.default_rng((self.seed, epoch, index))
        length = len(waveform)
        chosen = choice.random(5) < self.probability
        weight = choice.uniform(*self.mix)
        if self.correction is not None and correct and chosen[0]:
            half = len(self.correction) // 2
            waveform = fftconvolve(waveform, self.correction)[half : half + length]
        if same_class is not None and chosen[1] and weight < 1:
            waveform = weight * waveform + (1 - weight) * fit_length(same_class(), length)
        waveform = waveform.astype(np.float32)
        with _seeded(int(choice.integers(2**32))):
            if chosen[2] and self.speed != (1, 1):
                # audiomentations' TimeStretch does not seed this, whose phases are random at a factor of 0.5 and below.
                stretch = Signalsmith.Stretch(int(choice.integers(2**31)))
                stretch.preset(1, self.sample_rate)
                stretch.setTimeFactor(choice.uniform(*self.speed))
                waveform = fit_length(np.asarray(stretch.process(waveform[np.newaxis]))[0], length)
            if chosen[3] and self.pitch:
                shift = PitchShift(-self.pitch, self.pitch, p=1.0)
                waveform = fit_length(shift(waveform, self.sample_rate), length)
            if chosen[4] and self.noise:
                peak = max(float(np.abs(waveform).max()), 1e-12)
                add = AddGaussianNoise(1e-6 * self.noise, self.noise, p=1.0)
                waveform = peak * add(waveform / peak, self.sample_rate)
        return waveform.astype(np.float32)


def fit_length(waveform: np.ndarray, length: int) -> np.ndarray:
    """Cut a waveform at the end, or repeat it, to ``length`` samples."""
    return np.resize(waveform, length)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let audiomentations, which draws from the global generators, draw the same, and leave these as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
