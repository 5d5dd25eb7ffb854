r"""The networks of relevance heads, evaluated block by block and with a backward pass of their own.

The formula is that of `heads.head_logits`, which computes it plainly and holds all hidden units. For clip :math:`b`,
filter :math:`i` and frame :math:`t`, with :math:`c` frames of context and the parameters of the filter's head,

.. math:: y_{b,i,t} = w_2 \cdot \sigma(W_1 \, x_{b,i,t-c \ldots t+c} + b_1) + b_2.

A *block* is all frames of some filters of some clips, few enough that its hidden units stay in the cache. Its matrices
have one product for each filter and one column for each pair of a clip and a frame. Memory that is *reused* holds one
block after another. Forward, for each block::

    windows    (filters, window, clips, frames): an overlapping view of the features and zeros on both sides
        | copy
    columns    (filters, window + 1, clips * frames), the last row ones, for bias1             reused
        | sigmoid([weight1 bias1] @ columns)
    hidden     (filters, hidden, clips * frames)                       reused, or kept for the backward pass if few
        | weight2 @ hidden + bias2
    logits     (filters, 1, clips, frames)                                                     result

Backward, for each block, after columns and hidden as above (hidden only unless kept)::

    hidden @ d_logits.T                       is added to d_weight2                            result
    slopes = d_logits * hidden * (1 - hidden)                                                  reused, over hidden
    columns @ slopes.T                        is added to d_[weight1 bias1].T / weight2        result
    d_columns = (weight1 * weight2).T @ slopes                                                 reused
        | copy to rows with zeros between them, read as rows that are one shorter              reused
    diagonals  (filters, clips, window, frames + window - 1): row k moved by k frames
        | sum over the window
    d_features                                and zeros' on both sides                         result

Gradients of parameters are collected for each filter, and added up for each head at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, NamedTuple, NoReturn, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["blocked_head_logits"]

# Hidden units in a block. One CPU thread wants few, which stay in its cache; several want more, since each block wakes
# them; a GPU wants many.
CPU_BLOCK, THREADS_BLOCK, DEVICE_BLOCK = 2**19, 3 * 2**19, 2**27
# Hidden units of a batch that are kept for the backward pass; of a larger batch none are.
KEPT = 2**22


def blocked_head_logits(
    features: Tensor, heads: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> Tensor:
    """Evaluate ``weight2 . sigmoid(weight1 @ window + bias1) + bias2`` for the window around each bin.

    This equals `heads.head_logits` of windows with zeros beyond the ends of the features. The hidden units of a batch
    are far more numbers than its features, and moving them takes longer than computing them. Here those of a block are
    computed, used, overwritten by the next block, and computed again in the backward pass, unless there are few.

    Args:
        features: Shape ``(batch, n_filters, frames)``, with at least one frame.
        heads: Index of each filter's head, shape ``(n_filters,)``.
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
    on_cpu = CPU_BLOCK if torch.get_num_threads() == 1 else THREADS_BLOCK
    block_size = on_cpu if features.device.type == "cpu" else DEVICE_BLOCK
    logits: Tensor = _Logits.apply(block_size, keep, *tensors)[0]  # type: ignore[no-untyped-call]
    return logits


class _Logits(torch.autograd.Function):
    """Logits, and the hidden units of each block if they are to be kept."""

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

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *args: Any) -> Any:
        return _item_by_item(_Logits.apply, info, dims, args)


class _Gradients(torch.autograd.Function):
    """Gradients of the features, empty unless they are wanted, and of the parameters of each head."""

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
        d_first = whole.d_first.new_zeros(n_heads, window + 1, size).index_add_(0, heads, whole.d_first)
        d_first = (d_first * weight2[:, None]).mT
        d_features = whole.d_features[:, 0].transpose(0, 1)
        return (
            d_features[..., window // 2 : window // 2 + frames] if wanted else d_features,
            d_first[..., :-1],
            d_first[..., -1],
            torch.zeros_like(weight2).index_add_(0, heads, whole.d_second[..., 0]),
            d_logits.new_zeros(n_heads).index_add_(0, heads, d_logits.sum((0, 2))),
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
        return _item_by_item(_Gradients.apply, info, dims, args)


def _item_by_item(function: Callable[..., tuple[Tensor, ...]], info: Any, dims: Any, args: tuple[Any, ...]) -> Any:
    """Map a function of tensors and other things as `torch.vmap` asks for: by one call an item."""
    calls = [
        function(*(a if d is None else a.select(d, i) for a, d in zip(args, dims, strict=True)))
        for i in range(info.batch_size)
    ]
    outputs = tuple(torch.stack(items) for items in zip(*calls, strict=True))
    return outputs, (0,) * len(outputs)


def _windows(features: Tensor, window: int) -> Tensor:
    """Return what each bin's head reads, a view of shape ``(n_filters, window, batch, frames)``."""
    return F.pad(features, (window // 2, window // 2)).unfold(-1, window, 1).permute(1, 3, 0, 2)


class _Forward(NamedTuple):
    """What a block of the forward pass reads and writes, or all blocks: filters first; clips third of four axes."""

    windows: Tensor
    logits: Tensor  # written
    first: Tensor  # [weight1 bias1] of each filter
    second: Tensor  # weight2 of each filter
    offset: Tensor  # bias2 of each filter


class _Backward(NamedTuple):
    """What a block of the backward pass reads and writes, or all blocks: filters first; clips third of four axes."""

    windows: Tensor
    d_logits: Tensor
    d_features: Tensor  # written, with both sides
    first: Tensor  # [weight1 bias1] of each filter
    back: Tensor  # (weight1 * weight2).T of each filter
    d_first: Tensor  # written, transposed, which is faster for matrices of these shapes
    d_second: Tensor  # written


class _Memory(NamedTuple):
    """Memory of one block after another, seen in the ways that it is written and read."""

    columns: Tensor  # (filters, window + 1, clips * frames)
    windows: Tensor  # its rows but the last, which is ones: (filters, window, clips, frames)
    hidden: Tensor  # (filters, hidden, clips * frames)
    d_columns: Tensor  # (filters, window, clips * frames), empty in the forward pass
    d_windows: Tensor  # the same, (filters, clips, window, frames)
    rows: Tensor  # where to copy that; as many zeros as the window is long stand between these rows
    diagonals: Tensor  # they and zeros read as rows that are one shorter, (filters, clips, window, frames + window - 1)


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


Part = TypeVar("Part", _Forward, _Backward)


def _blocks(whole: Part, size: int, block_size: int, d_window: int = 0) -> Iterator[tuple[Part, _Memory]]:
    """Cut all filters of all clips into blocks of at most ``block_size`` hidden units, or one filter of one clip.

    A block is one or more filters of all clips; of some clips, where one filter of all of them is too large.
    """
    _, _, batch, frames = whole.windows.shape
    pairs = max(1, block_size // (frames * size))  # of a filter and a clip
    n_clips, n_filters = max(1, -(-batch // max(1, -(-batch // pairs)))), max(1, pairs // max(1, batch))
    parts = (tensor.split(n_clips, 2) if tensor.dim() == 4 else repeat(tensor) for tensor in whole)
    memory = None
    for some_clips in zip(*parts, strict=False):
        windows = some_clips[0]
        if memory is None or memory.windows.shape[2] != windows.shape[2]:
            memory = _memory(windows[:n_filters], size, d_window)  # not for each block: new pages cost more than sums
        for part in zip(*(tensor.split(n_filters) for tensor in some_clips), strict=True):
            n = part[0].shape[0]
            smaller = n < memory.windows.shape[0]
            yield type(whole)._make(part), _Memory._make(tensor[:n] for tensor in memory) if smaller else memory
