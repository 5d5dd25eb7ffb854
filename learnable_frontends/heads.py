"""Two-layer networks over the temporal context of every filter at once, in blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["blocked_head_logits", "head_logits"]

# Hidden units computed at a time: 1 MiB of float32 on a CPU, so that they stay in its cache. (32 clips of 80 x 431,
# 2 heads, one thread, forward and backward: 364 ms at 2**18, 544 at 2**16, 483 at 2**22, 839 all at once.) A GPU wants
# large blocks.
CPU_BLOCK, DEVICE_BLOCK = 2**18, 2**27


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
    batch, n, places, _ = windows.shape
    columns = _columns(windows)
    hidden = torch.sigmoid(torch.baddbmm(bias1[:, :, None], weight1, columns))
    logits = torch.baddbmm(bias2[:, None, None], weight2[:, None, :], hidden)
    return logits.reshape(n, batch, places).transpose(0, 1)


def blocked_head_logits(features: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    """Give `head_logits` of every place of padded features, without ever holding all hidden units.

    They are 50 numbers for every one of the features; written to memory and read back they cost more than their
    arithmetic. Here a block of them is computed, used and forgotten, and computed again in the backward pass. First
    derivatives only.

    Args:
        features: Shape ``(batch, n_filters, places + window - 1)``.
        weight1: As in `head_logits`, and so the rest.
        bias1: As there.
        weight2: As there.
        bias2: As there.

    Returns:
        Logits, shape ``(batch, n_filters, places)``.

    Example:
        >>> zero = torch.zeros(2, 5)
        >>> blocked_head_logits(torch.randn(1, 2, 11), torch.zeros(2, 5, 3), zero, zero, torch.ones(2)).unique()
        tensor([1.])
    """
    logits: Tensor = _BlockedHeads.apply(  # type: ignore[no-untyped-call]
        features, weight1, bias1, weight2, bias2
    )
    return logits


class _BlockedHeads(torch.autograd.Function):
    @staticmethod
    def forward(features: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
        batch, n, padded = features.shape
        logits = features.new_empty(batch, n, padded - weight1.shape[-1] + 1)
        windows = features.unfold(-1, weight1.shape[-1], 1)
        for clips, bands in _blocks(logits, weight1.shape[1]):
            logits[clips, bands] = head_logits(
                windows[clips, bands], weight1[bands], bias1[bands], weight2[bands], bias2[bands]
            )
        return logits

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight1, bias1, weight2, _ = ctx.saved_tensors
        window = weight1.shape[-1]
        windows = features.unfold(-1, window, 1)
        d_features = torch.empty_like(features) if ctx.needs_input_grad[0] else None
        d_weight1, d_bias1, d_weight2 = map(torch.zeros_like, (weight1, bias1, weight2))
        for clips, bands in _blocks(gradient, weight1.shape[1]):
            block = windows[clips, bands]
            columns = _columns(block)
            hidden = torch.baddbmm(bias1[bands][:, :, None], weight1[bands], columns).sigmoid_()
            outer = gradient[clips, bands].transpose(0, 1).reshape(columns.shape[0], 1, -1)
            d_weight2[bands] += torch.bmm(hidden, outer.mT)[:, :, 0]
            d_hidden = torch.addcmul(hidden, hidden, hidden, value=-1).mul_(weight2[bands][:, :, None]).mul_(outer)
            d_weight1[bands] += torch.bmm(d_hidden, columns.mT)
            d_bias1[bands] += d_hidden.sum(-1)
            if d_features is not None:
                d_columns = torch.bmm(weight1[bands].mT, d_hidden)
                d_features[clips, bands] = _overlap_add(d_columns.unflatten(-1, (block.shape[0], -1)))
        return d_features, d_weight1, d_bias1, d_weight2, gradient.sum((0, 2))


def _blocks(logits: Tensor, hidden: int) -> Iterator[tuple[slice, slice]]:
    """Cut ``(batch, n_filters, places)`` into blocks of whole rows, all clips of a filter before the next filter."""
    batch, n, places = logits.shape
    rows = max(1, (CPU_BLOCK if logits.device.type == "cpu" else DEVICE_BLOCK) // max(1, places * hidden))
    clips_step, bands_step = min(batch, rows), max(1, rows // max(1, batch))
    for band in range(0, n, bands_step):
        for clip in range(0, batch, max(1, clips_step)):
            yield slice(clip, clip + clips_step), slice(band, band + bands_step)


def _columns(windows: Tensor) -> Tensor:
    """``(batch, n, places, window)`` to the columns ``(n, window, batch * places)`` of one matrix a filter."""
    batch, n, places, window = windows.shape
    return windows.permute(1, 3, 0, 2).reshape(n, window, batch * places)


def _overlap_add(columns: Tensor) -> Tensor:
    """Sum windows back to where they came from: ``(n, window, batch, places)`` to ``(batch, n, places + window - 1)``.

    Each row is lengthened by ``window`` zeros and the rows are read again as one shorter: row ``k`` moves by ``k``.
    """
    window, places = columns.shape[1], columns.shape[3]
    rows = torch.nn.functional.pad(columns.permute(2, 0, 1, 3), (0, window)).flatten(-2)
    shifted: Tensor = rows[..., : window * (places + window - 1)].unflatten(-1, (window, -1))
    return shifted.sum(-2)
