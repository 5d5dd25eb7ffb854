"""A front-end followed by relevance heads, which is a front-end as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from learnable_frontends.frontend import Frontend
from learnable_frontends.relevance.weighting import RelevanceWeighting

__all__ = ["MultiHeadRelevance"]


class MultiHeadRelevance(Frontend):
    """A front-end followed by relevance heads, which is a front-end as well.

    Take it to reproduce Dutta et al. 2021, or to look at masks. On the sets that we measured, heads gained nothing
    beyond chance over the same front-end without them (:doc:`/evidence/results`).

    Args:
        frontend: The front-end whose features are weighted.
        n_heads: Number of parts, 1 to ``frontend.n_filters``.
        **settings: The keyword arguments of `RelevanceWeighting`: ``context``, ``hidden``, ``split``,
            ``first_layer``, ``gate``, ``skip``.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: that of ``frontend``.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or as for `RelevanceWeighting`.
        ValueError: As for `RelevanceWeighting`.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> bank = CosGaussFilterbank(sample_rate=44100, n_filters=80)
        >>> frontend = MultiHeadRelevance(bank, n_heads=2, context=10)
        >>> frontend(torch.randn(44100)).shape
        torch.Size([80, 101])

    Source: Dutta et al. 2021.
    """

    def __init__(
        self,
        frontend: Frontend,
        n_heads: int = 2,
        *,
        context: int = 10,
        hidden: int = 50,
        split: str | Sequence[int] = "contiguous",
        first_layer: str = "linear",
        gate: str = "sigmoid",
        skip: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(frontend, Frontend):
            raise TypeError(
                f"frontend must be a Frontend such as CosGaussFilterbank, got {type(frontend).__name__} "
                "(RelevanceWeighting takes features of any origin)"
            )
        self.frontend: Frontend = frontend
        self.relevance = RelevanceWeighting(
            frontend.n_filters,
            n_heads,
            context=context,
            hidden=hidden,
            split=split,
            first_layer=first_layer,
            gate=gate,
            skip=skip,
        )

    @property
    def sample_rate(self) -> float:  # type: ignore[override] # a property here and below: the front-end may be replaced
        """Samples per second of the waveform."""
        return self.frontend.sample_rate

    @property
    def n_filters(self) -> int:  # type: ignore[override]
        """Number of rows of the features."""
        return self.frontend.n_filters

    @property
    def hop_length(self) -> int:  # type: ignore[override]
        """Number of samples from frame to frame."""
        return self.frontend.hop_length

    @property
    def f_min(self) -> float:  # type: ignore[override]
        """Lower end of the band in Hz."""
        return self.frontend.f_min

    @property
    def f_max(self) -> float:  # type: ignore[override]
        """Upper end of the band in Hz."""
        return self.frontend.f_max

    @property
    def n_fft(self) -> int:  # type: ignore[override]
        """Length in samples of the wrapped front-end's transform."""
        return self.frontend.n_fft

    @property
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        return self.frontend.center_frequencies

    @property
    def bandwidths(self) -> Tensor:
        """Equivalent noise bandwidth of each filter in Hz, that of the wrapped front-end."""
        return self.frontend.bandwidths

    def power_response(self, n_fft: int) -> Tensor:
        """Return the power gain of each filter of the wrapped front-end."""
        return self.frontend.power_response(n_fft)

    def energies(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the energies of the wrapped front-end, before compression and heads."""
        return self.frontend.energies(waveform, lengths)

    def masks(self, waveform: Tensor) -> Tensor:
        """Compute the weight of each bin, which is in (0, 1): ``(..., time)`` to ``(..., n_filters, frames)``."""
        return self.relevance.masks(self.frontend(waveform))

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Compute weighted features, as `Frontend.forward` does; heads read zeros beyond the end of each clip."""
        if lengths is None:
            weighted: Tensor = self.relevance(self.frontend(waveform))
            return weighted
        features, frames = self.frontend(waveform, lengths)
        return self.relevance(features), frames

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of frames for waveforms of ``lengths`` samples, that of the wrapped front-end."""
        return self.frontend.output_lengths(lengths)

    @property
    def first_frame_center(self) -> float:
        """Position of the middle of the first frame in the waveform, in samples."""
        return self.frontend.first_frame_center

    @property
    def span(self) -> int:
        """Number of samples of the waveform that a frame of the wrapped front-end depends on."""
        return self.frontend.span

    @property
    def centers_ascend(self) -> bool:  # type: ignore[override]
        """Whether the centers of the wrapped front-end are strictly ascending, whatever was learned."""
        return self.frontend.centers_ascend

    @property
    def latency(self) -> int:
        """Number of samples that must follow a frame: heads look ahead by ``context`` frames, or by a patch."""
        frames = self.relevance.context if self.relevance.gate == "sigmoid" else 2 * self.relevance.context
        return self.frontend.latency + frames * self.hop_length

    def resume(
        self, chunk: Tensor, state: dict[str, Any] | None = None, *, ends: bool = False
    ) -> tuple[Tensor, dict[str, Any]]:
        """Compute the features that a chunk completes, as `Frontend.resume` does; heads read zeros beyond the end."""
        before = {"frontend": None, "features": None} if state is None else state
        features, inner = self.frontend.resume(chunk, before["frontend"], ends=ends)
        held = before["features"]
        if held is None:
            # Heads with a sigmoid gate look back, on zeros at first.
            past = self.relevance.context if self.relevance.gate == "sigmoid" else 0
            held = features.new_zeros(*features.shape[:-1], past)
        weighted, held = _weigh(self.relevance, torch.cat([held, features], dim=-1), ends)
        # A view would also keep the frames that were returned, so it is copied, unless that is a single frame.
        return weighted, {"frontend": inner, "features": held.clone() if weighted.shape[-1] > 1 else held}


def _weigh(relevance: RelevanceWeighting, held: Tensor, ends: bool) -> tuple[Tensor, Tensor]:
    """Weight the frames whose context is complete; return them, and the frames that are still needed.

    Args:
        relevance: The heads.
        held: Frames, ``(..., n_filters, frames)``, from the first one that is not weighted yet; with a sigmoid gate,
            from ``context`` frames before it.
        ends: Whether these are the last frames, so that zeros follow.
    """
    context, frames = relevance.context, held.shape[-1]
    if relevance.gate == "softmax":
        patch = 2 * context + 1
        ready = frames if ends else frames // patch * patch
        return relevance(held[..., :ready]) if ready else held[..., :0], held[..., ready:]
    ready = max(0, frames - context if ends else frames - 2 * context)
    if not ready:
        return held[..., :0], held
    return relevance.weigh_inside(F.pad(held, (0, context)) if ends else held), held[..., ready:]
