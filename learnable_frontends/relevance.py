"""Relevance heads: small networks that weight parts of a time-frequency picture, alone or behind a front-end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learnable_frontends.blocked_heads import blocked_head_logits
from learnable_frontends.frontend import Frontend
from learnable_frontends.functional import at_least_float32, whole_number, without_autocast
from learnable_frontends.heads import conv_head_logits, head_logits

__all__ = ["MultiHeadRelevance", "RelevanceWeighting"]

CONV_CHANNELS, CONV_SIZE = 8, 3  # paper, section 4.3: "8 kernels of size 1 x 3"


class RelevanceWeighting(nn.Module):
    r"""Weight each time-frequency bin by a mask that small networks, the heads, read from its surroundings.

    The filters are split into parts, one a head. A head is a network of two layers with sigmoids; for each bin of its
    part it reads the ``2 * context + 1`` frames of that one sub-band around the bin, zeros beyond the ends, and gives
    the bin's weight. All sub-bands of a part share their head. The output is ``masks * features``, plus ``features``
    with ``skip``, the parts in their places.

    Args:
        n_filters: Number of filters of the features.
        n_heads: Number of parts, 1 to ``n_filters``.
        context: Frames on each side that a head reads.
        hidden: Units of the first layer; not used with ``first_layer="conv"``.
        split: ``"contiguous"`` parts (the first ones larger by one where it does not divide), ``"even-odd"`` (filter
            ``i`` to head ``i % n_heads``), or the sizes of contiguous parts.
        first_layer: ``"linear"``, or ``"conv"``: 8 kernels of 3 frames over the context.
        gate: ``"sigmoid"``, a weight for each bin; or ``"softmax"``, over the filters of a part: one weight for each
            filter and patch of ``2 * context + 1`` frames (the last patch padded with zeros).
        skip: Whether the features are added to the weighted ones.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point.
        - Output: the same. With linear layers and sigmoids, outside `torch.compile`, it can be differentiated once
          only: hidden units are computed again in the backward pass rather than kept (``blocked_heads``).

    Raises:
        TypeError: If the features are not floating point or a number is not whole.
        ValueError: If an argument breaks its rule, or the features have another number of filters.

    Example:
        >>> relevance = RelevanceWeighting(n_filters=80, n_heads=2)
        >>> relevance(torch.randn(4, 80, 431)).shape, sum(p.numel() for p in relevance.parameters())
        (torch.Size([4, 80, 431]), 2302)

    Source: Dutta et al. 2021, section 3.2, eq. 2; hidden size 50 and zero padding from its published code, where
    ``gate="softmax", context=25, hidden=10`` is the head for UrbanSound8K. The paper tried 1 to 4 heads, one a filter,
    ``"even-odd"`` and ``"conv"``.
    """

    head_of_filter: Tensor

    def __init__(
        self,
        n_filters: int,
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
        n_filters, n_heads = whole_number("n_filters", n_filters), whole_number("n_heads", n_heads)
        context, hidden = whole_number("context", context, least=0), whole_number("hidden", hidden)
        if n_heads > n_filters:
            raise ValueError(f"n_heads must be at most n_filters={n_filters}, got {n_heads} (one head a filter)")
        if first_layer not in ("linear", "conv"):
            raise ValueError(f"first_layer must be 'linear' or 'conv', got {first_layer!r}")
        if first_layer == "conv" and 2 * context + 1 < CONV_SIZE:
            raise ValueError(f"context must be at least 1 with first_layer='conv', got {context}")
        if gate not in ("sigmoid", "softmax"):
            raise ValueError(f"gate must be 'sigmoid' or 'softmax', got {gate!r}")
        self.n_filters, self.n_heads, self.context, self.hidden = n_filters, n_heads, context, hidden
        self.split, self.first_layer, self.gate, self.skip = split, first_layer, gate, bool(skip)
        heads = self._assign()
        if gate == "softmax" and int(heads.bincount().min()) < 2:
            raise ValueError(
                f"n_heads must leave each part 2 filters or more with gate='softmax', got {n_heads} for {n_filters} "
                "(the weight of a lone filter would always be 1)"
            )
        self.register_buffer("head_of_filter", heads, persistent=False)
        window = 2 * context + 1
        if first_layer == "linear":
            units, inputs, outputs = hidden, window, hidden
        else:
            units, inputs, outputs = CONV_CHANNELS, CONV_SIZE, CONV_CHANNELS * (window - CONV_SIZE + 1)
        self.weight1 = nn.Parameter(torch.empty(n_heads, units, inputs))
        self.bias1 = nn.Parameter(torch.empty(n_heads, units))
        self.weight2 = nn.Parameter(torch.empty(n_heads, outputs))
        self.bias2 = nn.Parameter(torch.empty(n_heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniformly as `torch.nn.Linear` does."""
        for weight, bias in ((self.weight1, self.bias1), (self.weight2, self.bias2)):
            bound = 1 / math.sqrt(weight.shape[-1])
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    @property
    def parts(self) -> list[list[int]]:
        """Indices of the filters of each head's part."""
        return [(self.head_of_filter == head).nonzero()[:, 0].tolist() for head in range(self.n_heads)]

    def masks(self, features: Tensor) -> Tensor:
        """Give the weight of each bin, in (0, 1).

        Args:
            features: Shape ``(..., n_filters, frames)``, floating point.

        Returns:
            Masks shaped like ``features``, of its type.

        Raises:
            TypeError: If ``features`` is not floating point.
            ValueError: If it does not have ``n_filters`` filters on axis -2.
        """
        if not features.is_floating_point():
            raise TypeError(f"features must be a floating-point tensor, got {features.dtype}")
        if features.dim() < 2 or features.shape[-2] != self.n_filters:
            raise ValueError(
                f"features must have {self.n_filters} filters on axis -2, got shape {tuple(features.shape)}"
            )
        frames = features.shape[-1]
        flat = features.reshape(math.prod(features.shape[:-2]), self.n_filters, frames)
        flat = at_least_float32(flat)
        with without_autocast(flat.device.type):
            logits = self._logits(flat)
        if self.gate == "sigmoid":
            masks = torch.sigmoid(logits)
        else:
            # A patch more than there are, so that an exported program takes any number of frames.
            patches = F.pad(self._softmax(logits), (0, 1))[..., None]
            masks = patches.expand(-1, -1, -1, 2 * self.context + 1).flatten(-2)[..., :frames]
        return masks.reshape(features.shape).to(features.dtype)

    def forward(self, features: Tensor) -> Tensor:
        """Weight features, shape ``(..., n_filters, frames)``."""
        masks = self.masks(features)
        return torch.addcmul(features, masks, features) if self.skip else masks * features

    def extra_repr(self) -> str:
        """Give the settings in the module's printed form."""
        names = ("n_filters", "n_heads", "context", "hidden", "split", "first_layer", "gate", "skip")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def _assign(self) -> Tensor:
        if self.split == "contiguous":
            sizes = [len(part) for part in torch.arange(self.n_filters).tensor_split(self.n_heads)]
        elif self.split == "even-odd":
            return torch.arange(self.n_filters) % self.n_heads
        elif isinstance(self.split, str):
            raise ValueError(f"split must be 'contiguous', 'even-odd' or the sizes of the parts, got {self.split!r}")
        else:
            sizes = [whole_number("split", size, least=0) for size in self.split]
            if len(sizes) != self.n_heads or min(sizes) < 1 or sum(sizes) != self.n_filters:
                raise ValueError(
                    f"split must be n_heads={self.n_heads} positive sizes that sum to n_filters={self.n_filters}, "
                    f"got {sizes}"
                )
        return torch.arange(self.n_heads).repeat_interleave(torch.tensor(sizes))

    def _logits(self, features: Tensor) -> Tensor:
        """Second layer's outputs before the gate, ``(batch, n_filters, frames or patches)``."""
        per_head = [parameter.to(features.dtype) for parameter in (self.weight1, self.bias1, self.weight2, self.bias2)]
        linear = self.first_layer == "linear"
        if linear and self.gate == "sigmoid" and not torch.compiler.is_compiling():
            return blocked_head_logits(features, self.head_of_filter, *per_head)
        weight1, bias1, weight2, bias2 = (parameter[self.head_of_filter] for parameter in per_head)
        window = 2 * self.context + 1
        if self.gate == "sigmoid":
            stride, padding = 1, (self.context, self.context)
        else:
            stride, padding = window, (0, (window - features.shape[-1] % window) % window)
        padded = F.pad(features, padding)
        if linear:
            return head_logits(padded.unfold(-1, window, stride), weight1, bias1, weight2, bias2)
        return conv_head_logits(padded, weight1, bias1, weight2, bias2, stride)

    def _softmax(self, logits: Tensor) -> Tensor:
        """Softmax over the filters of each part."""
        member = self.head_of_filter == torch.arange(self.n_heads, device=logits.device)[:, None]
        spread = logits[:, None].masked_fill(~member[:, :, None], -math.inf)
        normalizer = spread.logsumexp(-2)  # (batch, heads, patches)
        return (logits - normalizer[:, self.head_of_filter]).exp()


class MultiHeadRelevance(Frontend):
    """A front-end followed by relevance heads, itself a front-end.

    Args:
        frontend: Any front-end; its features are weighted.
        n_heads: Number of parts, 1 to ``frontend.n_filters``.
        **settings: The keyword arguments of `RelevanceWeighting`: ``context``, ``hidden``, ``split``,
            ``first_layer``, ``gate``, ``skip``.

    Shape:
        - Input: ``(..., time)``, floating point.
        - Output: that of ``frontend``.

    Raises:
        TypeError: If ``frontend`` is not a front-end, or as `RelevanceWeighting`.
        ValueError: As `RelevanceWeighting`.

    Example:
        >>> from learnable_frontends import CosGaussFilterbank
        >>> frontend = MultiHeadRelevance(CosGaussFilterbank(sample_rate=44100, n_filters=80), n_heads=2, context=10)
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
        self.frontend = frontend
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

    def __getattr__(self, name: str) -> Any:
        """Look up what is not here, such as ``sample_rate`` or ``kernels``, in the wrapped front-end."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "frontend":
                raise
            return getattr(self.frontend, name)

    @property
    def center_frequencies(self) -> Tensor:
        """Center of each filter in Hz, shape ``(n_filters,)``, strictly ascending, differentiable."""
        return self.frontend.center_frequencies

    @property
    def bandwidths(self) -> Tensor:
        """Bandwidth of each filter in Hz, as the wrapped front-end gives it."""
        return self.frontend.bandwidths

    def power_response(self, n_fft: int) -> Tensor:
        """Power gain of each filter, as the wrapped front-end gives it."""
        return self.frontend.power_response(n_fft)

    def energies(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Energies of the wrapped front-end, before compression and heads."""
        return self.frontend.energies(waveform, lengths)

    def masks(self, waveform: Tensor) -> Tensor:
        """Give the weight of each bin, in (0, 1): ``(..., time)`` to ``(..., n_filters, frames)``."""
        return self.relevance.masks(self.frontend(waveform))

    @overload
    def forward(self, waveform: Tensor, lengths: None = None) -> Tensor: ...

    @overload
    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]: ...

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Compute weighted features: ``(..., time)`` to ``(..., n_filters, frames)``, of the waveform's own type.

        With ``lengths`` as `Filterbank.forward`: heads read zeros beyond the end of each clip.
        """
        if lengths is None:
            return self._weighted(self.frontend(waveform))
        features, frames = self.frontend(waveform, lengths)
        return self._weighted(features), frames

    def _weighted(self, features: Tensor) -> Tensor:
        weighted: Tensor = self.relevance(features)
        return weighted

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames for waveforms of ``lengths`` samples, as the wrapped front-end gives them."""
        return self.frontend.output_lengths(lengths)
