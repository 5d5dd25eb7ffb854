"""Presets against the processors that models come with: how far features are apart, and how fast each is.

    python -m benchmarks.processors

A processor is called as its users call it, with one clip after the other; a preset with a batch of them. Whatever does
not install is left out. Prints a table; --recordings adds a folder of sound files to the sounds that are compared.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the other benchmarks

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring import described, machine, table
from learnable_frontends import Frontend, presets

Samples = NDArray[Any]
KINDS = ("noise", "quiet noise", "speech", "click", "tone")


def sound(kind: str, rate: float, seconds: float = 1.3) -> Samples:
    """Synthetic sounds that are hard in different ways."""
    random, time = np.random.default_rng(0), np.arange(int(rate * seconds)) / rate
    if kind == "noise":
        return 0.1 * random.standard_normal(len(time))
    if kind == "quiet noise":
        return 1e-4 * random.standard_normal(len(time))
    if kind == "speech":  # harmonics of a gliding pitch, in syllables, on an offset
        pitch = np.cumsum(120 + 40 * np.sin(3 * time)) / rate
        voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 20))
        return (
            0.2 * voice * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time)) + 0.01 + 1e-4 * random.standard_normal(len(time))
        )
    if kind == "click":
        return np.where(np.arange(len(time)) == len(time) // 2, 0.9, 0.0)
    return 0.5 * np.sin(2 * np.pi * 440 * time)


@functools.cache
def made(module: str, name: str, **settings: Any) -> Any:
    """Make an object of a library once, as its users do."""
    return getattr(importlib.import_module(module), name)(**settings)


def whisper(waveform: Samples) -> Any:
    """80 bands of 30 s."""
    return made("transformers", "WhisperFeatureExtractor")(waveform, sampling_rate=16000)["input_features"][0]


def ast(waveform: Samples) -> Any:
    """128 bands, 1024 frames."""
    return made("transformers", "ASTFeatureExtractor")(waveform, sampling_rate=16000)["input_values"][0].T


def seamless(waveform: Samples) -> Any:
    """Its stacked frames, apart again."""
    stacked = made("transformers", "SeamlessM4TFeatureExtractor")(waveform, sampling_rate=16000)["input_features"][0]
    frames = 1 + (len(waveform) - 400) // 160  # one of zeros follows if their number is odd
    return np.asarray(stacked).reshape(-1, 80)[:frames].T


def speech_to_text(waveform: Samples) -> Any:
    """80 bands."""
    extractor = made("transformers", "Speech2TextFeatureExtractor")
    return np.asarray(extractor(waveform, sampling_rate=16000)["input_features"][0]).T


def clap(truncation: str) -> Callable[[Samples], Any]:
    """With or without fusion."""

    def features(waveform: Samples) -> Any:
        settings = {"frequency_min": 0, "frequency_max": 14000, "truncation": truncation}
        extractor = made("transformers", "ClapFeatureExtractor", **settings)
        return np.asarray(extractor(waveform, sampling_rate=48000)["input_features"][0])[0].T

    return features


def speecht5(waveform: Samples) -> Any:
    """Of targets."""
    extractor = made("transformers", "SpeechT5FeatureExtractor")
    return extractor(audio_target=waveform, sampling_rate=16000)["input_values"][0].T


def kaldi(waveform: Samples) -> Any:
    """As torchaudio computes it."""
    from torchaudio.compliance.kaldi import fbank

    scaled = torch.from_numpy(waveform)[None] * 2.0**15
    return fbank(scaled, num_mel_bins=80, sample_frequency=16000, dither=0.0).numpy().T


def kaldi_native(waveform: Samples) -> Any:
    """As kaldi-native-fbank computes it."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.mel_opts.num_bins = 0, 80
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(16000, (waveform * 2.0**15).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)]).T


def panns(waveform: Samples) -> Any:
    """As torchlibrosa computes it."""
    spectrum = made("torchlibrosa.stft", "Spectrogram", n_fft=1024, hop_length=320, freeze_parameters=True)
    bands = {"sr": 32000, "n_fft": 1024, "n_mels": 64, "fmin": 50, "fmax": 14000, "top_db": None}
    logmel = made("torchlibrosa.stft", "LogmelFilterBank", **bands)
    with torch.no_grad():
        return logmel(spectrum(torch.from_numpy(waveform)[None]))[0, 0].numpy().T


def speechbrain(waveform: Samples) -> Any:
    """40 bands."""
    return made("speechbrain.lobes.features", "Fbank", n_mels=40)(torch.from_numpy(waveform)[None])[0].numpy().T


def resemblyzer(waveform: Samples) -> Any:
    """40 bands."""
    from resemblyzer.audio import wav_to_mel_spectrogram

    return wav_to_mel_spectrogram(waveform).T


class Processor(NamedTuple):
    """A preset, the library that must import, and the library's own way to the same features of one clip."""

    preset: Callable[[], Frontend]
    library: str
    features: Callable[[Samples], Any]


PROCESSORS = {
    "whisper": Processor(presets.whisper, "transformers", whisper),
    "ast": Processor(presets.ast, "transformers", ast),
    "seamless_m4t": Processor(presets.seamless_m4t, "transformers", seamless),
    "speech_to_text": Processor(presets.speech_to_text, "transformers", speech_to_text),
    "clap": Processor(presets.clap, "transformers", clap("fusion")),
    "clap(fused=False)": Processor(lambda: presets.clap(fused=False), "transformers", clap("rand_trunc")),
    "speecht5": Processor(presets.speecht5, "transformers", speecht5),
    "kaldi_fbank (torchaudio)": Processor(presets.kaldi_fbank, "torchaudio", kaldi),
    "kaldi_fbank (kaldi-native-fbank)": Processor(presets.kaldi_fbank, "kaldi_native_fbank", kaldi_native),
    "panns": Processor(presets.panns, "torchlibrosa", panns),
    "speechbrain_fbank": Processor(presets.speechbrain_fbank, "speechbrain", speechbrain),
    "resemblyzer": Processor(presets.resemblyzer, "resemblyzer", resemblyzer),
}


def difference(processor: Processor, waveform: Samples) -> tuple[float, float]:
    """Largest difference of features in float32, and the spread of the features."""
    expected = torch.as_tensor(np.asarray(processor.features(waveform), dtype=np.float64))
    features = processor.preset()(torch.from_numpy(waveform)).double()[:, : expected.shape[1]]
    if features.shape != expected.shape:
        raise ValueError(f"features must have shape {tuple(expected.shape)}, got {tuple(features.shape)}")
    return float((features - expected).abs().max()), float(expected.std())


@torch.no_grad()
def speed(processor: Processor, seconds: float, clips: int, rounds: int) -> tuple[float, float]:
    """Clips a second by the processor, one after the other, and by the preset in a batch; best of the rounds."""
    frontend = processor.preset().freeze()
    waveform = sound("noise", frontend.sample_rate, seconds).astype(np.float32)
    batch = torch.from_numpy(waveform).expand(clips, -1).contiguous()
    theirs, ours = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        processor.features(waveform)
        middle = time.perf_counter()
        frontend(batch)
        theirs.append(middle - start)
        ours.append(time.perf_counter() - middle)
    return 1 / min(theirs), clips / min(ours)


def recordings(folder: Path, rate: float, count: int = 8) -> list[Samples]:
    """Read some sound files, spread over a folder, at a rate."""
    import librosa

    files = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))
    return [librosa.load(path, sr=rate)[0].astype(np.float32) for path in files[:: max(1, len(files) // count)][:count]]


def main(argv: list[str] | None = None) -> int:
    """Measure and print; see the module's docstring and ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, help="folder of sound files to be compared too")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip that is timed (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=16, help="in a batch that is timed (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="of timing, the best of which counts (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    body = []
    for name, processor in PROCESSORS.items():
        try:
            importlib.import_module(processor.library)
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        rate = processor.preset().sample_rate
        sounds = {kind: [sound(kind, rate).astype(np.float32)] for kind in KINDS}
        if options.recordings is not None:
            sounds["recordings"] = recordings(options.recordings, rate)
        cells = []
        for waveforms in sounds.values():
            found = [difference(processor, waveform) for waveform in waveforms]
            apart, spread = max(found, key=lambda pair: pair[0] / pair[1])
            cells.append(f"{apart:.1e} ({spread:.2g})")
        theirs, ours = speed(processor, options.seconds, options.clips, options.rounds)
        body.append([name, *cells, f"{theirs:.3g}", f"{ours:.3g}", f"{ours / theirs:.3g}"])
    print(table(["preset", *sounds, "its processor, clips/s", "preset, clips/s", "ratio"], body))
    print(f"Largest difference, and in brackets the spread of the features. {described({**machine()})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
