"""The contract of a front-end: what every one of them offers, whatever its filters are."""

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
    """The contract of front-ends: a module from a waveform ``(..., time)`` to features ``(..., n_filters, frames)``.

    Attributes:
        sample_rate: Samples per second of the waveform.
        n_filters: Number of rows of the features.
        hop_length: Number of samples from frame to frame.
        f_min: Lower end of the band in Hz.
        f_max: Upper end of the band in Hz.
        n_fft: Length in samples of the transform that features are computed with; `power_response` takes any even
            length.
        centers_ascend: Whether the centers are strictly ascending, whatever was learned.
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
        """Compute features: ``(..., time)`` to ``(..., n_filters, frames)``, in the type of the waveform.

        Args:
            waveform: Shape ``(..., time)``, floating point.
            lengths: Number of samples of each clip in a batch that is padded to the longest one: integers shaped like
                the leading axes. Each clip is then padded at its own end, so that it has the features that it has
                alone. A length that does not fit is an error on a CPU. Elsewhere, and in a graph, features are NaN.

        Returns:
            Features. With ``lengths`` also the number of frames of each clip, shaped like ``lengths``; the features
            beyond them are zero.
        """

    @abstractmethod
    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of frames, 0 or more, for waveforms of ``lengths`` samples, an integer tensor."""

    @property
    @abstractmethod
    def first_frame_center(self) -> float:
        """Position of the middle of the first frame in the waveform, in samples."""

    @property
    @abstractmethod
    def span(self) -> int:
        """Number of samples of the waveform that a frame depends on."""

    @abstractmethod
    def resume(
        self, chunk: Tensor, state: dict[str, Any] | None = None, *, ends: bool = False
    ) -> tuple[Tensor, dict[str, Any]]:
        """Compute the features that the next chunk of a longer waveform completes.

        Most users want `learnable_frontends.streaming.StreamingFrontend`, which calls this method and checks its input.

        Args:
            chunk: The next samples, ``(..., samples)``; their number may be zero. Frames start at the first sample of
                the waveform.
            state: The state that the call for the previous chunk returned; ``None`` for the first chunk.
            ends: Whether this is the last chunk, so that no frame has to wait for later samples.

        Returns:
            Features ``(..., n_filters, frames)``, often with no frames, and the new state, which consists of tensors,
            numbers and dictionaries.
        """

    @property
    @abstractmethod
    def latency(self) -> int:
        """Largest number of samples that must follow the last sample of a frame before `resume` can return the frame.

        Raises:
            ValueError: If the features of a frame depend on the whole clip, so that streams are not possible.
        """

    @property
    def bandwidths(self) -> Tensor:
        """Equivalent noise bandwidth of each filter in Hz, shape ``(n_filters,)``.

        It is the width of the ideal band-pass filter that has the same peak gain and passes the same power of white
        noise. It is computed from the power response, so that values of different families can be compared.
        """
        n_fft = 2 ** math.ceil(math.log2(max(self.sample_rate, self.n_fft)))  # bins of at most 1 Hz
        response = self.power_response(n_fft)
        bandwidths: Tensor = response.sum(-1) / response.amax(-1) * (self.sample_rate / n_fft)
        return bandwidths

    def as_initialized(self) -> Self:
        """Return a copy of this front-end with the filters that the constructor made; everything else is unchanged.

        Example:
            >>> import torch
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank = CosGaussFilterbank(16000, n_filters=2, init=[500.0, 1000.0])
            >>> _ = torch.nn.init.zeros_(bank.raw_center)
            >>> print([f"{f:.0f} Hz" for f in bank.as_initialized().center_frequencies])
            ['500 Hz', '1000 Hz']
        """
        start = copy.deepcopy(self)
        for module in start.modules():
            if isinstance(module, Frontend) and isinstance(module, DeclaredParameters):
                module.reset_parameters()
        return start

    @property
    def is_frozen(self) -> bool:
        """Whether the filters are frozen: `freeze` was called, and `unfreeze` was not called after it."""
        inner = [module for module in self.modules() if isinstance(module, Frontend) and module is not self]
        return all(module.is_frozen for module in inner) if inner else self._frozen

    def freeze(self) -> Self:
        """Fix the filters, so that their response is computed once and cached.

        The output does not change. Parameters of filters no longer require gradients; those of the compression and of
        relevance heads are left as they are. The response is computed again if a parameter of a filter changes its
        value, device or type, so a frozen front-end may be loaded, moved and cast. The response is not part of the
        state dict. Inside `torch.compile` it is a part of the graph.

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
        """Make all filters learnable again, so that their response is computed in each call.

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
        """Fill the cache of frozen filters. Front-ends without filters of their own have nothing to do."""

    def set_transform(self, transform: str) -> Self:
        """Choose whether the spectra of frames are computed by an FFT or by matrix products.

        Matrix products are for runtimes without a good FFT. That of onnxruntime is slow and inexact; there, matrix
        products are faster and agree with torch. In torch itself they are slower (:doc:`/guides/deploy` has numbers).
        The choice is not part of the state dict.

        Args:
            transform: ``"fft"`` or ``"matmul"``.

        Returns:
            The module itself.

        Raises:
            ValueError: If ``transform`` is neither of the two, or the filters convolve (``padding="valid"``).

        Example:
            >>> import torch
            >>> from learnable_frontends import CosGaussFilterbank
            >>> bank, waveform = CosGaussFilterbank(16000, 40), torch.randn(16000)
            >>> features = bank(waveform)
            >>> torch.allclose(bank.set_transform("matmul")(waveform), features, atol=1e-4)
            True
        """
        if transform not in ("fft", "matmul"):
            raise ValueError(f"transform must be 'fft' or 'matmul', got {transform!r}")
        for module in self.modules():
            if isinstance(module, Frontend):
                module._set_transform(transform)
        return self

    def _set_transform(self, transform: str) -> None:
        """Apply the choice of `set_transform`. Front-ends without a transform of their own have nothing to do."""

    def param_groups(self, lr: float, frontend_lr: float) -> list[dict[str, Any]]:
        """Return the parameters as groups for an optimizer.

        Parameters of filters get ``frontend_lr``. They and other parameters that stand for a logit or a logarithm, such
        as those of a learned compression, get no weight decay, which would pull them to the middle of their range.
        Groups without parameters are left out, so the list of a fixed front-end is empty.

        Args:
            lr: Learning rate of everything except the filters, such as relevance heads.
            frontend_lr: Learning rate of the filters' parameters. They are unit-free logits: a step of 0.01 moves a
                center at the share ``p`` of the band by ``1 - p`` percent of its frequency.

        Returns:
            Parameter groups ``"filters"``, ``"free"`` and ``"frontend"``, to be joined with those of the classifier.

        Raises:
            TypeError: If a wrapper has replaced a parameter with something else, so that it cannot be found.

        Example:
            >>> from learnable_frontends import PCEN, CosGaussFilterbank, MultiHeadRelevance
            >>> bank = CosGaussFilterbank(16000, 40, compression=PCEN(40))
            >>> frontend = MultiHeadRelevance(bank)
            >>> groups = frontend.param_groups(lr=1e-3, frontend_lr=1e-2)
            >>> [(group["name"], group["lr"], group.get("weight_decay")) for group in groups]
            [('filters', 0.01, 0.0), ('free', 0.001, 0.0), ('frontend', 0.001, None)]
        """
        return optimizer_groups(self, lr, frontend_lr)
