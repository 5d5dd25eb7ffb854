"""Ten synthetic classes of urban sounds, named after those of UrbanSound8K: deterministic, and made without any files.

Pitch, timing, timbre and level are drawn for every clip. Each clip has colored background noise at a random
signal-to-noise ratio, and a quieter sound of another class.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Random = np.random.Generator


def synthesize(
    sample_rate: int, seconds: float, clips_per_class: int, seed: int
) -> tuple[NDArray[np.float32], list[str]]:
    """Generate a balanced set of clips.

    Args:
        sample_rate: Samples per second.
        seconds: Length of a clip.
        clips_per_class: Clips of each class.
        seed: The same seed returns the same clips.

    Returns:
        Clips ``(10 * clips_per_class, time)``, peak below one, class after class, and the names of the classes.
    """
    names = list(SOUNDS)
    clips = [
        make_clip(name, sample_rate, int(sample_rate * seconds), np.random.default_rng([seed, label, i]))
        for label, name in enumerate(names)
        for i in range(clips_per_class)
    ]
    return np.stack(clips).astype(np.float32), names


def make_clip(name: str, sample_rate: int, length: int, random: Random) -> Signal:
    """Make one clip of a class of `SOUNDS`, shape ``(length,)``, peak below one."""
    time = np.arange(length) / sample_rate
    event = _unit(SOUNDS[name](time, random))
    others = [other for other in SOUNDS if other != name]
    distractor = _unit(SOUNDS[str(random.choice(others))](time, random))
    background = _unit(_colored_noise(length, random.uniform(0.0, 2.0), random))
    clip = event + _gain(random.uniform(-8, 0)) * distractor + _gain(random.uniform(-6, 14)) * background
    return clip / (np.abs(clip).max() + 1e-4)


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _unit(signal: Signal) -> Signal:
    unit: Signal = signal / (np.sqrt(np.mean(signal**2)) + 1e-9)
    return unit


def _colored_noise(length: int, slope: float, random: Random) -> Signal:
    """Noise whose power falls with frequency to the power of ``slope``."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    return np.fft.irfft(spectrum * np.arange(1, len(spectrum) + 1) ** (-slope / 2), length)


def _band_noise(time: Signal, low: float, high: float, random: Random) -> Signal:
    spectrum = np.fft.rfft(random.standard_normal(len(time)))
    frequency = np.fft.rfftfreq(len(time), time[1] - time[0])
    shape = 1 / (1 + (low / (frequency + 1)) ** 8) / (1 + (frequency / high) ** 8)
    return np.fft.irfft(spectrum * shape, len(time))


def _harmonics(time: Signal, pitch: Signal | float, random: Random, count: int, tilt: float) -> Signal:
    """Harmonics of a pitch that may move, each ``tilt`` dB per octave quieter, none above 0.45 of the sample rate."""
    step = time[1] - time[0]
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(pitch, time.shape)) * step
    highest = float(np.max(pitch))
    numbers = [k for k in range(1, count + 1) if k * highest < 0.45 / step]
    levels = [_gain(tilt * np.log2(k) + random.normal(0, 3)) for k in numbers]
    return np.sum(
        [level * np.sin(k * phase + random.uniform(0, 6.28)) for k, level in zip(numbers, levels, strict=True)], axis=0
    )


def _bursts(time: Signal, starts: Signal, attack: float, decay: float) -> Signal:
    """Envelope that rises within ``attack`` and dies away with time constant ``decay`` at each start (all in s)."""
    envelope = np.zeros_like(time)
    for start in starts:
        since = time - start
        envelope = np.maximum(envelope, np.where(since > 0, np.minimum(since / attack, 1) * np.exp(-since / decay), 0))
    return envelope


def _regular(time: Signal, rate: float, jitter: float, random: Random) -> Signal:
    """Times of events at ``rate`` per second, each off by about ``jitter`` of the interval."""
    starts = np.arange(-random.uniform() / rate, time[-1], 1 / rate)
    return starts + jitter / rate * random.standard_normal(len(starts))


def _air_conditioner(time: Signal, random: Random) -> Signal:
    hum = _harmonics(time, random.uniform(90, 130), random, 6, -6)
    low = random.uniform(100, 300)
    return _unit(_band_noise(time, low, low * random.uniform(4, 12), random)) + random.uniform(0.2, 0.6) * _unit(hum)


def _car_horn(time: Signal, random: Random) -> Signal:
    pitch = random.uniform(320, 480)
    tones = _harmonics(time, pitch, random, 20, -2) + _harmonics(
        time, pitch * random.uniform(1.18, 1.28), random, 20, -2
    )
    starts = random.uniform(0, time[-1] * 0.7, random.integers(1, 4))
    held = [(time > start) & (time < start + random.uniform(0.2, 0.9)) for start in starts]
    return tones * np.any(held, axis=0)


def _children_playing(time: Signal, random: Random) -> Signal:
    voices = np.zeros_like(time)
    for start in random.uniform(-0.1, time[-1], random.integers(5, 10)):
        pitch = random.uniform(300, 700) * (
            1 + random.uniform(-0.3, 0.3) * np.sin(random.uniform(4, 14) * (time - start))
        )
        voices += _harmonics(time, pitch, random, 8, -4) * _bursts(
            time, np.array([start]), 0.04, random.uniform(0.06, 0.2)
        )
    return _unit(voices) + 0.3 * _unit(_band_noise(time, 500, 3000, random))


def _dog_bark(time: Signal, random: Random) -> Signal:
    starts = random.uniform(0, time[-1] * 0.8) + random.uniform(0.22, 0.5) * np.arange(random.integers(1, 5))
    signal = np.zeros_like(time)
    base = random.uniform(350, 800)
    for start in starts:
        since = np.clip(time - start, 0, None)
        voice = _harmonics(time, base * (0.7 + 0.6 * np.exp(-since / 0.08)), random, 10, -5)
        rough = _unit(voice) + 0.5 * _unit(_band_noise(time, 600, 2500, random))
        signal += rough * _bursts(time, np.array([start]), 0.015, random.uniform(0.04, 0.1))
    return signal


def _drilling(time: Signal, random: Random) -> Signal:
    rate = random.uniform(70, 160) * (1 + 0.05 * np.sin(random.uniform(1, 5) * time))
    buzz = _harmonics(time, rate, random, 60, random.uniform(-2, 1))
    return _unit(buzz) + random.uniform(0.4, 0.9) * _unit(_band_noise(time, 1500, 6000, random))


def _engine_idling(time: Signal, random: Random) -> Signal:
    starts = _regular(time, random.uniform(20, 38), 0.05, random)
    knock = _band_noise(time, 60, random.uniform(250, 700), random)
    return knock * (0.3 + _bursts(time, starts, 0.003, random.uniform(0.008, 0.02)))


def _gun_shot(time: Signal, random: Random) -> Signal:
    start = random.uniform(0, time[-1] * 0.8) + random.uniform(0.12, 0.4) * np.arange(random.integers(1, 4))
    crack = _unit(_band_noise(time, 300, 7000, random)) * _bursts(time, start, 0.001, random.uniform(0.01, 0.03))
    echo = _unit(_band_noise(time, 100, 1200, random)) * _bursts(time, start + 0.01, 0.005, random.uniform(0.1, 0.35))
    return crack + random.uniform(0.15, 0.4) * echo


def _jackhammer(time: Signal, random: Random) -> Signal:
    starts = _regular(time, random.uniform(12, 26), 0.04, random)
    hit = _unit(_band_noise(time, 800, 6000, random)) + 0.7 * _unit(_band_noise(time, 80, 400, random))
    return hit * _bursts(time, starts, 0.002, random.uniform(0.01, 0.025))


def _siren(time: Signal, random: Random) -> Signal:
    rate = random.uniform(0.3, 4.0)
    sweep = np.sin(2 * np.pi * (rate * time + random.uniform()))
    pitch = random.uniform(650, 1000) * 2 ** (random.uniform(0.3, 0.7) * sweep)
    return _harmonics(time, pitch, random, 6, -8)


def _street_music(time: Signal, random: Random) -> Signal:
    root = random.uniform(110, 260)
    beat = random.uniform(0.15, 0.4)
    signal = np.zeros_like(time)
    for start in np.arange(0, time[-1], beat):
        for semitone in random.choice([0, 2, 4, 5, 7, 9, 12, 16], random.integers(1, 4), replace=False):
            note = _harmonics(time, root * 2 ** (semitone / 12), random, 8, -5)
            signal += note * _bursts(time, np.array([start]), 0.01, random.uniform(0.15, 0.5))
    return signal


SOUNDS: dict[str, Callable[[Signal, Random], Signal]] = {
    "air_conditioner": _air_conditioner,
    "car_horn": _car_horn,
    "children_playing": _children_playing,
    "dog_bark": _dog_bark,
    "drilling": _drilling,
    "engine_idling": _engine_idling,
    "gun_shot": _gun_shot,
    "jackhammer": _jackhammer,
    "siren": _siren,
    "street_music": _street_music,
}
