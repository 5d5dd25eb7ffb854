"""The steps of a filterbank before its filters: from a waveform to the power spectra of its frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends._constants import exact_construction
from learnable_frontends._precision import at_least_float32
from learnable_frontends._stages import apply_stage, check_streams, counts_behind, resume_stage
from learnable_frontends.filterbanks.fingerprint import Fingerprinted
from learnable_frontends.filterbanks.framing import Framing, spoil_misfits
from learnable_frontends.frontend import Frontend
from learnable_frontends.functional import dft_factors, power_spectrum, power_spectrum_by_matmul, to_power

__all__ = ["DFT", "FramedSpectra"]

DFT = ("dft_first", "dft_second", "dft_order")  # constants that `Frontend.set_transform` adds


class FramedSpectra(Fingerprinted, Frontend):
    """A front-end that applies its stages, cuts a waveform into frames and computes their power spectra.

    The constructor is that of `Filterbank`, which describes the attributes.
    """

    framing: Framing
    win_length: int
    center: bool
    pad_mode: str
    drop_last: bool
    inputs: nn.Module | None
    frame_stages: nn.Module | None
    compression: nn.Module
    _pad: int | None
    _transform = "fft"

    def _set_framing(
        self, n_fft: int, *, frame_length: int, window_start: int, padding: tuple[int, int], tail: int
    ) -> None:
        """Set how frames are cut and transformed, which the constructor of a family adds to the shared settings."""
        self.n_fft = n_fft
        padding = padding if self.center else (self._pad or 0,) * 2
        self.framing = Framing(
            win_length=self.win_length,
            hop_length=self.hop_length,
            frame_length=frame_length,
            window_start=window_start,
            padding=padding,
            center=self.center,
            pad_mode=self.pad_mode,
            tail=tail,
            drop_last=self.drop_last,
        )
        after = frame_length - window_start - self.win_length
        self._constants["frame_window"] = np.pad(self._constants["window"], (window_start, after))

    def _prepared(self, waveform: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Check a waveform and apply ``inputs``; return it in float32 or wider, and the lengths of the clips then."""
        self.framing.check_waveform(waveform)
        if lengths is not None:
            self.framing.check_lengths(lengths, waveform)
        exact = at_least_float32(waveform)
        if self.inputs is not None:
            exact = exact if lengths is None else spoil_misfits(exact, lengths, 1, waveform.shape[-1])
            exact = apply_stage(self.inputs, exact, lengths)
            lengths = None if lengths is None else counts_behind(self.inputs, lengths)
        self.framing.check_samples(exact, lengths)
        return exact, lengths

    def _cut(self, waveform: Tensor, padding: tuple[int, int]) -> Tensor:
        """Cut ``(batch, time)`` into the input of `spectrum`: whole frames, or the samples that the window covers."""
        whole = self._transform == "fft" and self.frame_stages is None
        return self.framing.cut(waveform, padding, inside=None if whole else self.framing.window)

    def spectrum(self, frames: Tensor) -> Tensor:
        """Return the spectra of unwindowed frames, ``(..., bins)``, raised to ``power``; see `_in_order`."""
        if self.frame_stages is not None:
            frames = self.frame_stages(frames)
        if self._transform == "matmul":
            factors = (self._constants.like(name, frames) for name in DFT[:2])
            power = power_spectrum_by_matmul(frames * self._constants.like("window", frames), *factors)
            return to_power(power, *self._to_power)
        inside = self.framing.window
        if frames.shape[-1] < self.framing.frame_length:
            frames = F.pad(frames, (inside.start, self.framing.frame_length - inside.stop))
        power = power_spectrum(frames, self.n_fft, self._constants.like("frame_window", frames))
        return to_power(power, *self._to_power)

    @property
    def _to_power(self) -> tuple[float, float]:
        """Exponent of the magnitudes of a spectrum, and the number that is added to their squares before that."""
        return 2.0, 0.0

    def _in_order(self, weights: Tensor) -> Tensor:
        """Return weights of bins, ``(n_filters, n_fft // 2 + 1)``, in the order of the bins in `spectrum`."""
        if self._transform == "fft":
            return weights
        order = self._constants.tensor(DFT[2], torch.int64, weights.device)
        return F.pad(weights, (0, 1)).index_select(-1, order)  # bins that occur twice count once

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of frames for waveforms of ``lengths`` samples, an integer tensor; 0 if not even one fits.

        Example:
            >>> import torch
            >>> from learnable_frontends import CosGaussFilterbank
            >>> CosGaussFilterbank(16000).output_lengths(torch.tensor([16000, 8000]))
            tensor([101,  51])
        """
        if self.inputs is not None:
            lengths = counts_behind(self.inputs, lengths)
        return counts_behind(self.compression, self.framing.output_lengths(lengths))

    @property
    def first_frame_center(self) -> float:
        """Position of the middle of the first frame in the waveform, in samples."""
        return self.framing.first_frame_center

    @property
    def span(self) -> int:
        """Number of samples of the waveform that a frame depends on, not counting those that ``inputs`` needs."""
        return self.framing.span

    @property
    def latency(self) -> int:
        """Number of samples that must follow a frame, as in `Frontend.latency`: none."""
        if self.inputs is not None:
            check_streams("inputs", self.inputs)
        check_streams("compression", self.compression)
        if self.drop_last:
            raise ValueError("drop_last must be False in a stream, whose last frame is not known, got True")
        return 0

    def _resumed_samples(self, chunk: Tensor, state: dict[str, Any] | None) -> tuple[Tensor, dict[str, Any]]:
        """Return the samples of the frames that a chunk of a stream completes, and the state for later chunks."""
        inputs, held, skipped = (
            (None, chunk[..., :0], 0) if state is None else (state["inputs"], state["held"], state["skipped"])
        )
        if self.inputs is not None:
            chunk, inputs = resume_stage(self.inputs, at_least_float32(chunk), inputs)
            held = held.to(chunk.dtype)
        ready, held, skipped = self.framing.advance(chunk, held, skipped)
        return ready, {"inputs": inputs, "held": held, "skipped": skipped}

    def _set_transform(self, transform: str) -> None:
        if transform == "matmul" and DFT[0] not in self._constants:
            with exact_construction():
                for name, factor in zip(DFT, dft_factors(self.win_length, self.n_fft), strict=True):
                    self._constants[name] = factor
        self._transform = transform
        self._after_freezing()
