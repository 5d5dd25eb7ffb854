"""Kaldi's filterbank, and the models whose features it computes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from learnable_frontends.chain import Chain
from learnable_frontends.compression import ClipNormalize, FixedFrames, Log, Normalize
from learnable_frontends.filterbanks import MelFrontend
from learnable_frontends.inputs import FramePreemphasis, RemoveMean, Scale
from learnable_frontends.presets.making import SYMMETRIC_HANN, mel

__all__ = ["ast", "beats", "kaldi_fbank", "kaldi_framing", "povey_window", "seamless_m4t", "speech_to_text"]

KALDI_FLOOR = float(torch.finfo(torch.float32).eps)


def povey_window(length: int) -> Tensor:
    """Return Kaldi's own window: a symmetric Hann window raised to the power of 0.85."""
    return SYMMETRIC_HANN(length).pow(0.85)


def kaldi_framing(
    sample_rate: float = 16000, *, window: str = "povey", scale: float | None = 2.0**15
) -> dict[str, Any]:
    """Return arguments that make any filterbank cut frames as Kaldi does: 25 ms every 10 ms, whole frames only.

    The mean of each frame is subtracted, and preemphasis with 0.97 is applied to it.

    Args:
        sample_rate: Samples per second.
        window: ``"povey"`` or ``"hanning"``.
        scale: Factor of the waveform, since Kaldi expects the amplitudes of 16-bit samples; ``None`` means no factor.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> CosGaussFilterbank(16000, 80, **kaldi_framing())(torch.randn(16000)).shape
        torch.Size([80, 98])

    Source: Kaldi, ``feature-window.h``, as in ``torchaudio.compliance.kaldi``.
    """
    windows = {"povey": povey_window, "hanning": SYMMETRIC_HANN}
    if window not in windows:
        raise ValueError(f"window must be one of {sorted(windows)}, got {window!r}")
    return {
        "win_length": int(0.025 * sample_rate),
        "hop_length": int(0.01 * sample_rate),
        "center": False,
        "window": windows[window],
        "inputs": None if scale is None else Scale(scale),
        "frame_stages": Chain([RemoveMean(), FramePreemphasis(0.97)]),
    }


def kaldi_fbank(
    sample_rate: float = 16000,
    n_filters: int = 80,
    *,
    f_min: float = 20.0,
    f_max: float | None = None,
    window: str = "povey",
    scale: float | None = 2.0**15,
    after: list[nn.Module] | None = None,
    learn: bool = False,
) -> MelFrontend:
    """Return the front-end for Kaldi's log-mel energies without dither, ``compute-fbank-feats --dither=0``.

    Args:
        sample_rate: Samples per second.
        n_filters: Number of mel bands.
        f_min: Lower end of the band in Hz.
        f_max: Upper end of the band in Hz; ``None`` means half of ``sample_rate``.
        window: As in `kaldi_framing`.
        scale: As in `kaldi_framing`.
        after: Stages after the logarithm.
        learn: Whether the filters learn.

    Example:
        >>> kaldi_fbank(16000, 80)(torch.randn(2, 16000)).shape
        torch.Size([2, 80, 98])

    Source: Kaldi, ``feature-fbank.cc``, as in ``torchaudio.compliance.kaldi.fbank``.
    """
    return mel(
        learn,
        sample_rate,
        n_filters,
        n_fft=1 << (int(0.025 * sample_rate) - 1).bit_length(),
        align="start",
        f_min=f_min,
        f_max=f_max,
        triangles="mel",
        compression=Chain([Log(0.0, floor=KALDI_FLOOR), *(after or [])]),
        **kaldi_framing(sample_rate, window=window, scale=scale),
    )


def ast(*, frames: int = 1024, mean: float = -4.2677393, std: float = 4.5689974, learn: bool = False) -> MelFrontend:
    """Return the front-end of Audio Spectrogram Transformers (also SSAST, AudioMAE, EAT).

    It has 128 Kaldi bands, 1024 frames, and the normalization of the model.

    Args:
        frames: Number of frames that clips are cut or padded to.
        mean: Mean of the features that the model was trained on.
        std: Their deviation. Features are divided by twice this number, as in the model.
        learn: Whether the filters learn.

    Source: ``ASTFeatureExtractor`` of Transformers 4.57.
    """
    after = [FixedFrames(frames), Normalize(mean, 2 * std)]
    return kaldi_fbank(16000, 128, window="hanning", scale=None, after=after, learn=learn)


def beats(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of BEATs: 128 Kaldi bands, normalized.

    Source: ``BEATs.py`` of the published code.
    """
    return kaldi_fbank(16000, 128, after=[Normalize(15.41663, 2 * 6.55582)], learn=learn)


def seamless_m4t(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of SeamlessM4T and Wav2Vec2-BERT: 80 Kaldi bands, each normalized over the clip.

    These models stack two frames; see `WaveformModel`.

    Source: ``SeamlessM4TFeatureExtractor`` of Transformers 4.57.
    """
    return kaldi_fbank(16000, 80, after=[ClipNormalize(ddof=1, eps=1e-7, inside=True)], learn=learn)


def speech_to_text(*, learn: bool = False) -> MelFrontend:
    """Return the front-end of Speech2Text: 80 Kaldi bands, each normalized over the clip.

    Source: ``Speech2TextFeatureExtractor`` of Transformers 4.57.
    """
    return kaldi_fbank(16000, 80, after=[ClipNormalize(ddof=0, eps=0.0)], learn=learn)
