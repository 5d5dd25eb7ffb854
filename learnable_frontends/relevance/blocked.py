"""The networks of relevance heads, evaluated block by block with a backward pass of their own.

The formula is that of `heads.head_logits`: with the parameters of the filter's head and ``c`` frames of context,
``logits[b, i, t] = weight2 . sigmoid(weight1 @ features[b, i, t - c : t + c + 1] + bias1) + bias2``.

A *block* is all frames of some filters of some clips, so few that its hidden units stay in the cache. A column of its
matrices belongs to one frame of one clip. *Reused* memory holds one block after another. Forward, for each block::

    windows    (filters, window, clips, frames): an overlapping view of the features, with zeros on both sides
        | copy
    columns    (filters, window + 1, clips * frames), the last row ones, for bias1             reused
        | sigmoid([weight1 bias1] @ columns)
    hidden     (filters, hidden, clips * frames)                       reused, or kept for backward if there are few
        | weight2 @ hidden + bias2
    logits     (filters, 1, clips, frames)                                                     result

Backward, for each block, after columns and (unless kept) hidden as above; sums over the filters of a head come last::

    d_weight2 += hidden @ d_logits.T                                                           result, of each filter
    slopes     = d_logits * hidden * (1 - hidden), the gradient before the sigmoid / weight2   reused, over hidden
    d_first   += columns @ slopes.T, the gradient of [weight1 bias1].T / weight2               result, of each filter
    d_columns  = (weight1 * weight2).T @ slopes                                                reused
        | copy to rows that end in zeros, and read these as rows that are one shorter          reused
    diagonals  (filters, clips, window, frames + window - 1): row k shifted by k frames
        | sum over the window
    d_features, with the gradient of the zeros on both sides                                   result
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple, NoReturn, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["blocked_head_logits"]

# Hidden units in a block. For one CPU thread few are best, since they stay in its cache; for several threads more,
# since each block has to wake them; for a GPU many.
CPU_BLOCK, THREADS_BLOCK, DEVICE_BLOCK = 2**19, 3 * 2**19, 2**27
# Largest number of hidden units of a batch that are kept for the backward pass; for a larger batch, none are.
KEPT = 2**22

Part = TypeVar("Part", "_Forward", "_Backward")


def blocked_head_logits(
    features: Tensor, heads: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> Tensor:
    """Return ``weight2 . sigmoid(weight1 @ window + bias1) + bias2`` for the window around each bin.

    This equals `heads.head_logits` of windows with zeros beyond the ends of the features. A batch has far more hidden
    units than features, and moving them takes longer than computing them. Therefore the hidden units of a block are
    overwritten by those of the next one and, unless there are few, computed again in the backward pass.

    Args:
        features: Shape ``(batch, n_filters, frames)``, with at least one frame.
        heads: Index of each filter's head, shape ``(n_filters,)``.
        weight1: Shape ``(n_heads, hidden, window)``; the window is odd.
        bias1: Shape ``(n_heads, hidden)``.
        weight2: Shape ``(n_heads, hidden)``.
        bias2: Shape ``(n_heads,)``.

    Returns:
        Logits, shaped like ``features``.

    Raises:
        RuntimeError: If it is differentiated twice.

    Example:
        >>> heads, zero = torch.zeros(2, dtype=torch.int64), torch.zeros(1, 5)
        >>> parameters = (torch.zeros(1, 5, 3), zero, zero, torch.ones(1))
        >>> blocked_head_logits(torch.randn(1, 2, 9), heads, *parameters).unique()
        tensor([1.])
    """
    tensors = (features, heads, weight1, bias1, weight2, bias2)
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    keep = learns and features.numel() * weight1.shape[1] <= KEPT
    on_cpu = CPU_BLOCK if torch.get_num_threads() == 1 else THREADS_BLOCK
    block_size = on_cpu if features.device.type == "cpu" else DEVICE_BLOCK
    logits: Tensor = _Logits.apply(block_size, keep, *tensors)[0]  # type: ignore[no-untyped-call]
    return logits


class _ItemByItem(torch.autograd.Function):
    """A function that `torch.vmap` evaluates with one call for each item."""

    @classmethod
    def vmap(cls, _: Any, dims: tuple[int | None, ...], *args: Any) -> Any:
        by_item = (repeat(a) if d is None else a.unbind(d) for a, d in zip(args, dims, strict=True))
        calls = [cls.apply(*item) for item in zip(*by_item, strict=False)]  # type: ignore[no-untyped-call]
        outputs = tuple(torch.stack(items) for items in zip(*calls, strict=True))
        return outputs, (0,) * len(outputs)


class _Logits(_ItemByItem):
    """Logits, and the hidden units of each block if they are kept."""

    @staticmethod
    def forward(block_size: int, keep: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        features, heads, weight1, bias1, weight2, bias2 = tensors
        logits, kept = torch.empty_like(features), []
        whole = _Forward(
            windows=_windows(features, weight1.shape[-1]),
            logits=logits.transpose(0, 1)[:, None],
            first=torch.cat([weight1, bias1[..., None]], -1)[heads],
            second=weight2[heads, None],
            offset=bias2[heads, None, None],
        )
        for block, memory in _blocks(whole, weight1.shape[1], block_size):
            memory.windows.copy_(block.windows)
            hidden = torch.empty_like(memory.hidden) if keep else memory.hidden
            torch.bmm(block.first, memory.columns, out=hidden).sigmoid_()
            block.logits.copy_(torch.baddbmm(block.offset, block.second, hidden).view_as(block.logits))
            kept += [hidden] * keep
        return logits, *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.block_size, _, *tensors, _ = inputs
        ctx.set_materialize_grads(False)  # no zeros for the hidden units
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*tensors, *output[1:])

    @staticmethod
    def backward(ctx: Any, d_logits: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if d_logits is None:
            return (None,) * 8
        wanted = ctx.needs_input_grad[2]
        gradients = _Gradients.apply(ctx.block_size, wanted, d_logits, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return None, None, gradients[0] if wanted else None, None, *gradients[1:]


class _Gradients(_ItemByItem):
    """Gradients of the features, empty unless needed, and of the parameters of each head."""

    @staticmethod
    def forward(block_size: int, wanted: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        d_logits, features, heads, weight1, bias1, weight2, *kept = tensors
        (batch, n, frames), (n_heads, size, window) = features.shape, weight1.shape
        whole = _Backward(
            windows=_windows(features, window),
            d_logits=d_logits.transpose(0, 1)[:, None],
            d_features=features.new_empty(n, 1, batch, frames + window - 1 if wanted else 0),
            first=torch.cat([weight1, bias1[..., None]], -1)[heads],
            back=(weight1 * weight2[..., None]).mT[heads],
            d_first=weight1.new_zeros(n, window + 1, size),
            d_second=weight1.new_zeros(n, size, 1),
        )
        for i, (block, memory) in enumerate(_blocks(whole, size, block_size, window if wanted else 0)):
            memory.windows.copy_(block.windows)
            hidden = kept[i] if kept else torch.bmm(block.first, memory.columns, out=memory.hidden).sigmoid_()
            outer, slopes = block.d_logits.flatten(2), memory.hidden
            block.d_second.baddbmm_(hidden, outer.mT)
            torch.ops.aten.sigmoid_backward.grad_input(outer.expand_as(hidden), hidden, grad_input=slopes)
            block.d_first.baddbmm_(memory.columns, slopes.mT)
            if wanted:
                torch.bmm(block.back, slopes, out=memory.d_columns)
                memory.rows.copy_(memory.d_windows)
                torch.sum(memory.diagonals, -2, keepdim=True, out=block.d_features.transpose(1, 2))
        d_features = whole.d_features[:, 0].transpose(0, 1)[..., window // 2 : window // 2 + frames]
        d_first = whole.d_first.new_zeros(n_heads, window + 1, size).index_add_(0, heads, whole.d_first)
        d_first = (d_first * weight2[:, None]).mT
        d_weight2 = torch.zeros_like(weight2).index_add_(0, heads, whole.d_second[..., 0])
        d_bias2 = d_logits.new_zeros(n_heads).index_add_(0, heads, d_logits.sum((0, 2)))
        return d_features, d_first[..., :-1], d_first[..., -1], d_weight2, d_bias2

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> NoReturn:  # noqa: ARG004
        raise RuntimeError(
            "relevance heads can be differentiated once only: their hidden units are not kept (inside torch.compile, "
            "or with heads.head_logits, they are)"
        )


def _windows(features: Tensor, window: int) -> Tensor:
    """Return the frames that the head of each bin reads, a view of shape ``(n_filters, window, batch, frames)``."""
    return F.pad(features, (window // 2, window // 2)).unfold(-1, window, 1).permute(1, 3, 0, 2)


class _Forward(NamedTuple):
    """What forward blocks read and write. The first axis is filters; of four axes, the third is clips."""

    windows: Tensor
    logits: Tensor  # written
    first: Tensor  # [weight1 bias1] of each filter
    second: Tensor  # weight2 of each filter
    offset: Tensor  # bias2 of each filter


class _Backward(NamedTuple):
    """What backward blocks read and write, with the same axes."""

    windows: Tensor
    d_logits: Tensor
    d_features: Tensor  # written, including both sides
    first: Tensor  # [weight1 bias1] of each filter
    back: Tensor  # (weight1 * weight2).T of each filter
    d_first: Tensor  # written, transposed, which is faster for matrices of these shapes
    d_second: Tensor  # written


class _Memory(NamedTuple):
    """Memory that one block after another uses, as the views through which it is written and read."""

    columns: Tensor  # (filters, window + 1, clips * frames)
    windows: Tensor  # its rows but the last, which is ones: (filters, window, clips, frames)
    hidden: Tensor  # (filters, hidden, clips * frames)
    d_columns: Tensor  # (filters, window, clips * frames), empty in the forward pass
    d_windows: Tensor  # the same, (filters, clips, window, frames)
    rows: Tensor  # a copy of that, with as many zeros between the rows as the window is long
    diagonals: Tensor  # rows and zeros, read as rows one shorter: (filters, clips, window, frames + window - 1)


def _memory(windows: Tensor, size: int, d_window: int) -> _Memory:
    n, window, clips, frames = windows.shape
    columns, d_columns = (windows.new_ones(n, height, clips * frames) for height in (window + 1, d_window))
    rows, length = windows.new_zeros(n, clips, d_window, frames + window), frames + window - 1
    return _Memory(
        columns,
        columns[:, :-1].unflatten(-1, (clips, frames)),
        windows.new_empty(n, size, clips * frames),
        d_columns,
        d_columns.unflatten(-1, (clips, frames)).transpose(1, 2),
        rows[..., :frames],
        rows.flatten(-2)[..., : d_window * length].unflatten(-1, (d_window, length)),
    )


def _blocks(whole: Part, size: int, block_size: int, d_window: int = 0) -> Iterator[tuple[Part, _Memory]]:
    """Yield the blocks: several filters of all clips, or one filter of some clips if ``block_size`` requires it."""
    _, _, batch, frames = whole.windows.shape
    pairs = max(1, block_size // (frames * size))  # pairs of a filter and a clip
    n_clips, n_filters = max(1, -(-batch // max(1, -(-batch // pairs)))), max(1, pairs // max(1, batch))
    parts = (tensor.split(n_clips, 2) if tensor.dim() == 4 else repeat(tensor) for tensor in whole)
    memory = None
    for some_clips in zip(*parts, strict=False):
        windows = some_clips[0]
        if memory is None or memory.windows.shape[2] != windows.shape[2]:
            memory = _memory(windows[:n_filters], size, d_window)  # once: fresh memory costs more than the sums
        for part in zip(*(tensor.split(n_filters) for tensor in some_clips), strict=True):
            less = len(part[0]) < len(memory.columns)
            yield type(whole)._make(part), _Memory._make(view[: len(part[0])] for view in memory) if less else memory
