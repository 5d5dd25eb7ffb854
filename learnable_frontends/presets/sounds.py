"""Front-ends of models of sounds and music."""

from __future__ import annotations

from learnable_frontends.chain import Chain
from learnable_frontends.compression import Decibels, Log, Normalize
from learnable_frontends.filterbanks import MelFrontend
from learnable_frontends.inputs import FixedLength, Preemphasis
from learnable_frontends.presets.making import SLANEY, SYMMETRIC_HANN, mel

__all__ = ["atst", "clap", "efficientat", "musicnn", "panns", "vggish", "yamnet"]


def panns(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of PANNs' Cnn14 and of HTS-AT: 64 bands at 32 kHz.

    Source: ``pytorch/models.py`` of the published code, and torchlibrosa.
    """
    return mel(
        learn,
        32000,
        64,
        win_length=1024,
        hop_length=320,
        n_fft=1024,
        f_min=50.0,
        f_max=14000.0,
        compression=Decibels(top_db=None),
        **SLANEY,
    )


def clap(*, fused: bool = True, learn: bool = False) -> MelFrontend:
    """Return the front-end of CLAP: 64 bands of 10 s at 48 kHz; shorter clips are repeated.

    Args:
        fused: Whether the checkpoint has feature fusion. Its bands are HTK's, and its processor stacks four
            spectrograms, which are identical for clips of up to 10 s. The bands of other checkpoints are Slaney's.
        learn: Whether the filters learn.

    Source: ``ClapFeatureExtractor`` of Transformers 4.57.
    """
    return mel(
        learn,
        48000,
        64,
        win_length=1024,
        hop_length=480,
        n_fft=1024,
        f_max=14000.0,
        inputs=FixedLength(480000, fill="repeat"),
        compression=Decibels(top_db=None),
        **({} if fused else SLANEY),
    )


def efficientat(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of EfficientAT and PaSST in evaluation mode: 128 Kaldi bands at 32 kHz.

    The waveform loses its first sample, as in the model.

    Source: ``models/preprocess.py`` of EfficientAT's published code.
    """
    return mel(
        learn,
        32000,
        128,
        win_length=800,
        hop_length=320,
        n_fft=1024,
        window=SYMMETRIC_HANN,
        f_max=15000.0,
        triangles="mel",
        inputs=Preemphasis(0.97, valid=True),
        compression=Chain([Log(1e-5), Normalize(-4.5, 5.0)]),
    )


def vggish(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of VGGish: 64 bands of magnitudes.

    Source: ``mel_features.py`` of TensorFlow's models.
    """
    return _tensorflow(0.01, learn)


def yamnet(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of YAMNet: 64 bands of magnitudes.

    Source: ``features.py`` of TensorFlow's models.
    """
    return _tensorflow(0.001, learn)


def musicnn(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of MusicNN: 96 bands, compressed by ``log10(1 + 10000 x)``.

    Source: ``musicnn/extractor.py`` of the published code.
    """
    return mel(
        learn,
        16000,
        96,
        win_length=512,
        hop_length=256,
        n_fft=512,
        pad_mode="constant",
        compression=Chain([Log(1e-4, base=10.0), Normalize(-4.0, 1.0)]),
        **SLANEY,
    )


def atst(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of ATST-Clip and BYOL-A: 64 bands in decibels, scaled from [-79.65, 50.68] to [-1, 1].

    Source: ``audiossl/transforms/common.py`` of ATST's published code.
    """
    low, high = -79.6482, 50.6842
    return mel(
        learn,
        16000,
        64,
        win_length=1024,
        hop_length=160,
        n_fft=1024,
        f_min=60.0,
        f_max=7800.0,
        compression=Chain([Decibels(top_db=80.0), Normalize((low + high) / 2, (high - low) / 2)]),
    )


def _tensorflow(offset: float, learn: bool) -> MelFrontend:
    return mel(
        learn,
        16000,
        64,
        win_length=400,
        hop_length=160,
        n_fft=512,
        center=False,
        align="start",
        power=1.0,
        f_min=125.0,
        f_max=7500.0,
        triangles="mel",
        compression=Log(offset),
    )
