"""Synthetic sounds whose class depends on one narrow band, at a frequency where mel filters are wide.

Each clip has noise in several narrow bands, and the level of each band is modulated at one of four rates. The rate of
one band, the target, is the class; the other rates are drawn at random. A filter that is narrow enough and in the right
place contains the target alone, and a wider filter contains a mixture of bands.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Random = np.random.Generator


class Task(NamedTuple):
    """Where the answer lies.

    Attributes:
        target: Center of the band that tells the class, in Hz.
        others: Centers of the other bands, in Hz.
        width: Width of each band in Hz.
        rates: Rate of the modulation of each class in Hz.
        lengths: Settings of a front-end that can resolve the bands, in seconds.
    """

    target: float
    others: tuple[float, ...]
    width: float
    rates: tuple[float, float, float, float]
    lengths: dict[str, float]


TASKS = {
    "planted-high": Task(7200, (6000, 6300, 6600, 6900, 7500, 7800), 200, (3, 6, 12, 24), {}),
    "planted-low": Task(
        120, (40, 80, 160, 200), 24, (2, 4, 7, 12), {"win_length": 0.1, "hop_length": 0.025, "kernel_size": 0.0625}
    ),
}


def plant(
    name: str, sample_rate: int, seconds: float, clips_per_class: int, seed: int
) -> tuple[NDArray[np.float32], list[str]]:
    """Generate a balanced set of clips of a task.

    Args:
        name: A key of `TASKS`.
        sample_rate: Samples per second.
        seconds: Length of a clip.
        clips_per_class: Clips of each class.
        seed: The same seed returns the same clips.

    Returns:
        Clips ``(4 * clips_per_class, time)``, peak one, class after class, and the names of the classes.

    Raises:
        ValueError: If the task does not fit below half of the sample rate.
    """
    task = TASKS[name]
    highest = max(task.target, *task.others) + task.width / 2
    if highest >= sample_rate / 2:
        raise ValueError(f"sample_rate must be more than {2 * highest:g} Hz for {name}, got {sample_rate}")
    clips = [
        make_clip(task, label, sample_rate, round(sample_rate * seconds), np.random.default_rng([seed, label, i]))
        for label in range(len(task.rates))
        for i in range(clips_per_class)
    ]
    return np.stack(clips).astype(np.float32), [f"{rate:g} Hz" for rate in task.rates]


def make_clip(task: Task, label: int, sample_rate: int, length: int, random: Random) -> Signal:
    """Make one clip, shape ``(length,)``: the bands 6 dB above a background, each other one 1 to 7 dB below the target.

    Args:
        task: Where the answer lies.
        label: Class: which of the rates the target has.
        sample_rate: Samples per second.
        length: Samples.
        random: Draws everything else.
    """
    time = np.arange(length) / sample_rate
    sound = _band(task.target, task.width, time, random) * _modulation(task.rates[label], time, random)
    for center in task.others:
        other = _band(center, task.width, time, random) * _modulation(random.choice(task.rates), time, random)
        sound += 10 ** (random.uniform(-7, -1) / 20) * other
    clip = 2 * sound / sound.std() + _background(time, random)
    peak_one: Signal = clip / np.abs(clip).max()
    return peak_one


def _modulation(rate: float, time: Signal, random: Random) -> Signal:
    return 1 + np.sin(2 * np.pi * (rate * time + random.uniform()))


def _band(center: float, width: float, time: Signal, random: Random) -> Signal:
    frequency = np.fft.rfftfreq(len(time), time[1])
    return _noise(np.abs(frequency - center) < width / 2, len(time), random)


def _background(time: Signal, random: Random) -> Signal:
    """Noise whose level falls with frequency by 0 to 3 dB an octave."""
    frequency = np.fft.rfftfreq(len(time), time[1])
    return _noise(np.maximum(frequency, 50.0) ** -random.uniform(0, 0.5), len(time), random)


def _noise(magnitude: Signal | NDArray[np.bool_], length: int, random: Random) -> Signal:
    """Noise of standard deviation one with a spectrum of the given shape."""
    spectrum = random.standard_normal(len(magnitude)) + 1j * random.standard_normal(len(magnitude))
    noise = np.fft.irfft(spectrum * magnitude, length)
    unit: Signal = noise / noise.std()
    return unit
