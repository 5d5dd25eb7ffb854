"""Front-ends of models of speech and speakers."""

from __future__ import annotations

import torch
from torch import nn

from learnable_frontends.chain import Chain
from learnable_frontends.compression import ClipNormalize, Decibels, Log, Normalize
from learnable_frontends.filterbanks import MelFrontend
from learnable_frontends.inputs import FixedLength, Preemphasis
from learnable_frontends.presets.making import SLANEY, SYMMETRIC_HANN, mel

__all__ = ["bigvgan", "hifigan", "nemo", "resemblyzer", "speechbrain_fbank", "speecht5", "whisper"]


def whisper(n_filters: int = 80, *, seconds: float | None = 30.0, learn: bool = False) -> MelFrontend:
    """Return the front-end of Whisper (also Qwen3-ASR, Voxtral, Granite): 80 or 128 bands of 30 s.

    The features have a range of 8 decades below the loudest bin of the clip.

    Args:
        n_filters: 80, or 128 for large-v3 and later.
        seconds: Length that clips are cut or padded with zeros to; ``None`` keeps their lengths.
        learn: Whether the filters learn.

    Example:
        >>> whisper()(torch.randn(2, 16000)).shape
        torch.Size([2, 80, 3000])

    Source: ``WhisperFeatureExtractor`` of Transformers 4.57.
    """
    return mel(
        learn,
        16000,
        n_filters,
        win_length=400,
        hop_length=160,
        n_fft=400,
        drop_last=True,
        inputs=None if seconds is None else FixedLength(round(16000 * seconds)),
        compression=Chain([Decibels(top_db=80.0), Normalize(-40.0, 40.0)]),  # (log10(x) + 4) / 4
        **SLANEY,
    )


def nemo(n_filters: int = 80, *, learn: bool = False) -> MelFrontend:
    """Return the front-end of NeMo (Parakeet, Canary): 80 or 128 bands, each normalized over the clip.

    The last frame, which NeMo masks, is left out.

    Source: ``FilterbankFeatures`` of NeMo 2, without its dither, which it applies in training only.
    """
    return mel(
        learn,
        16000,
        n_filters,
        win_length=400,
        hop_length=160,
        n_fft=512,
        window=SYMMETRIC_HANN,
        pad_mode="constant",
        drop_last=True,
        inputs=Preemphasis(0.97),
        compression=Chain([Log(2.0**-24), ClipNormalize(ddof=1, eps=1e-5)]),
        **SLANEY,
    )


def speecht5(*, learn: bool = False) -> MelFrontend:
    """Return the front-end for the spectrograms of SpeechT5: 80 bands of magnitudes.

    Source: ``SpeechT5FeatureExtractor`` of Transformers 4.57.
    """
    return mel(
        learn,
        16000,
        80,
        win_length=1024,
        hop_length=256,
        n_fft=1024,
        power=1.0,
        f_min=80.0,
        f_max=7600.0,
        compression=Log(0.0, floor=1e-10, base=10.0),
        **SLANEY,
    )


def speechbrain_fbank(n_filters: int = 40, *, learn: bool = False) -> MelFrontend:
    """Return SpeechBrain's ``Fbank``, with 40 bands, or 80 for ECAPA-TDNN.

    Source: ``speechbrain/processing/features.py`` of SpeechBrain 1.0.
    """
    return mel(
        learn,
        16000,
        n_filters,
        win_length=400,
        hop_length=160,
        n_fft=400,
        window=torch.hamming_window,
        pad_mode="constant",
        triangles="symmetric",
        compression=Decibels(top_db=80.0),
    )


def resemblyzer(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of Resemblyzer's speaker encoder: 40 bands of power, without compression.

    Source: ``audio.py`` of Resemblyzer 0.1.
    """
    return mel(
        learn,
        16000,
        40,
        win_length=400,
        hop_length=160,
        n_fft=400,
        pad_mode="constant",
        compression=nn.Identity(),
        **SLANEY,
    )


def hifigan(
    sample_rate: float = 22050,
    n_filters: int = 80,
    *,
    n_fft: int = 1024,
    hop_length: int = 256,
    f_max: float = 8000.0,
    learn: bool = False,
) -> MelFrontend:
    """Return the front-end of the vocoder HiFi-GAN: bands of magnitudes.

    Args:
        sample_rate: Samples per second.
        n_filters: Number of mel bands.
        n_fft: Number of samples of a frame and of its transform.
        hop_length: Number of samples from frame to frame.
        f_max: Upper end of the band in Hz.
        learn: Whether the filters learn.

    Source: ``meldataset.py`` of the published code.
    """
    return mel(
        learn,
        sample_rate,
        n_filters,
        win_length=n_fft,
        hop_length=hop_length,
        n_fft=n_fft,
        center=False,
        pad=(n_fft - hop_length) // 2,
        power=1.0,
        power_offset=1e-9,
        f_max=f_max,
        compression=Log(0.0, floor=1e-5),
        **SLANEY,
    )


def bigvgan(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of the vocoder BigVGAN at 24 kHz, with 100 bands.

    Source: ``meldataset.py`` of the published code.
    """
    return hifigan(24000, 100, f_max=12000.0, learn=learn)
