"""Filterbanks whose response over frequency has a closed form, with the frames and transform of a mel spectrogram."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from learnable_frontends._checks import number, whole_number
from learnable_frontends._constants import Float64Array
from learnable_frontends.filterbanks.base import Filterbank
from learnable_frontends.filterbanks.options import FilterbankOptions

__all__ = ["ResponseFilterbank"]

LARGEST_N_FFT = 2**18


class ResponseFilterbank(Filterbank):
    """A filterbank that is defined by its power `response` over frequency in Hz; all else is as in a mel spectrogram.

    It also costs as much as a mel spectrogram: the response is evaluated at the bins of the transform in each call,
    once for the whole batch. The constructor of a family declares its parameters and ends with a call of `set_bins`.

    Args:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of filters.
        n_fft: Transform length in samples, at least ``win_length``. ``None`` means the smallest power of two that is at
            least ``win_length`` and has bins that are close enough for the narrowest filter.
        power: Exponent of the magnitude spectrum: 2 for power, 1 for magnitude.
        power_offset: Number that is added to the power before the exponent, as in
            ``sqrt(real**2 + imag**2 + 1e-9)``.
        align: Where the window lies in the ``n_fft`` samples of a transform: ``"center"`` for the middle, as in
            `torch.stft`; or ``"start"`` for the beginning, as in Kaldi and TensorFlow: frames are ``win_length``
            samples followed by zeros, and their number does not depend on ``n_fft``.
        pad_mode: How the ends are padded, by ``n_fft // 2`` samples: ``"reflect"`` as in torchaudio, ``"constant"`` as
            in librosa, ``"replicate"`` or ``"circular"``.
        **options: The arguments that `Filterbank` describes.
    """

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        n_fft: int | None = None,
        power: float = 2.0,
        power_offset: float = 0.0,
        align: str = "center",
        **options: Unpack[FilterbankOptions],
    ) -> None:
        super().__init__(sample_rate, n_filters, **options)
        self.power = number("power", power, above=0, hint="2 for power, 1 for magnitude")
        self.power_offset = number("power_offset", power_offset)
        if self.power_offset < 0:
            raise ValueError(f"power_offset must not be negative, got {power_offset}")
        if align not in ("center", "start"):
            raise ValueError(f"align must be 'center' or 'start', got {align!r}")
        self.align = align
        self._n_fft = None if n_fft is None else whole_number("n_fft", n_fft)
        if n_fft is not None and n_fft < self.win_length:
            raise ValueError(f"n_fft must be at least win_length={self.win_length}, got {n_fft}")

    def set_bins(self, fits: Callable[[int], bool] = lambda _: True) -> None:
        """Set the length of the transform, its bins and the frames. It is the last call in a family's constructor.

        Args:
            fits: Function from a transform length to whether its bins are close enough for the narrowest filter. It is
                used only if the argument ``n_fft`` is ``None``.
        """
        n_fft = 1 << (self.win_length - 1).bit_length() if self._n_fft is None else self._n_fft
        while self._n_fft is None and not fits(n_fft):
            n_fft *= 2
            if n_fft > LARGEST_N_FFT:
                raise ValueError(
                    f"f_min and f_max must be further apart for each of {self.n_filters} filters to cover a bin of a "
                    f"transform of {LARGEST_N_FFT} samples, got f_min={self.f_min}, f_max={self.f_max} (all in Hz; "
                    "give n_fft to allow empty filters)"
                )
        half, after = n_fft // 2, n_fft - self.win_length
        if self.align == "center":
            self._set_framing(n_fft, frame_length=n_fft, window_start=after // 2, padding=(half, half), tail=0)
        else:
            half = self.win_length // 2
            padding = half, self.win_length - half
            self._set_framing(n_fft, frame_length=n_fft, window_start=0, padding=padding, tail=after)
        self._constants["bins"] = self._bins(n_fft)

    @property
    def _to_power(self) -> tuple[float, float]:
        return self.power, self.power_offset

    def _bins(self, n_fft: int) -> Float64Array:
        """Return the frequencies in Hz of the bins of a transform."""
        return np.arange(n_fft // 2 + 1, dtype=np.float64) * (self.sample_rate / n_fft)

    @abstractmethod
    def response(self, frequencies: Tensor) -> Tensor:
        """Return the nonnegative power gain of each filter: frequencies in Hz ``(bins,)`` to ``(n_filters, bins)``."""

    def power_response(self, n_fft: int) -> Tensor:
        """Return the power gain of each filter at the bins of a transform, shape ``(n_filters, n_fft // 2 + 1)``.

        Args:
            n_fft: Transform length in samples.
        """
        return self.response(self._tensor(self._bins(n_fft)))

    def weights(self, like: Tensor) -> Tensor:
        """Return the power gain of each filter at the bins of the filterbank's own transform."""
        return self.response(self._constants.like("bins", like)).to(like.dtype)

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        return f"{super().extra_repr()}, n_fft={self.n_fft}, power={self.power!r}, align={self.align!r}"

    def _tensor(self, array: Float64Array) -> Tensor:
        return torch.as_tensor(array, dtype=torch.get_default_dtype(), device=self.fingerprint.device)
