"""The networks of relevance heads, in blocks of bounded size and with a backward pass of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["blocked_head_logits"]

# Hidden units computed at a time. One CPU thread wants few, 2 MiB of float32, that stay in its cache; several want more
# (waking them costs a tenth of a millisecond); a GPU wants many.
CPU_BLOCK, THREADS_BLOCK, DEVICE_BLOCK = 2**19, 3 * 2**19, 2**27
# Hidden units of a batch that are kept for the backward pass, 16 MiB of float32; of a larger batch none are.
KEPT = 2**22


def blocked_head_logits(
    features: Tensor, heads: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> Tensor:
    """Give `heads.head_logits` of every bin of features, zeros beyond their ends, without holding all hidden units.

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
        scratch, logits = _Scratch(features, weight1), torch.empty_like(features)
        blocks = _blocks(
            (_windows(features, weight1.shape[-1]), logits.transpose(0, 1)[:, None]),
            (_with_bias(weight1, bias1)[heads], weight2[heads, None], bias2[heads, None, None]),
            block // max(1, features.shape[-1] * weight1.shape[1]),
        )
        kept = []
        for windows, out, first, second, offset in blocks:
            room = scratch.room(windows)
            room.windows.copy_(windows)
            hidden = torch.empty_like(room.hidden) if keep else room.hidden
            torch.bmm(first, room.columns, out=hidden).sigmoid_()
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
        return _item_by_item(_Heads.apply, info, dims, args)


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
        scratch, outers = _Scratch(features, weight1), gradient.transpose(0, 1)[:, None]
        first = _with_bias(weight1, bias1)
        d_padded = features.new_empty((n, batch, frames + window - 1) if wanted else (n, batch, 0))
        # Transposed, (window + 1, hidden): for matrices of these shapes that is faster.
        d_first, d_second = first.new_zeros(n, window + 1, size), first.new_zeros(n, size, 1)
        blocks = _blocks(
            (_windows(features, window), outers, d_padded[:, None]),
            # The last: from the slopes of the sigmoids to the windows, without the biases.
            (first[heads], d_first, d_second, (weight1 * weight2[..., None]).mT[heads]),
            block // max(1, frames * size),
        )
        for i, (windows, outer, d_part, first_part, d_first_part, d_second_part, back) in enumerate(blocks):
            room, outer = scratch.room(windows), outer.flatten(2)
            room.windows.copy_(windows)
            hidden = kept[i] if kept else torch.bmm(first_part, room.columns, out=room.hidden).sigmoid_()
            d_second_part.baddbmm_(hidden, outer.mT)
            torch.ops.aten.sigmoid_backward.grad_input(outer.expand_as(hidden), hidden, grad_input=room.hidden)
            d_first_part.baddbmm_(room.columns, room.hidden.mT)
            if wanted:
                back_room = scratch.back_room(windows)
                torch.bmm(back, room.hidden, out=back_room.columns)
                back_room.rows.copy_(back_room.windows)
                torch.sum(back_room.shifted, -2, keepdim=True, out=d_part.transpose(1, 2))
        d_first = (torch.zeros_like(first.mT).index_add_(0, heads, d_first) * weight2[:, None]).mT
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
        return _item_by_item(_HeadsBackward.apply, info, dims, args)


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


class _Room(NamedTuple):
    """Memory for one block of filters and clips, seen in the ways that it is written and read.

    Attributes:
        windows: ``(n_filters, window, clips, frames)``, the columns without their last.
        columns: ``(n_filters, window + 1, clips * frames)``, whose last are ones, for the bias.
        hidden: ``(n_filters, hidden, clips * frames)``.
    """

    windows: Tensor
    columns: Tensor
    hidden: Tensor


class _BackRoom(NamedTuple):
    """The same for the sum of overlapping windows in the backward pass.

    Attributes:
        columns: ``(n_filters, window, clips * frames)``.
        windows: The same, ``(n_filters, clips, window, frames)``.
        rows: Where to copy that: rows that go on with ``window`` zeros.
        shifted: These rows read as if they were one shorter, so that row ``k`` moves by ``k``: ``(n_filters, clips,
            window, frames + window - 1)``.
    """

    columns: Tensor
    windows: Tensor
    rows: Tensor
    shifted: Tensor


class _Scratch:
    """Rooms that one block after another is computed in: new pages for each would cost more than the arithmetic.

    A block of fewer filters than the first has a part of its room; other numbers of clips have a room of their own.
    """

    def __init__(self, like: Tensor, weight1: Tensor) -> None:
        self._like = like
        self._size = weight1.shape[1]
        self._buffers: dict[tuple[str, int], Tensor] = {}
        self._rooms: dict[tuple[int, int], _Room] = {}
        self._back_rooms: dict[tuple[int, int], _BackRoom] = {}

    def room(self, windows: Tensor) -> _Room:
        """Give the room for a block with these windows."""
        n, window, clips, frames = windows.shape
        if (n, clips) not in self._rooms:
            columns = self._buffer("columns", clips, (n, window + 1, clips * frames), fill=1.0)
            hidden = self._buffer("hidden", clips, (n, self._size, clips * frames))
            self._rooms[n, clips] = _Room(columns[:, :-1].unflatten(-1, (clips, frames)), columns, hidden)
        return self._rooms[n, clips]

    def back_room(self, windows: Tensor) -> _BackRoom:
        """Give the back room for a block with these windows."""
        n, window, clips, frames = windows.shape
        if (n, clips) not in self._back_rooms:
            columns = self._buffer("d_columns", clips, (n, window, clips * frames))
            rows = self._buffer("rows", clips, (n, clips, window, frames + window), fill=0.0)
            shifted = rows.flatten(-2)[..., : window * (frames + window - 1)].unflatten(-1, (window, -1))
            seen = columns.unflatten(-1, (clips, frames)).transpose(1, 2)
            self._back_rooms[n, clips] = _BackRoom(columns, seen, rows[..., :frames], shifted)
        return self._back_rooms[n, clips]

    def _buffer(self, name: str, clips: int, shape: tuple[int, ...], fill: float | None = None) -> Tensor:
        if (name, clips) not in self._buffers:
            buffer = self._like.new_empty(shape) if fill is None else self._like.new_full(shape, fill)
            self._buffers[name, clips] = buffer
        return self._buffers[name, clips][: shape[0]]
