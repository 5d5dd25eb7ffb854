"""The mel spectrogram, under the same contract: the fixed baseline."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends._checks import number, whole_number
from learnable_frontends._constants import Float64Array, exact_construction
from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.filterbanks.options import FilterbankOptions
from learnable_frontends.functional import spaced_edges

__all__ = ["MelFrontend"]

LARGEST_N_FFT = 2**18


class MelFrontend(Filterbank):
    """Log-mel spectrogram: triangular filters, fixed, on the power spectrum.

    `energies` equals `librosa.feature.melspectrogram`, and torchaudio's `MelSpectrogram` where that agrees with
    librosa. They differ for an odd ``sample_rate``, whose half torchaudio rounds down to whole Hz, and for an odd
    ``n_fft``, whose bins it spreads evenly up to that half; this follows librosa, which has each bin at ``k *
    sample_rate / n_fft``.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of mel bands.
        n_fft: Transform length in samples, at least ``win_length``; ``None`` means the smallest power of two from
            there on at which every filter covers a bin.
        power: Exponent of the magnitude spectrum: 2 for power, 1 for magnitude.
        norm: ``None`` for triangles of height one, ``"slaney"`` for triangles of unit area.
        mel_scale: ``"htk"`` or ``"slaney"``.
        pad_mode: How the ends are padded: ``"reflect"`` as torchaudio does, ``"constant"`` as librosa does,
            ``"replicate"`` or ``"circular"``; by ``n_fft // 2`` samples.
        **options: The arguments that `Filterbank` describes.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: ``(..., n_filters, 1 + time // hop_length)``; for an odd ``n_fft`` ``1 + (time - 1) // hop_length``
          frames, as in both libraries.

    Raises:
        TypeError: As `CosGaussFilterbank`.
        ValueError: If ``n_fft`` is smaller than ``win_length``, or another argument breaks its rule.

    Warns:
        UserWarning: If filters cover no bin of the given ``n_fft``: their energies are always zero.

    Example:
        >>> MelFrontend(sample_rate=16000, n_filters=40)(torch.randn(3, 2, 16000)).shape
        torch.Size([3, 2, 40, 101])

    Source: librosa 0.11 and torchaudio 2.9 for the conventions.
    """

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        n_fft: int | None = None,
        power: float = 2.0,
        norm: str | None = None,
        mel_scale: str = "htk",
        **options: Unpack[FilterbankOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        n_fft = None if n_fft is None else whole_number("n_fft", n_fft)
        if n_fft is not None and n_fft < self.win_length:
            raise ValueError(f"n_fft must be at least win_length={self.win_length}, got {n_fft}")
        number("power", power, above=0, hint="2 for power, 1 for magnitude")
        if norm not in (None, "slaney"):
            raise ValueError(f"norm must be None or 'slaney', got {norm!r}")
        if mel_scale not in ("htk", "slaney"):
            raise ValueError(f"mel_scale must be 'htk' or 'slaney', got {mel_scale!r}")
        self.power, self.norm, self.mel_scale = float(power), norm, mel_scale
        with exact_construction():
            edges = spaced_edges(self.n_filters, self.f_min, self.f_max, mel_scale).numpy()
        self._constants["edges"] = edges
        n_fft = self._covering_n_fft() if n_fft is None else n_fft
        half, before = n_fft // 2, (n_fft - self.win_length) // 2
        self._set_framing(n_fft, frame_length=n_fft, window_start=before, padding=(half, half), tail=0)
        triangles = self._triangles(n_fft)
        if empty := int((triangles.max(-1) == 0).sum()):
            warnings.warn(
                f"n_fft={n_fft} leaves {empty} of {n_filters} mel filters without a bin (raise n_fft or lower "
                "n_filters)",
                stacklevel=2,
            )
        self._constants["triangles"] = triangles

    @property
    def center_frequencies(self) -> Tensor:
        """Peak of each triangle in Hz, shape ``(n_filters,)``."""
        return self._tensor(self._constants["edges"][1:-1])

    def power_response(self, n_fft: int) -> Tensor:
        """Return the height of each triangle at the bins of a transform, shape ``(n_filters, n_fft // 2 + 1)``.

        Args:
            n_fft: Transform length in samples.
        """
        return self._tensor(self._triangles(n_fft))

    def weights(self, like: Tensor) -> Tensor:
        """Heights of the triangles at the bins of a power spectrum."""
        return self._constants.like("triangles", like)

    def spectrum(self, frames: Tensor) -> Tensor:
        """Spectrum of frames not yet windowed, ``(..., n_fft)`` to ``(..., n_fft // 2 + 1)``, to the chosen power."""
        power = super().spectrum(frames)
        if self.power == 2.0:
            return power
        # The floor keeps the gradient of silence finite.
        return power.clamp_min(torch.finfo(power.dtype).tiny).pow(self.power / 2)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        names = ("n_fft", "power", "norm", "mel_scale")
        return ", ".join([super().extra_repr(), *(f"{name}={getattr(self, name)!r}" for name in names)])

    def _tensor(self, array: Float64Array) -> Tensor:
        return torch.as_tensor(array, dtype=torch.get_default_dtype(), device=self.fingerprint.device)

    def _triangles(self, n_fft: int) -> Float64Array:
        edges = self._constants["edges"]
        bins = np.arange(n_fft // 2 + 1) * (self.sample_rate / n_fft)
        low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        triangles = np.maximum(np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)), 0.0)
        return triangles * (2.0 / (high - low)) if self.norm == "slaney" else triangles

    def _covering_n_fft(self) -> int:
        """Smallest power of two, ``win_length`` or more, at which every filter covers a bin."""
        n_fft = 1 << (self.win_length - 1).bit_length()
        while (self._triangles(n_fft).max(-1) == 0).any():
            n_fft *= 2
            if n_fft > LARGEST_N_FFT:
                raise ValueError(
                    f"f_min and f_max must be further apart for each of {self.n_filters} filters to cover a bin of a "
                    f"transform of {LARGEST_N_FFT} samples, got f_min={self.f_min}, f_max={self.f_max} (all in Hz; "
                    "give n_fft to do without)"
                )
        return n_fft
