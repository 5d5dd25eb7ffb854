r"""The networks of relevance heads, evaluated block by block and with a backward pass of their own.

The formula is that of `heads.head_logits`, which computes it plainly and holds all hidden units. For clip :math:`b`,
filter :math:`i` and frame :math:`t`, with :math:`c` frames of context and the parameters of the filter's head,

.. math:: y_{b,i,t} = w_2 \cdot \sigma(W_1 \, x_{b,i,t-c \ldots t+c} + b_1) + b_2.

A *block* is all frames of some filters of some clips, few enough that its hidden units stay in the cache. Its matrices
have one product for each filter and one column for each pair of a clip and a frame. Memory that is *reused* holds one
block after another. Forward, for each block::

    features   (batch, n_filters, frames), zeros on both sides
        | overlapping view
    windows    (filters, window, clips, frames)
        | copy
    columns    (filters, window + 1, clips * frames), the last row ones, for bias1     reused
        | sigmoid([weight1 bias1] @ columns)
    hidden     (filters, hidden, clips * frames)                                       reused, or kept if they are few
        | weight2 @ hidden + bias2
    logits     (filters, 1, clips * frames)                                            the result

Backward, for each block, with columns and hidden as above (hidden computed again unless kept)::

    d_logits @ hidden.T                         is added to d_weight2
    slopes = d_logits * hidden * (1 - hidden)   are the gradient before the sigmoid, / weight2    reused, over hidden
    slopes @ columns.T                          is added to d_[weight1 bias1] / weight2
    (weight1 * weight2).T @ slopes              is the gradient of columns but their last row     reused
        | copy to rows with zeros between them, read as rows that are one shorter                 reused
    diagonals  (filters, clips, window, frames + window - 1): row k moved by k frames
        | sum over the window
    d_features, with both sides                                                                   the result

The gradients of the parameters are collected filter by filter, and added up for each head at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

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

    Equal to `heads.head_logits` with the parameters of each filter's head, on windows with zeros beyond the ends of
    the features. All hidden units of a batch take far more memory than its features, and moving them takes longer than
    computing them. Here one block of them is computed, used and overwritten by the next, and computed again in the
    backward pass, unless there are few.

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
        first, second, offset = _with_bias(weight1, bias1)[heads], weight2[heads, None], bias2[heads, None, None]
        for block in _blocks(features, weight1, block_size):
            hidden = torch.empty_like(block.hidden) if keep else block.hidden
            torch.bmm(first[block.filters], block.columns, out=hidden).sigmoid_()
            block_logits = torch.baddbmm(offset[block.filters], second[block.filters], hidden)
            result = logits.transpose(0, 1)[block.filters, block.clips]
            result.copy_(block_logits.view(result.shape))
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
        batch, n, frames = features.shape
        n_heads, size, window = weight1.shape
        first, back = _with_bias(weight1, bias1)[heads], (weight1 * weight2[..., None]).mT[heads]
        # Transposed, (window + 1, hidden): for matrices of these shapes that is faster.
        d_first, d_second = first.new_zeros(n, window + 1, size), first.new_zeros(n, size, 1)
        d_padded = features.new_empty((n, batch, frames + window - 1) if wanted else (n, batch, 0))
        overlap_add = _OverlapAdd()
        for i, block in enumerate(_blocks(features, weight1, block_size)):
            hidden = kept[i] if kept else torch.bmm(first[block.filters], block.columns, out=block.hidden).sigmoid_()
            outer = d_logits.transpose(0, 1)[block.filters, None, block.clips].flatten(2)
            d_second[block.filters].baddbmm_(hidden, outer.mT)
            slopes = block.hidden
            torch.ops.aten.sigmoid_backward.grad_input(outer.expand_as(hidden), hidden, grad_input=slopes)
            d_first[block.filters].baddbmm_(block.columns, slopes.mT)
            if wanted:
                overlap_add(back[block.filters], slopes, d_padded[block.filters, block.clips])
        d_first = (first.new_zeros(n_heads, window + 1, size).index_add_(0, heads, d_first) * weight2[:, None]).mT
        return (
            d_padded.transpose(0, 1)[..., window // 2 : window // 2 + frames] if wanted else d_padded,
            d_first[..., :-1],
            d_first[..., -1],
            torch.zeros_like(weight2).index_add_(0, heads, d_second[..., 0]),
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


def _item_by_item(
    function: Callable[..., tuple[Tensor, ...]], info: Any, dims: tuple[int | None, ...], args: tuple[Any, ...]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Map a function of tensors and other things as `torch.vmap` asks for: by one call an item."""
    calls = [
        function(*(a if d is None else a.select(d, i) for a, d in zip(args, dims, strict=True)))
        for i in range(info.batch_size)
    ]
    outputs = tuple(torch.stack(items) for items in zip(*calls, strict=True))
    return outputs, (0,) * len(outputs)


def _with_bias(weight1: Tensor, bias1: Tensor) -> Tensor:
    """Return first layers for columns that end in a one, shape ``(n_heads, hidden, window + 1)``."""
    return torch.cat([weight1, bias1[..., None]], -1)


class _Block(NamedTuple):
    """Some filters of some clips, and memory that the next block overwrites.

    Attributes:
        filters: Which filters.
        clips: Which clips.
        columns: Their windows, shape ``(filters, window + 1, clips * frames)``; the last row is ones.
        hidden: Memory for their hidden units, shape ``(filters, hidden, clips * frames)``.
    """

    filters: slice
    clips: slice
    columns: Tensor
    hidden: Tensor


def _blocks(features: Tensor, weight1: Tensor, block_size: int) -> Iterator[_Block]:
    """Cut features into blocks of at most ``block_size`` hidden units, or one filter of one clip.

    A block is one or more filters of all clips; of some clips, where one filter of all of them is too large.
    """
    (batch, n, frames), (_, size, window) = features.shape, weight1.shape
    pairs = max(1, block_size // (frames * size))  # of a filter and a clip
    n_filters = min(n, max(1, pairs // max(1, batch)))
    n_clips = max(1, -(-batch // max(1, -(-batch // pairs))))
    windows = F.pad(features, (window // 2, window // 2)).unfold(-1, window, 1).permute(1, 3, 0, 2)
    columns = hidden = features.new_empty(0)
    for clips in (slice(i, min(i + n_clips, batch)) for i in range(0, batch, n_clips)):
        n_columns = (clips.stop - clips.start) * frames
        if columns.shape[-1] != n_columns:  # once, and once more if fewer clips are left; for each block it would cost
            columns = features.new_ones(n_filters, window + 1, n_columns)
            hidden = features.new_empty(n_filters, size, n_columns)
        for filters in (slice(i, min(i + n_filters, n)) for i in range(0, n, n_filters)):
            these = slice(filters.stop - filters.start)
            columns[these, :-1].unflatten(-1, (-1, frames)).copy_(windows[filters, :, clips])
            yield _Block(filters, clips, columns[these], hidden[these])


class _OverlapAdd:
    """The gradient of features from that of their overlapping windows, in memory that the next block overwrites."""

    def __init__(self) -> None:
        self._memory: tuple[Tensor, Tensor] | None = None

    def __call__(self, back: Tensor, slopes: Tensor, d_features: Tensor) -> None:
        """Compute ``back @ slopes`` and write its sums to ``d_features``, ``(filters, clips, frames + window - 1)``."""
        (n, window, _), (_, clips, length) = back.shape, d_features.shape
        frames = length - window + 1
        if self._memory is None or self._memory[1].shape[1] != clips:
            in_columns = slopes.new_empty(n, window, clips * frames)
            self._memory = in_columns, slopes.new_zeros(n, clips, window, frames + window)
        columns, rows = (memory[:n] for memory in self._memory)
        torch.bmm(back, slopes, out=columns)
        rows[..., :frames].copy_(columns.unflatten(-1, (clips, frames)).transpose(1, 2))
        # Each row ends in as many zeros as the window is long. Read as rows that are one shorter, row k begins k later.
        diagonals = rows.flatten(-2)[..., : window * length].unflatten(-1, (window, length))
        torch.sum(diagonals, -2, out=d_features)
