"""The base class of all filterbanks: from a waveform to frames, power spectra, energies and features."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from learnable_frontends._checks import number, whole_number
from learnable_frontends._kept import Kept
from learnable_frontends._parameters import held
from learnable_frontends._precision import at_least_float32, without_autocast
from learnable_frontends._stages import apply_stage, resume_stage
from learnable_frontends.compression import Log
from learnable_frontends.filterbanks.framing import PAD_MODES, window_samples, zero_after
from learnable_frontends.filterbanks.options import share_arguments
from learnable_frontends.filterbanks.spectra import FramedSpectra
from learnable_frontends.functional import band_energies, compiles_opaquely, opaque_energies, over_blocks

__all__ = ["Filterbank"]


class Filterbank(FramedSpectra):
    """A front-end that computes energies as weighted sums over the power spectra of frames, and compresses them.

    A family defines `weights`, `center_frequencies` and `power_response`. Most families do so by way of
    `KernelFilterbank` or `ResponseFilterbank`.

    Args:
        sample_rate: Samples per second of the waveform. It has no default, since a wrong one would shift every filter.
        n_filters: Number of filters.
        win_length: Samples per frame; ``None`` means 25 ms.
        hop_length: Samples from frame to frame; ``None`` means 10 ms.
        f_min: Lower end of the band in Hz; every center is above it.
        f_max: Upper end of the band in Hz; ``None`` means half of ``sample_rate``.
        center: Whether frame ``t`` is centered on sample ``t * hop_length``, which pads both ends by half a frame.
        pad_mode: How the ends are padded: ``"reflect"``, ``"constant"``, ``"replicate"`` or ``"circular"``.
        window: Function from ``win_length`` to the samples of the frame window. It is called once and not kept.
        compression: Module from energies to features. ``None`` means ``Log(1e-3)``, or ``Log(1e-8)`` for families whose
            kernels have unit gain; ``torch.nn.Identity()`` means no compression.
        inputs: Module from waveform to waveform, applied before frames are cut, such as `inputs.Preemphasis`.
        frame_stages: Module from the ``win_length`` samples of each frame to as many, applied before the window, such
            as `inputs.RemoveMean`.
        pad: Number of samples that are added to both ends, in ``pad_mode``, if ``center`` is false; ``None`` means
            none.
        drop_last: Whether the last frame is left out, as in Whisper.
    """

    log_offset = 1e-3  # of the default compression

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        share_arguments(cls)

    def __init__(
        self,
        sample_rate: float,
        n_filters: int = 80,
        *,
        win_length: int | None = None,
        hop_length: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        center: bool = True,
        pad_mode: str = "reflect",
        window: Callable[[int], Tensor] = torch.hann_window,
        compression: nn.Module | None = None,
        inputs: nn.Module | None = None,
        frame_stages: nn.Module | None = None,
        pad: int | None = None,
        drop_last: bool = False,
    ) -> None:
        super().__init__()
        hertz = number("sample_rate", sample_rate, above=0, hint="in Hz")
        self.sample_rate = int(sample_rate) if isinstance(sample_rate, Integral) else hertz  # not a NumPy type
        self.n_filters = whole_number("n_filters", n_filters)
        self.win_length = whole_number("win_length", round(0.025 * sample_rate) if win_length is None else win_length)
        self.hop_length = whole_number("hop_length", round(0.01 * sample_rate) if hop_length is None else hop_length)
        low, high = number("f_min", f_min), sample_rate / 2 if f_max is None else number("f_max", f_max)
        if not 0 <= low < high <= sample_rate / 2:
            raise ValueError(
                "f_min and f_max must satisfy 0 <= f_min < f_max <= sample_rate / 2, "
                f"got f_min={low}, f_max={high}, sample_rate={sample_rate} (all in Hz)"
            )
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode must be one of {PAD_MODES}, got {pad_mode!r}")
        self.f_min, self.f_max, self.center, self.pad_mode = low, high, bool(center), pad_mode
        self._pad = None if pad is None else whole_number("pad", pad, least=0)
        if center and pad is not None:
            raise ValueError(f"pad must be None with center=True, which pads half a frame, got {pad}")
        self.drop_last = bool(drop_last)
        stages = {
            "compression": (compression, "Log(1e-3)"),
            "inputs": (inputs, "inputs.Preemphasis()"),
            "frame_stages": (frame_stages, "inputs.RemoveMean()"),
        }
        for name, (stage, such) in stages.items():
            if stage is not None and not isinstance(stage, nn.Module):
                raise TypeError(f"{name} must be a module such as {such}, got {stage!r} (torch.nn.Identity() for none)")
        self.inputs, self.frame_stages = inputs, frame_stages
        self.compression = Log(self.log_offset) if compression is None else compression
        self._constants["window"] = window_samples(window, self.win_length)
        self._set_fingerprint(sample_rate, low, high)
        self._kept = Kept()

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Compute features, which are the compressed energies; see `Frontend.forward`.

        Example:
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank, clips = CosGaussFilterbank(16000, 40), torch.randn(2, 16000)
            >>> features, frames = bank(clips, torch.tensor([16000, 8000]))
            >>> features.shape, frames
            (torch.Size([2, 40, 101]), tensor([101,  51]))
            >>> torch.allclose(features[1, :, :51], bank(clips[1, :8000]), atol=1e-5)
            True
        """
        energies, counts = self._energies_and_counts(waveform, lengths)
        features = apply_stage(self.compression, energies, counts).to(waveform.dtype)
        if lengths is None:
            return features
        counts = self.output_lengths(lengths)
        return zero_after(features, counts), counts

    def energies(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the energy of each filter in each frame, before compression.

        Args:
            waveform: Shape ``(..., time)``, floating point.
            lengths: Number of samples of each clip, as in `forward`; ``None`` means all.

        Returns:
            Energies, shape ``(..., n_filters, frames)``, not negative, and zero beyond the frames of a clip. They are
            float32 for float16 and bfloat16 waveforms, since they would exceed the range of float16.

        Raises:
            TypeError: If ``waveform`` is not floating point, or ``lengths`` are not whole numbers.
            ValueError: If ``waveform`` has no time axis or too few samples, or ``lengths`` do not fit it.
        """
        return self._energies_and_counts(waveform, lengths)[0]

    def _energies_and_counts(self, waveform: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return energies and, with ``lengths``, the number of frames that belong to each clip."""
        exact, lengths = self._prepared(waveform, lengths)
        if lengths is None:
            return self._padded_energies(exact, self.framing.padding), None
        lengths = lengths.to(exact.device)
        counts = self.framing.output_lengths(lengths)
        energies = self._padded_energies(self.framing.pad_each(exact, lengths), (0, 0))
        return zero_after(energies, counts), counts

    def _padded_energies(self, exact: Tensor, padding: tuple[int, int]) -> Tensor:
        """Return the energies of the frames of ``(..., time)``, padded at its ends, without any check."""
        lead, time = exact.shape[:-1], exact.shape[-1]
        flat = exact.reshape(math.prod(lead), time)
        if not torch.compiler.is_compiling() and not flat.numel():  # transforms refuse an empty batch
            return flat.new_zeros(*lead, self.n_filters, self.framing.cut(flat, padding).shape[1])
        with without_autocast(exact.device.type):
            energies = self.frame_energies(self._cut(flat, padding))
        return energies.reshape(*lead, self.n_filters, energies.shape[-1])

    def frame_energies(self, frames: Tensor) -> Tensor:
        """Return energies of unwindowed frames: ``(batch, frames, samples)`` to ``(batch, n_filters, frames)``."""
        weights = self._current_weights(frames)
        as_it_is = self._transform == "fft" and self.frame_stages is None and type(self).spectrum is Filterbank.spectrum
        if as_it_is and compiles_opaquely(frames, weights):
            window = self._constants.like("frame_window", frames)
            energies: Tensor = opaque_energies(frames, window, weights, self.n_fft, *self._to_power)
            return energies
        return over_blocks(lambda block: band_energies(self.spectrum(block), weights), frames)

    @abstractmethod
    def weights(self, like: Tensor) -> Tensor:
        """Return the weights of the bins, ``(n_filters, n_fft // 2 + 1)``, in the type and on the device of ``like``.

        They are all that depends on the parameters of a family. A frozen filterbank caches them.
        """

    def _current_weights(self, like: Tensor) -> Tensor:
        def made() -> Tensor:
            return self._in_order(self.weights(like))

        if not self._frozen:
            return made()
        parameters = [parameter for name in self._roles for parameter in held(self, name)]
        return self._kept.get(made, parameters, like.dtype, like.device, self._transform)

    def resume(
        self, chunk: Tensor, state: dict[str, Any] | None = None, *, ends: bool = False
    ) -> tuple[Tensor, dict[str, Any]]:
        """Compute the features that a chunk completes, as `Frontend.resume` does; the ends are not padded."""
        del ends  # samples that do not fill a frame are dropped, as in the offline call
        ready, after = self._resumed_samples(chunk, state)
        kept, features = state and state["compression"], chunk.new_empty(*chunk.shape[:-1], self.n_filters, 0)
        if ready.shape[-1]:
            energies = self._padded_energies(at_least_float32(ready), (0, 0))
            features, kept = resume_stage(self.compression, energies, kept)
        return features.to(chunk.dtype), {**after, "compression": kept}

    def _after_freezing(self) -> None:  # fills the cache for programs that are exported before any call
        if self._frozen:
            self._current_weights(torch.empty(0, dtype=torch.float32, device=self.fingerprint.device))

    def extra_repr(self) -> str:
        """Return the settings for the module's printed form."""
        names = ("sample_rate", "n_filters", "win_length", "hop_length", "f_min", "f_max", "center", "pad_mode")
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{shown}, frozen=True" if self._frozen else shown


share_arguments(Filterbank)
