"""Two-layer networks over the temporal context of every filter at once, in blocks of bounded size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

__all__ = ["blocked_head_logits", "conv_head_logits", "head_logits"]

# Hidden units computed at a time: 4 MiB of float32 for each of up to four CPU threads; a GPU wants large blocks.
CPU_BLOCK, DEVICE_BLOCK = 2**20, 2**27
# Hidden units kept for the backward pass; the rest are computed again there. 16 MiB of float32.
KEPT = 2**22
# Neighboring places that share a column of the matrix product: windows that overlap are written out once for all of
# them, which makes that matrix 2.6 times smaller for the price of 10 % more arithmetic.
GROUP = 3
# The same for the second layer of heads whose first is a convolution: its windows are 19 places long.
CONV_GROUP = 16


def head_logits(windows: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    """Evaluate each filter's network ``weight2 . sigmoid(weight1 @ window + bias1) + bias2`` on its windows.

    Args:
        windows: Shape ``(batch, n_filters, places, window)``.
        weight1: Shape ``(n_filters, hidden, window)``.
        bias1: Shape ``(n_filters, hidden)``.
        weight2: Shape ``(n_filters, hidden)``.
        bias2: Shape ``(n_filters,)``.

    Returns:
        Logits, shape ``(batch, n_filters, places)``.

    Example:
        >>> zero = torch.zeros(2, 5)
        >>> head_logits(torch.randn(1, 2, 9, 3), torch.zeros(2, 5, 3), zero, zero, torch.ones(2)).unique()
        tensor([1.])
    """
    batch, n, places, window = windows.shape
    columns = windows.permute(1, 3, 0, 2).reshape(n, window, batch * places)
    hidden = torch.sigmoid(torch.baddbmm(bias1[:, :, None], weight1, columns))
    logits = torch.baddbmm(bias2[:, None, None], weight2[:, None, :], hidden)
    return logits.reshape(n, batch, places).transpose(0, 1)


def blocked_head_logits(
    features: Tensor, heads: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> Tensor:
    """Give `head_logits` of every place of padded features, without ever holding all hidden units.

    They are 50 numbers for every one of the features; written to memory and read back they cost more than their
    arithmetic. Here a block of them is computed, used and forgotten, and computed again in the backward pass, but for
    a first few that are kept.

    Args:
        features: Shape ``(batch, n_filters, places + window - 1)``.
        heads: Which head weights each filter, shape ``(n_filters,)``.
        weight1: Shape ``(n_heads, hidden, window)``.
        bias1: Shape ``(n_heads, hidden)``.
        weight2: Shape ``(n_heads, hidden)``.
        bias2: Shape ``(n_heads,)``.

    Returns:
        Logits, shape ``(batch, n_filters, places)``.

    Raises:
        RuntimeError: If it is differentiated twice.

    Example:
        >>> zero = torch.zeros(1, 5)
        >>> heads = torch.zeros(2, dtype=torch.int64)
        >>> blocked_head_logits(torch.randn(1, 2, 11), heads, torch.zeros(1, 5, 3), zero, zero, torch.ones(1)).unique()
        tensor([1.])
    """
    learns = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (features, weight1, bias1, weight2, bias2)
    )
    block = CPU_BLOCK * min(4, torch.get_num_threads()) if features.device.type == "cpu" else DEVICE_BLOCK
    logits: Tensor = _Heads.apply(  # type: ignore[no-untyped-call]
        features, heads, weight1, bias1, weight2, bias2, block, KEPT if learns else 0
    )[0]
    return logits


def conv_head_logits(
    features: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, stride: int = 1
) -> Tensor:
    """Evaluate each filter's network whose first layer is a convolution over the context.

    Each hidden unit is a short filter at one place of the context: computed once a frame, not once a window.

    Args:
        features: Shape ``(batch, n_filters, frames)``, padded.
        weight1: Shape ``(n_filters, channels, taps)``.
        bias1: Shape ``(n_filters, channels)``.
        weight2: Shape ``(n_filters, channels * span)``, channel by channel, for windows of ``span + taps - 1`` frames.
        bias2: Shape ``(n_filters,)``.
        stride: Frames from window to window.

    Returns:
        Logits, shape ``(batch, n_filters, 1 + (frames - span - taps + 1) // stride)``.

    Example:
        >>> zero = torch.zeros(2, 8)
        >>> conv_head_logits(torch.randn(1, 2, 9), torch.zeros(2, 8, 3), zero, torch.zeros(2, 24), torch.ones(2)).shape
        torch.Size([1, 2, 5])
    """
    batch, n, frames = features.shape
    channels, taps = weight1.shape[1:]
    span = weight2.shape[-1] // channels
    places = 1 + (frames - span - taps + 1) // stride
    group = CONV_GROUP if stride == 1 else 1
    groups = -(-places // group)
    windows = F.pad(features, (0, groups * group - places)).unfold(-1, taps, 1).transpose(0, 1)
    hidden = torch.sigmoid(torch.baddbmm(bias1[:, None], windows.flatten(1, 2), weight1.mT))
    # As for the first layer above, a group of windows in one row.
    rows = hidden.view(n, batch, -1).unfold(-1, channels * (span + group - 1), channels * group * stride).flatten(1, 2)
    weights = weight2.view(n, channels, span).mT.flatten(1)
    columns = [F.pad(weights, (channels * place, channels * (group - 1 - place))) for place in range(group)]
    logits = torch.baddbmm(bias2[:, None, None], rows, torch.stack(columns, -1))
    return logits.view(n, batch, groups * group)[..., :places].transpose(0, 1)


def _item_by_item(function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[tuple[Tensor, ...], Any]]:
    """Make the rule by which `torch.vmap` maps a function of tensors and other things: one call an item."""

    def rule(info: Any, dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        calls = [
            function(*(a if d is None else a.select(d, i) for a, d in zip(args, dims, strict=True)))
            for i in range(info.batch_size)
        ]
        outputs = tuple(torch.stack(items) for items in zip(*calls, strict=True))
        return outputs, (0,) * len(outputs)

    return rule


class _Heads(torch.autograd.Function):
    """Logits, and the hidden units of the first few blocks for the backward pass."""

    @staticmethod
    def forward(
        features: Tensor,
        heads: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        block: int,
        left: int,
    ) -> tuple[Tensor, ...]:
        batch, n, _ = features.shape
        size, window = weight1.shape[1:]
        places = features.shape[-1] - window + 1
        features, groups = _whole_groups(features, window)
        first = _toeplitz(weight1, bias1)[heads]
        second, offset = (tensor[heads].repeat_interleave(GROUP, 0)[:, None] for tensor in (weight2, bias2[:, None]))
        logits = features.new_empty(n, GROUP, batch, groups)
        kept: list[Tensor] = []
        scratch = _Scratch(features)
        for clips, bands in _blocks(features, block // max(1, groups * GROUP * size)):
            columns, rows = _columns(features[clips, bands], window, scratch), _rows(bands)
            shape = (columns.shape[0], GROUP * size, columns.shape[-1])
            left -= math.prod(shape)
            hidden = features.new_empty(shape) if left >= 0 else scratch("hidden", shape)
            torch.bmm(first[bands], columns, out=hidden).sigmoid_()
            out = torch.baddbmm(offset[rows], second[rows], hidden.view(-1, size, shape[-1]))
            logits[bands, :, clips] = out.view(shape[0], GROUP, -1, groups)
            if left >= 0:
                kept.append(hidden)
        return logits.permute(2, 0, 3, 1).flatten(2)[..., :places], *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        features, heads, weight1, bias1, weight2, _, block, _ = inputs
        ctx.block = block
        ctx.set_materialize_grads(False)  # no zeros for the hidden units
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(features, heads, weight1, bias1, weight2, *output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if gradient is None:
            return (None,) * 8
        d_features, *d_weights = _HeadsBackward.apply(  # type: ignore[no-untyped-call]
            gradient, ctx.needs_input_grad[0], ctx.block, *ctx.saved_tensors
        )
        return (d_features if ctx.needs_input_grad[0] else None), None, *d_weights, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *args: Any) -> Any:
        return _item_by_item(_Heads.apply)(info, dims, *args)


class _HeadsBackward(torch.autograd.Function):
    """Gradients of features and of the weights of each head."""

    @staticmethod
    def forward(
        gradient: Tensor,
        wanted: bool,
        block: int,
        features: Tensor,
        heads: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        *kept: Tensor,
    ) -> tuple[Tensor, ...]:
        batch, n, padded = features.shape
        size, window = weight1.shape[1:]
        places = padded - window + 1
        features, groups = _whole_groups(features, window)
        gradients = F.pad(gradient, (0, groups * GROUP - places)).view(batch, n, groups, GROUP).permute(1, 3, 0, 2)
        weights = _toeplitz(weight1, bias1)
        # Behind the sigmoid, a column of the first layer's matrix for each of the features it reads, bias left out.
        steps = -(-(window + GROUP - 1) // GROUP)
        transposed = F.pad(
            (weights * weight2.repeat(1, GROUP)[..., None]).mT[:, :-1], (0, 0, 0, steps * GROUP - window - GROUP + 1)
        )
        first, back = weights[heads], transposed[heads]
        d_first, d_weight2 = torch.zeros_like(first), weight2.new_zeros(n * GROUP, size)
        d_features = features.new_empty(n, GROUP, batch, groups + steps - 1) if wanted else features.new_empty(0)
        scratch = _Scratch(features)
        for i, (clips, bands) in enumerate(_blocks(features, block // max(1, groups * GROUP * size))):
            columns, rows = _columns(features[clips, bands], window, scratch), _rows(bands)
            slopes = scratch("hidden", (columns.shape[0], GROUP * size, columns.shape[-1]))
            hidden = kept[i] if i < len(kept) else torch.bmm(first[bands], columns, out=slopes).sigmoid_()
            units = hidden.view(-1, size, hidden.shape[-1])
            outer = gradients[bands, :, clips].reshape(units.shape[0], 1, -1)
            d_weight2[rows] += torch.bmm(units, outer.mT)[..., 0]
            torch.ops.aten.sigmoid_backward.grad_input(outer.expand_as(units), units, grad_input=slopes.view_as(units))
            d_first[bands] += torch.bmm(slopes, columns.mT)
            if wanted:
                d_columns = scratch("d_columns", (columns.shape[0], steps * GROUP, columns.shape[-1]))
                torch.bmm(back[bands], slopes, out=d_columns)
                d_features[bands, :, clips] = _overlap_add(
                    d_columns.view(-1, steps, GROUP, outer.shape[-1] // groups, groups), scratch
                )
        d_weights = weights.new_zeros(weights.shape).index_add_(0, heads, d_first).unflatten(1, (GROUP, -1))
        d_weights *= weight2[:, None, :, None]
        d_weight1 = sum(d_weights[:, place, :, place : place + window] for place in range(GROUP))
        totals = d_weight2.view(n, GROUP, size).sum(1)
        return (
            d_features.permute(2, 0, 3, 1).flatten(2)[..., :padded] if wanted else d_features,
            d_weight1,
            d_weights[..., -1].sum(1),
            weight2.new_zeros(weight2.shape).index_add_(0, heads, totals),
            gradient.new_zeros(len(weight2)).index_add_(0, heads, gradient.sum((0, 2))),
        )

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> NoReturn:  # noqa: ARG004
        raise RuntimeError(
            "relevance heads can be differentiated once only: their hidden units are not kept (inside torch.compile, "
            "or with heads.head_logits, they are)"
        )

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *args: Any) -> Any:
        return _item_by_item(_HeadsBackward.apply)(info, dims, *args)


def _blocks(features: Tensor, rows: int) -> list[tuple[slice, slice]]:
    """Cut clips and filters into blocks of at most ``rows``, or one; all clips of a filter before the next filter."""
    batch, n, _ = features.shape
    clips, bands = max(1, min(batch, rows)), max(1, rows // max(1, batch))
    return [
        (slice(clip, min(batch, clip + clips)), slice(band, min(n, band + bands)))
        for band in range(0, n, bands)
        for clip in range(0, batch, clips)
    ]


def _rows(bands: slice) -> slice:
    """Rows of a matrix with one for each filter and place of a group."""
    return slice(bands.start * GROUP, bands.stop * GROUP)


def _whole_groups(features: Tensor, window: int) -> tuple[Tensor, int]:
    """Features lengthened to a whole number of groups of places, and that number."""
    places = features.shape[-1] - window + 1
    groups = -(-places // GROUP)
    return F.pad(features, (0, groups * GROUP - places)), groups


def _toeplitz(weight1: Tensor, bias1: Tensor) -> Tensor:
    """First layers for all places of a group at once, ``(n_heads, GROUP * hidden, window + GROUP)``; biases last."""
    n_heads, hidden, window = weight1.shape
    weights = weight1.new_zeros(n_heads, GROUP, hidden, window + GROUP)
    for place in range(GROUP):
        weights[:, place, :, place : place + window] = weight1
    weights[..., -1] = bias1[:, None]
    return weights.flatten(1, 2)


def _columns(features: Tensor, window: int, scratch: _Scratch) -> Tensor:
    """What a group of places reads, and a one for the bias: ``(n_filters, window + GROUP, clips * groups)``."""
    windows = features.unfold(-1, window + GROUP - 1, GROUP).permute(1, 3, 0, 2)
    columns = scratch("columns", (windows.shape[0], windows.shape[1] + 1, *windows.shape[2:]))
    columns[:, :-1] = windows
    columns[:, -1] = 1.0
    return columns.flatten(2)


def _overlap_add(columns: Tensor, scratch: _Scratch) -> Tensor:
    """Sum columns back to where they came from: ``(n, steps, GROUP, clips, groups)`` to ``(n, GROUP, clips, ...)``.

    Each row is lengthened by ``steps`` zeros and the rows are read again as one shorter: row ``k`` moves by ``k``.
    """
    n, steps, _, clips, groups = columns.shape
    rows = scratch("rows", (n, GROUP, clips, steps, groups + steps))
    rows[..., :groups] = columns.permute(0, 2, 3, 1, 4)
    rows[..., groups:] = 0.0
    shifted: Tensor = rows.flatten(-2)[..., : steps * (groups + steps - 1)].unflatten(-1, (steps, -1))
    return shifted.sum(-2)


class _Scratch:
    """Memory that one block after another is computed in: new pages for each would cost more than the arithmetic."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape)
        if name not in self._buffers or self._buffers[name].numel() < size:
            self._buffers[name] = self._like.new_empty(size)
        return self._buffers[name][:size].view(shape)
