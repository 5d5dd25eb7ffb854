"""The mel spectrogram under the contract of front-ends: the fixed baseline."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends._constants import Float64Array, exact_construction
from learnable_frontends.filterbanks.by_response import ResponseFilterbank
from learnable_frontends.filterbanks.options import ResponseOptions
from learnable_frontends.functional import hz_to_scale, spaced_edges

__all__ = ["MelFrontend"]


class MelFrontend(ResponseFilterbank):
    """Log-mel spectrogram: fixed triangular filters on the power spectrum.

    Take it as the baseline that does not learn (:doc:`/start/which`). `LearnableMelFilterbank` starts as these filters.

    `energies` equals `librosa.feature.melspectrogram`, and torchaudio's `MelSpectrogram` where the two libraries agree.
    They differ for an odd ``sample_rate``, half of which torchaudio rounds down to whole Hz, and for an odd ``n_fft``,
    whose bins torchaudio spreads evenly up to that half. This class follows librosa, which places bin ``k`` at
    ``k * sample_rate / n_fft``.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of mel bands.
        n_fft: Transform length in samples, at least ``win_length``. ``None`` means the smallest power of two that is at
            least ``win_length`` and with which every filter covers a bin.
        norm: ``None`` for triangles of height one, ``"slaney"`` for triangles of unit area.
        mel_scale: ``"htk"`` or ``"slaney"``. Kaldi's scale differs from HTK's by a factor only, which has no effect.
        triangles: The axis over which triangles have straight sides: ``"hz"``, as in librosa; ``"mel"``, as in Kaldi
            and TensorFlow; or ``"symmetric"``, as in SpeechBrain: over Hz, with the right side as wide as the left one.
        **options: The arguments that `ResponseFilterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``; with an odd ``n_fft`` there are
          ``1 + (time - 1) // hop_length`` frames, as in both libraries.

    Raises:
        TypeError: As for `CosGaussFilterbank`.
        ValueError: If ``n_fft`` is smaller than ``win_length``, or another argument breaks its rule.

    Warns:
        UserWarning: If some filters cover no bin of the given ``n_fft``, so that their energies are always zero.

    Example:
        >>> MelFrontend(sample_rate=16000, n_filters=40)(torch.randn(3, 2, 16000)).shape
        torch.Size([3, 2, 40, 101])

    Source: The conventions are those of librosa 0.11 and torchaudio 2.9.
    """

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        norm: str | None = None,
        mel_scale: str = "htk",
        triangles: str = "hz",
        **options: Unpack[ResponseOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        if norm not in (None, "slaney"):
            raise ValueError(f"norm must be None or 'slaney', got {norm!r}")
        if mel_scale not in ("htk", "slaney"):
            raise ValueError(f"mel_scale must be 'htk' or 'slaney', got {mel_scale!r}")
        if triangles not in ("hz", "mel", "symmetric"):
            raise ValueError(f"triangles must be 'hz', 'mel' or 'symmetric', got {triangles!r}")
        self.norm, self.mel_scale, self.triangles = norm, mel_scale, triangles
        with exact_construction():
            self._constants["edges"] = spaced_edges(self.n_filters, self.f_min, self.f_max, mel_scale)
        self.set_bins(lambda n_fft: not self._empty(n_fft))
        if empty := self._empty(self.n_fft):
            warnings.warn(
                f"n_fft={self.n_fft} leaves {empty} of {n_filters} mel filters without a bin (raise n_fft or lower "
                "n_filters)",
                stacklevel=2,
            )
        self._constants["triangles"] = self._drawn_triangles(self.n_fft)

    @property
    def center_frequencies(self) -> Tensor:
        """Peak of each triangle in Hz, shape ``(n_filters,)``."""
        return self._tensor(self._constants["edges"][1:-1])

    def response(self, frequencies: Tensor) -> Tensor:
        """Return the height of each triangle at frequencies in Hz: ``(bins,)`` to ``(n_filters, bins)``."""
        return self._heights(frequencies)

    def _heights(self, frequencies: Tensor) -> Tensor:
        edges = self._constants.like("edges", frequencies)[:, None]
        area = 2.0 / (edges[2:] - edges[:-2])
        if self.triangles == "mel":
            edges, frequencies = hz_to_scale(edges, self.mel_scale), hz_to_scale(frequencies, self.mel_scale)
        low, peak, high = edges[:-2], edges[1:-1], edges[2:]
        if self.triangles == "symmetric":
            high = peak + (peak - low)
        rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
        triangles = torch.minimum(rising, falling).clamp_min(0)
        return triangles * area if self.norm == "slaney" else triangles

    def power_response(self, n_fft: int) -> Tensor:
        """Return the height of each triangle at the bins of a transform, shape ``(n_filters, n_fft // 2 + 1)``.

        Args:
            n_fft: Transform length in samples.
        """
        return self._tensor(self._drawn_triangles(n_fft))

    def weights(self, like: Tensor) -> Tensor:
        """Return the heights of the triangles at the bins of a power spectrum."""
        return self._constants.like("triangles", like)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"{super().extra_repr()}, norm={self.norm!r}, mel_scale={self.mel_scale!r}, triangles={self.triangles!r}"

    def _drawn_triangles(self, n_fft: int) -> Float64Array:
        """Return the heights of the triangles at the bins of a transform, computed in float64."""
        with exact_construction():
            return self._heights(torch.from_numpy(self._bins(n_fft))).numpy()

    def _empty(self, n_fft: int) -> int:
        """Return the number of filters that cover no bin of a transform."""
        return int((self._drawn_triangles(n_fft).max(-1) == 0).sum())
