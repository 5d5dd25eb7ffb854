"""The contract of a front-end: what every one offers, whatever it is made of."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor

from learnable_frontends._parameters import DeclaredParameters, optimizer_groups, parameters_by_role
from learnable_frontends._settings import ReadOnlySettings

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Frontend"]


class Frontend(ReadOnlySettings, ABC):
    """A module from a waveform ``(..., time)`` to features ``(..., n_filters, frames)``.

    Attributes:
        sample_rate: Samples per second of the waveform.
        n_filters: Rows of the features.
        hop_length: Samples from frame to frame.
        f_min: Lower end of the band in Hz.
        f_max: Upper end of the band in Hz.
        n_fft: Length in samples of the transform that features are computed with; `power_response` takes any even
            length.
        centers_ascend: Whether centers are strictly ascending, whatever was learned.
    """

    sample_rate: float
    n_filters: int
    hop_length: int
    f_min: float
    f_max: float
    n_fft: int
    centers_ascend = True

    _frozen = False

    @property
    @abstractmethod
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, differentiable; ascending if `centers_ascend`."""

    @abstractmethod
    def power_response(self, n_fft: int) -> Tensor:
        """Return the power gain of each filter at the bins of a transform: ``(n_filters, n_fft // 2 + 1)``."""

    @abstractmethod
    def energies(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the energy of each filter in each frame: ``(..., time)`` to ``(..., n_filters, frames)``."""

    @abstractmethod
    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Compute features: ``(..., time)`` to ``(..., n_filters, frames)``, of the waveform's own type.

        Args:
            waveform: Shape ``(..., time)``, floating point.
            lengths: Samples of each clip in a batch padded to the longest, integers shaped like the leading axes. Each
                clip then has the features that it has alone: it is padded at its own end. Those on a CPU are checked.

        Returns:
            Features; with ``lengths`` also the frames of each clip, shaped like ``lengths``. Features beyond them are
            zero.
        """

    @abstractmethod
    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the frames of waveforms of ``lengths`` samples, an integer tensor of any shape; never negative."""

    @property
    @abstractmethod
    def first_frame_center(self) -> float:
        """Place of the middle of the first frame in the waveform, in samples."""

    @property
    @abstractmethod
    def span(self) -> int:
        """Samples of a waveform that a frame depends on."""

    @abstractmethod
    def resume(
        self, chunk: Tensor, state: dict[str, Any] | None = None, *, ends: bool = False
    ) -> tuple[Tensor, dict[str, Any]]:
        """Compute the features that a chunk of a longer waveform completes, from where the last chunk ended.

        `learnable_frontends.streaming.StreamingFrontend` does so for users, with its checks.

        Args:
            chunk: The next samples, ``(..., samples)``, of any number, none too. Frames start at the first one of all.
            state: As the call for the chunk before returned it; ``None`` begins.
            ends: Whether no more will come, so that nothing has to be waited for.

        Returns:
            Features ``(..., n_filters, frames)``, often of no frames, and the state: tensors, numbers, dictionaries.
        """

    @property
    @abstractmethod
    def latency(self) -> int:
        """Samples that must follow the last sample of a frame until `resume` can return the frame, at most.

        Raises:
            ValueError: If features of a frame need the whole clip, so that there are no features of a stream.
        """

    @property
    def bandwidths(self) -> Tensor:
        """Equivalent noise bandwidth of each filter in Hz, shape ``(n_filters,)``.

        The width of the ideal band-pass filter with the same peak gain that lets the same power of white noise
        through. It is measured on the response that every family has, so the values of all families compare.
        """
        n_fft = 2 ** math.ceil(math.log2(max(self.sample_rate, self.n_fft)))  # bins of at most 1 Hz
        response = self.power_response(n_fft)
        bandwidths: Tensor = response.sum(-1) / response.amax(-1) * (self.sample_rate / n_fft)
        return bandwidths

    def as_initialized(self) -> Self:
        """Return a copy of this front-end with its filters as the constructor made them; all else is as it is.

        Example:
            >>> import torch
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank = CosGaussFilterbank(16000, n_filters=2, init=[500.0, 1000.0])
            >>> _ = torch.nn.init.zeros_(bank.raw_center)
            >>> print([f"{center:.0f} Hz" for center in bank.as_initialized().center_frequencies])
            ['500 Hz', '1000 Hz']
        """
        start = copy.deepcopy(self)
        for module in start.modules():
            if isinstance(module, Frontend) and isinstance(module, DeclaredParameters):
                module.reset_parameters()
        return start

    @property
    def is_frozen(self) -> bool:
        """Whether `freeze` was called last: filters do not learn, and their response is kept."""
        inner = [module for module in self.modules() if isinstance(module, Frontend) and module is not self]
        return all(module.is_frozen for module in inner) if inner else self._frozen

    def freeze(self) -> Self:
        """Fix the filters for deployment: their response is computed once and kept.

        The output stays what it is. Parameters of filters no longer ask for gradients; those of compression and
        relevance heads are left as they are. The response is computed again when a parameter of a filter has another
        value, place or type, so a frozen front-end may be loaded, moved and cast; it is not in the state dict. Inside
        `torch.compile` it is a part of the graph.

        Returns:
            The module itself.

        Example:
            >>> import torch
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank = CosGaussFilterbank(16000, 40).freeze()
            >>> bank.is_frozen, bank(torch.randn(16000)).requires_grad
            (True, False)
        """
        return self._set_frozen(True)

    def unfreeze(self) -> Self:
        """Let all filters learn again, and compute their response in each call.

        Returns:
            The module itself.
        """
        return self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> Self:
        for parameter in parameters_by_role(self)["filters"]:
            parameter.requires_grad_(not frozen)
        for module in self.modules():
            if isinstance(module, Frontend):
                module._frozen = frozen
                module._after_freezing()
        return self

    def _after_freezing(self) -> None:
        """Compute what is kept of frozen filters; front-ends without filters of their own have nothing to do."""

    def set_transform(self, transform: str) -> Self:
        """Choose how spectra of frames are computed: by an FFT, or by matrix products for runtimes without a good one.

        In onnxruntime the operator for transforms is slow and inexact; matrix products agree with torch and are faster
        there, and slower in torch itself (docs/guides/deploy.md has numbers). It is not in the state dict.

        Args:
            transform: ``"fft"`` or ``"matmul"``.

        Returns:
            The module itself.

        Raises:
            ValueError: If ``transform`` is neither, or filters convolve (``padding="valid"``).

        Example:
            >>> import torch
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank, waveform = CosGaussFilterbank(16000, 40), torch.randn(16000)
            >>> torch.allclose(bank(waveform), bank.set_transform("matmul")(waveform), atol=1e-4)
            True
        """
        if transform not in ("fft", "matmul"):
            raise ValueError(f"transform must be 'fft' or 'matmul', got {transform!r}")
        for module in self.modules():
            if isinstance(module, Frontend):
                module._set_transform(transform)
        return self

    def _set_transform(self, transform: str) -> None:
        """Take the choice of `set_transform`; front-ends without a transform of their own have nothing to do."""

    def param_groups(self, lr: float, frontend_lr: float) -> list[dict[str, Any]]:
        """Split the parameters for an optimizer.

        Numbers of filters get ``frontend_lr``. Neither they nor other numbers behind a logit or a logarithm, as of a
        learned compression, are decayed: decay would pull them to the middle of their range. Groups without
        parameters are left out, so a fixed front-end returns none.

        Args:
            lr: Learning rate of everything but the filters (relevance heads, say).
            frontend_lr: Learning rate of the filters' parameters. They are unit-free logits: a step of 0.01 moves a
                center at the share ``p`` of the band by ``1 - p`` percent of its frequency.

        Returns:
            Parameter groups ``"filters"``, ``"free"`` and ``"frontend"``, to be joined with those of the classifier.

        Raises:
            TypeError: If a wrapper has replaced a parameter by something else, so that it cannot be found.

        Example:
            >>> from learnable_frontends import PCEN, CosGaussFilterbank, MultiHeadRelevance
            >>> frontend = MultiHeadRelevance(CosGaussFilterbank(16000, 40, compression=PCEN(40)))
            >>> groups = frontend.param_groups(lr=1e-3, frontend_lr=1e-2)
            >>> [(group["name"], group["lr"], group.get("weight_decay")) for group in groups]
            [('filters', 0.01, 0.0), ('free', 0.001, 0.0), ('frontend', 0.001, None)]
        """
        return optimizer_groups(self, lr, frontend_lr)
