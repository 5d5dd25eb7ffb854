"""Two-layer networks over the temporal context of every filter at once, in blocks of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["blocked_head_logits", "conv_head_logits", "head_logits"]

# Hidden units computed at a time. One CPU thread wants few, 2 MiB of float32, that stay in its cache; several want more
# (waking them costs a tenth of a millisecond); a GPU wants many.
CPU_BLOCK, THREADS_BLOCK, DEVICE_BLOCK = 2**19, 2**21, 2**27
# Hidden units of a batch that are kept for the backward pass, 16 MiB of float32; of a larger batch none are.
KEPT = 2**22
# Windows that share a row of a matrix product, for heads whose first layer is a convolution: they overlap in most of
# their 152 numbers, and are written out once for all of them.
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
    """Give `head_logits` of every bin of features, zeros beyond their ends, without ever holding all hidden units.

    They are 50 numbers for every one of the features; written to memory and read back they cost more than their
    arithmetic. Here a block of them is computed, used and forgotten, and computed again in the backward pass, unless
    there are few.

    Args:
        features: Shape ``(batch, n_filters, frames)``.
        heads: Which head weights each filter, shape ``(n_filters,)``.
        weight1: Shape ``(n_heads, hidden, window)``, with an odd window.
        bias1: Shape ``(n_heads, hidden)``.
        weight2: Shape ``(n_heads, hidden)``.
        bias2: Shape ``(n_heads,)``.

    Returns:
        Logits, shaped like ``features``.

    Raises:
        RuntimeError: If it is differentiated twice.

    Example:
        >>> zero = torch.zeros(1, 5)
        >>> heads = torch.zeros(2, dtype=torch.int64)
        >>> blocked_head_logits(torch.randn(1, 2, 9), heads, torch.zeros(1, 5, 3), zero, zero, torch.ones(1)).unique()
        tensor([1.])
    """
    tensors = (features, heads, weight1, bias1, weight2, bias2)
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    keep = learns and features.numel() * weight1.shape[1] <= KEPT
    if features.device.type == "cpu":
        block = CPU_BLOCK if torch.get_num_threads() == 1 else THREADS_BLOCK
    else:
        block = DEVICE_BLOCK
    logits: Tensor = _Heads.apply(*tensors, block, keep)[0]  # type: ignore[no-untyped-call]
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
    """Logits, and the hidden units of each block if they are to be kept."""

    @staticmethod
    def forward(
        features: Tensor,
        heads: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        block: int,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        scratch, logits = _Scratch(features), torch.empty_like(features)
        blocks = _blocks(
            (_windows(features, weight1.shape[-1]), logits.transpose(0, 1)[:, None]),
            (_with_bias(weight1, bias1)[heads], weight2[heads, None], bias2[heads, None, None]),
            block // max(1, features.shape[-1] * weight1.shape[1]),
        )
        kept = []
        for windows, out, first, second, offset in blocks:
            columns = scratch.columns(windows)
            shape = (*first.shape[:2], columns.shape[-1])
            hidden = features.new_empty(shape) if keep else scratch("hidden", shape)
            torch.bmm(first, columns, out=hidden).sigmoid_()
            out.copy_(torch.baddbmm(offset, second, hidden).view_as(out))
            kept += [hidden] * keep
        return logits, *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        *tensors, _, ctx.block, _ = inputs
        ctx.set_materialize_grads(False)  # no zeros for the hidden units
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*tensors, *output[1:])

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
        batch, n, frames = features.shape
        n_heads, size, window = weight1.shape
        scratch, outers = _Scratch(features), gradient.transpose(0, 1)[:, None]
        first = _with_bias(weight1, bias1)
        d_padded = features.new_empty((n, batch, frames + window - 1) if wanted else (n, batch, 0))
        d_first, d_second = first.new_zeros(n, *first.shape[1:]), first.new_zeros(n, size, 1)
        blocks = _blocks(
            (_windows(features, window), outers, d_padded[:, None]),
            # The last: from the slopes of the sigmoids to the windows, without the biases.
            (first[heads], d_first, d_second, (weight1 * weight2[..., None]).mT[heads]),
            block // max(1, frames * size),
        )
        for i, (windows, outer, d_part, first_part, d_first_part, d_second_part, back) in enumerate(blocks):
            columns, outer = scratch.columns(windows), outer.flatten(2)
            slopes = scratch("hidden", (*first_part.shape[:2], columns.shape[-1]))
            hidden = kept[i] if kept else torch.bmm(first_part, columns, out=slopes).sigmoid_()
            d_second_part.baddbmm_(hidden, outer.mT)
            torch.ops.aten.sigmoid_backward.grad_input(outer.expand_as(hidden), hidden, grad_input=slopes)
            d_first_part.baddbmm_(slopes, columns.mT)
            if wanted:
                d_columns = torch.bmm(back, slopes, out=scratch("d_columns", (*back.shape[:2], columns.shape[-1])))
                scratch.overlap_add(d_columns.view_as(windows), d_part[:, 0])
        d_first = torch.zeros_like(first).index_add_(0, heads, d_first) * weight2[..., None]
        return (
            d_padded.transpose(0, 1)[..., window // 2 : window // 2 + frames] if wanted else d_padded,
            d_first[..., :-1],
            d_first[..., -1],
            torch.zeros_like(weight2).index_add_(0, heads, d_second[..., 0]),
            gradient.new_zeros(n_heads).index_add_(0, heads, gradient.sum((0, 2))),
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
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


def _with_bias(weight1: Tensor, bias1: Tensor) -> Tensor:
    """First layers for columns that end in a one, ``(n_heads, hidden, window + 1)``."""
    return torch.cat([weight1, bias1[..., None]], -1)


def _windows(features: Tensor, window: int) -> Tensor:
    """What each bin's head reads, a view: ``(n_filters, window, batch, frames)``."""
    return F.pad(features, (window // 2, window // 2)).unfold(-1, window, 1).permute(1, 3, 0, 2)


def _blocks(by_clip: Sequence[Tensor], by_filter: Sequence[Tensor], rows: int) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors into blocks of at most ``rows`` pairs of a clip and a filter, or one.

    All are cut along filters, their first axis; and if one filter of all clips is too much, those that have clips along
    these, their third.
    """
    batch = by_clip[0].shape[2]
    parts = max(1, -(-batch // max(1, rows)))
    clips, filters = max(1, -(-batch // parts)), max(1, rows // max(1, batch))
    for some in zip(*(tensor.split(clips, 2) for tensor in by_clip), strict=True):
        yield from zip(*(tensor.split(filters) for tensor in (*some, *by_filter)), strict=True)


class _Scratch:
    """Memory that one block after another is computed in: new pages for each would cost more than the arithmetic."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._buffers: dict[tuple[Any, ...], Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...], fill: float | None = None) -> Tensor:
        """Give the first of the filters of a buffer, which keeps what was written into it."""
        key = (name, *shape[1:])
        buffer = self._buffers.get(key)
        if buffer is None or len(buffer) < shape[0]:
            buffer = self._like.new_empty(shape) if fill is None else self._like.new_full(shape, fill)
            self._buffers[key] = buffer
        return buffer[: shape[0]]

    def columns(self, windows: Tensor) -> Tensor:
        """Windows, and a one for the bias: ``(n_filters, window + 1, clips * frames)``."""
        n, window, clips, frames = windows.shape
        columns = self("columns", (n, window + 1, clips, frames), fill=1.0)
        columns[:, :-1] = windows
        return columns.flatten(2)

    def overlap_add(self, windows: Tensor, out: Tensor) -> None:
        """Sum windows back to where they came from, into ``out``, shape ``(n_filters, clips, frames + window - 1)``.

        Each row is lengthened by ``window`` zeros and the rows are read again as one shorter: row ``k`` moves by ``k``.
        """
        n, window, clips, frames = windows.shape
        rows = self("rows", (n, clips, window, frames + window), fill=0.0)
        rows[..., :frames] = windows.transpose(1, 2)
        torch.sum(rows.flatten(-2)[..., : window * out.shape[-1]].unflatten(-1, (window, -1)), -2, out=out)
