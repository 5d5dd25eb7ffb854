"""The mel spectrogram, under the same contract: the fixed baseline."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from learnable_frontends.frontend import Filterbank
from learnable_frontends.functional import band_energies, over_blocks, whole_number
from learnable_frontends.scales import spaced_edges

__all__ = ["MelFrontend"]


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
        win_length: Samples of the window; ``None`` means 25 ms.
        hop_length: Samples from frame to frame; ``None`` means 10 ms.
        f_min: Lower end of the lowest filter in Hz.
        f_max: Upper end of the highest filter in Hz; ``None`` means half of ``sample_rate``.
        center: Whether frame ``t`` is centered on sample ``t * hop_length``, which pads both ends by ``n_fft // 2``.
        pad_mode: How: ``"reflect"`` as torchaudio does, ``"constant"`` as librosa does, ``"replicate"`` or
            ``"circular"``.
        window: Function from ``win_length`` to the window.
        power: Exponent of the magnitude spectrum: 2 for power, 1 for magnitude.
        norm: ``None`` for triangles of height one, ``"slaney"`` for triangles of unit area.
        mel_scale: ``"htk"`` or ``"slaney"``.
        compression: Module from energies to features; ``None`` means ``Log(1e-3)``.

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

    weights: Tensor

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        n_fft: int | None = None,
        win_length: int | None = None,
        hop_length: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        center: bool = True,
        pad_mode: str = "reflect",
        window: Callable[[int], Tensor] = torch.hann_window,
        power: float = 2.0,
        norm: str | None = None,
        mel_scale: str = "htk",
        compression: nn.Module | None = None,
    ) -> None:
        super().__init__(
            sample_rate,
            n_filters,
            win_length=win_length,
            hop_length=hop_length,
            f_min=f_min,
            f_max=f_max,
            center=center,
            pad_mode=pad_mode,
            window=window,
            compression=compression,
        )
        n_fft = None if n_fft is None else whole_number("n_fft", n_fft)
        if n_fft is not None and n_fft < self.win_length:
            raise ValueError(f"n_fft must be at least win_length={self.win_length}, got {n_fft}")
        if not power > 0:
            raise ValueError(f"power must be positive, got {power} (2 for power, 1 for magnitude)")
        if norm not in (None, "slaney"):
            raise ValueError(f"norm must be None or 'slaney', got {norm!r}")
        if mel_scale not in ("htk", "slaney"):
            raise ValueError(f"mel_scale must be 'htk' or 'slaney', got {mel_scale!r}")
        self.power, self.norm, self.mel_scale = float(power), norm, mel_scale
        self.n_fft = self._covering_n_fft() if n_fft is None else n_fft
        before = self.window_start
        self.window = nn.functional.pad(self.window, (before, self.n_fft - self.win_length - before))
        weights = self._triangles(self.n_fft)
        if empty := int((weights.amax(-1) == 0).sum()):
            warnings.warn(
                f"n_fft={self.n_fft} leaves {empty} of {n_filters} mel filters without a bin (raise n_fft or lower "
                "n_filters)",
                stacklevel=2,
            )
        self.register_buffer("weights", weights.to(torch.get_default_dtype()), persistent=False)

    @property
    def window_start(self) -> int:
        """First of the ``win_length`` samples of a frame that the window lets through: it sits in the middle."""
        return (self.n_fft - self.win_length) // 2

    @property
    def frame_padding(self) -> tuple[int, int]:
        """Samples added before and after a waveform: ``n_fft // 2`` each, as in both libraries, odd or even."""
        return (self.n_fft // 2, self.n_fft // 2) if self.center else (0, 0)

    @property
    def center_frequencies(self) -> Tensor:
        """Peak of each triangle in Hz, shape ``(n_filters,)``."""
        edges = spaced_edges(self.n_filters, self.f_min, self.f_max, self.mel_scale)
        return edges[1:-1].to(self.weights)

    def power_response(self, n_fft: int) -> Tensor:
        """Height of each triangle at the bins of a transform, shape ``(n_filters, n_fft // 2 + 1)``.

        Args:
            n_fft: Transform length in samples.
        """
        return self._triangles(n_fft).to(self.weights)

    def frame_energies(self, frames: Tensor) -> Tensor:
        """Energies of frames not yet windowed: ``(batch, frames, n_fft)`` to ``(batch, n_filters, frames)``."""
        return over_blocks(self._block_energies, frames)

    def _block_energies(self, frames: Tensor) -> Tensor:
        power = self.power_spectrum(frames)
        if self.power != 2.0:
            # The floor keeps the gradient of silence finite.
            power = power.clamp_min(torch.finfo(power.dtype).tiny).pow(self.power / 2)
        return band_energies(power, self.weights.to(frames.dtype))

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        names = ("n_fft", "power", "norm", "mel_scale")
        return ", ".join([super().extra_repr(), *(f"{name}={getattr(self, name)!r}" for name in names)])

    def _triangles(self, n_fft: int) -> Tensor:
        edges = spaced_edges(self.n_filters, self.f_min, self.f_max, self.mel_scale)
        bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (self.sample_rate / n_fft)
        low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        rising, falling = (bins - low) / (peak - low), (high - bins) / (high - peak)
        triangles = torch.minimum(rising, falling).clamp_min(0.0)
        return triangles * (2.0 / (high - low)) if self.norm == "slaney" else triangles

    def _covering_n_fft(self) -> int:
        n_fft = 1 << (self.win_length - 1).bit_length()
        while bool((self._triangles(n_fft).amax(-1) == 0).any()):
            n_fft *= 2
        return n_fft
