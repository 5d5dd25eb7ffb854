"""Relevance heads, small networks that weight each bin of time-frequency features."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from learnable_frontends._checks import floating_tensor, whole_number
from learnable_frontends._constants import Constants
from learnable_frontends._precision import at_least_float32, without_autocast
from learnable_frontends._settings import ReadOnlySettings
from learnable_frontends.functional import compiles_opaquely
from learnable_frontends.relevance.blocked import blocked_head_logits
from learnable_frontends.relevance.heads import conv_head_logits, grouped_head_logits, head_logits
from learnable_frontends.relevance.opaque import opaque_head_logits

__all__ = ["RelevanceWeighting"]

CONV_CHANNELS, CONV_SIZE = 8, 3  # paper, section 4.3: "8 kernels of size 1 x 3"
FEW = 16  # frames that are weighted without blocks; the hidden units of more frames would not fit the cache


class RelevanceWeighting(ReadOnlySettings):
    r"""Weight each time-frequency bin by a mask that small networks, the heads, compute from its surroundings.

    The filters are split into parts, one for each head. A head is a network of two layers with sigmoids. For each bin
    of its part it reads the ``2 * context + 1`` frames around the bin in the same band, with zeros beyond the ends, and
    computes the weight of the bin; all bands of a part share the head. The output is ``masks * features``, plus
    ``features`` with ``skip``. The arguments are read-only attributes. On the sets that we measured, heads gained
    nothing beyond chance (:doc:`/evidence/results`).

    Args:
        n_filters: Number of filters of the features.
        n_heads: Number of parts, 1 to ``n_filters``.
        context: Number of frames on each side that a head reads.
        hidden: Units of the first layer; not used with ``first_layer="conv"``.
        split: ``"contiguous"`` parts, of which the first ones are larger by one if the division leaves a remainder;
            ``"even-odd"``, filter ``i`` to head ``i % n_heads``; or the sizes of contiguous parts.
        first_layer: ``"linear"``, or ``"conv"`` for 8 kernels of 3 frames over the context.
        gate: ``"sigmoid"`` for a weight for each bin; or ``"softmax"`` over the filters of a part, for a weight for
            each filter and patch of ``2 * context + 1`` frames (the last patch is padded with zeros).
        skip: Whether the features are added to the weighted features.

    Shape:
        - Input: ``(..., n_filters, frames)``, floating point.
        - Output: the same. A number that is not finite affects only the masks whose heads read it: those of its own
          filter within ``context`` frames or, with ``gate="softmax"``, those of its part and patch. With linear layers
          and sigmoids, outside `torch.compile`, the output can be differentiated only once, since the backward pass
          computes hidden units again (``relevance.blocked``).

    Raises:
        TypeError: If the features are not a floating-point tensor, or a number is not whole.
        ValueError: If an argument breaks its rule, or the features have another number of filters.

    Example:
        >>> relevance = RelevanceWeighting(n_filters=80, n_heads=2)
        >>> weighted = relevance(torch.randn(4, 80, 431))
        >>> weighted.shape, sum(p.numel() for p in relevance.parameters())
        (torch.Size([4, 80, 431]), 2302)

    Source: Dutta et al. 2021, section 3.2, eq. 2. The 50 hidden units and the zero padding are those of its published
    code, where ``gate="softmax", context=25, hidden=10`` is the head for UrbanSound8K. The paper tried 1 to 4 heads,
    one head for each filter, ``"even-odd"`` and ``"conv"``.
    """

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
            raise ValueError(f"n_heads must be at most n_filters={n_filters}, got {n_heads} (one head per filter)")
        if first_layer not in ("linear", "conv"):
            raise ValueError(f"first_layer must be 'linear' or 'conv', got {first_layer!r}")
        if first_layer == "conv" and 2 * context + 1 < CONV_SIZE:
            raise ValueError(f"context must be at least 1 with first_layer='conv', got {context}")
        if gate not in ("sigmoid", "softmax"):
            raise ValueError(f"gate must be 'sigmoid' or 'softmax', got {gate!r}")
        self.n_filters, self.n_heads, self.context, self.hidden = n_filters, n_heads, context, hidden
        self.first_layer, self.gate, self.skip = first_layer, gate, bool(skip)
        sizes = isinstance(split, Iterable) and not isinstance(split, str)
        self.split = [whole_number("split", size, least=0) for size in split] if sizes else split
        head_of_filter = _head_of_filter(n_filters, n_heads, self.split)
        if gate == "softmax" and np.bincount(head_of_filter).min() < 2:
            raise ValueError(
                f"n_heads must leave each part 2 filters or more with gate='softmax', got {n_heads} for {n_filters} "
                "(the weight of a lone filter would always be 1)"
            )
        self._constants = Constants()
        self._constants["head_of_filter"] = head_of_filter
        self._side_by_side = np.array_equal(head_of_filter, np.arange(n_heads).repeat(n_filters // n_heads))
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
        """Draw new values for all weights, uniformly distributed as in `torch.nn.Linear`."""
        for weight, bias in ((self.weight1, self.bias1), (self.weight2, self.bias2)):
            bound = 1 / math.sqrt(weight.shape[-1])
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    @property
    def parts(self) -> list[list[int]]:
        """Indices of the filters of each head."""
        head_of_filter = self._constants["head_of_filter"]
        return [np.flatnonzero(head_of_filter == head).tolist() for head in range(self.n_heads)]

    def masks(self, features: Tensor) -> Tensor:
        """Compute the weight of each bin, which is in (0, 1).

        Args:
            features: Shape ``(..., n_filters, frames)``, floating point.

        Returns:
            Masks, in the shape and type of ``features``.

        Raises:
            TypeError: If ``features`` is not a floating-point tensor.
            ValueError: If ``features`` does not have ``n_filters`` filters on axis -2.
        """
        floating_tensor("features", features)
        if features.dim() < 2 or features.shape[-2] != self.n_filters:
            raise ValueError(
                f"features must have {self.n_filters} filters on axis -2, got shape {tuple(features.shape)}"
            )
        frames = features.shape[-1]
        if frames == 0:
            return self.masks(F.pad(features, (0, 1)))[..., :0]
        flat = features.reshape(math.prod(features.shape[:-2]), self.n_filters, frames)
        flat = at_least_float32(flat)
        with without_autocast(flat.device.type):
            logits = self._logits(flat)
        if self.gate == "sigmoid":
            masks = torch.sigmoid(logits)
        else:
            # One patch more than there are, so that an exported program takes any number of frames.
            patches = F.pad(self._softmax(logits), (0, 1))[..., None]
            masks = patches.expand(-1, -1, -1, 2 * self.context + 1).flatten(-2)[..., :frames]
        return masks.reshape(features.shape).to(features.dtype)

    def forward(self, features: Tensor) -> Tensor:
        """Weight features, shape ``(..., n_filters, frames)``."""
        return self._weighted(features, self.masks(features))

    def weigh_inside(self, features: Tensor) -> Tensor:
        """Weight the frames whose whole context is there, for the few frames of a stream and ``gate="sigmoid"``.

        Args:
            features: Shape ``(..., n_filters, frames)``.

        Returns:
            The result of `forward` without the first and last ``context`` frames.
        """
        frames = features.shape[-1] - 2 * self.context
        inner = features[..., self.context : self.context + frames]
        if frames > FEW or self.first_layer == "conv":
            return self.forward(features)[..., self.context : self.context + frames]
        exact = at_least_float32(features).reshape(-1, *features.shape[-2:])
        with without_autocast(exact.device.type):
            logits = grouped_head_logits(exact.unfold(-1, 2 * self.context + 1, 1), *self._per_part(exact))
        masks = logits.sigmoid().reshape(inner.shape)
        return self._weighted(inner, masks.to(features.dtype))

    def _weighted(self, features: Tensor, masks: Tensor) -> Tensor:
        return torch.addcmul(features, masks, features) if self.skip else masks * features

    def _per_part(self, like: Tensor) -> list[Tensor]:
        """Return the parameters of each head or, unless parts are equal and contiguous, of each filter's head."""
        if self._side_by_side:
            return self._per_head(like)
        heads = self._constants.tensor("head_of_filter", torch.int64, like.device)
        return [parameter.index_select(0, heads) for parameter in self._per_head(like)]

    def _per_head(self, like: Tensor) -> list[Tensor]:
        return [parameter.to(like.dtype) for parameter in (self.weight1, self.bias1, self.weight2, self.bias2)]

    def extra_repr(self) -> str:
        """Return the settings, for the module's printed form."""
        names = ("n_filters", "n_heads", "context", "hidden", "split", "first_layer", "gate", "skip")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def _logits(self, features: Tensor) -> Tensor:
        """Compute the second layer's outputs before the gate, ``(batch, n_filters, frames or patches)``."""
        heads = self._constants.tensor("head_of_filter", torch.int64, features.device)
        per_head, linear = self._per_head(features), self.first_layer == "linear"
        if linear and self.gate == "sigmoid":
            if not torch.compiler.is_compiling():
                return blocked_head_logits(features, heads, *per_head)
            if compiles_opaquely(features, *per_head):
                return cast("Tensor", opaque_head_logits(features, heads, *per_head))
        if self.n_heads == 1:  # no index: inductor cannot compile its gradient for a single number, such as bias2
            per_filter = [parameter.expand(self.n_filters, *parameter.shape[1:]) for parameter in per_head]
        else:
            per_filter = [parameter.index_select(0, heads) for parameter in per_head]
        window = 2 * self.context + 1
        if self.gate == "sigmoid":
            stride, padding = 1, (self.context, self.context)
        else:
            stride, padding = window, (0, (window - features.shape[-1] % window) % window)
        if linear:
            return head_logits(F.pad(features, padding).unfold(-1, window, stride), *per_filter)
        return conv_head_logits(features, *per_filter, padding=padding, stride=stride)

    def _softmax(self, logits: Tensor) -> Tensor:
        """Compute the softmax over the filters of each part."""
        heads = self._constants.tensor("head_of_filter", torch.int64, logits.device)
        member = heads == torch.arange(self.n_heads, device=logits.device)[:, None]
        spread = logits[:, None].masked_fill(~member[:, :, None], -math.inf)
        normalizer = spread.logsumexp(-2)  # (batch, heads, patches)
        return (logits - normalizer.index_select(1, heads)).exp()


def _head_of_filter(n_filters: int, n_heads: int, split: str | Sequence[int]) -> NDArray[np.int64]:
    """Return the index of each filter's head."""
    if split == "even-odd":
        return np.arange(n_filters) % n_heads
    if split == "contiguous":
        return np.arange(n_heads).repeat([len(part) for part in np.array_split(np.arange(n_filters), n_heads)])
    if not isinstance(split, list):
        raise ValueError(f"split must be 'contiguous', 'even-odd' or the sizes of the parts, got {split!r}")
    if len(split) != n_heads or min(split) < 1 or sum(split) != n_filters:
        raise ValueError(
            f"split must be n_heads={n_heads} positive sizes that sum to n_filters={n_filters}, got {split}"
        )
    return np.arange(n_heads).repeat(split)
