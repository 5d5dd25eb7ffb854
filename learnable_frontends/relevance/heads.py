"""The networks of relevance heads in plain operations: two layers over the frames around each bin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["conv_head_logits", "grouped_head_logits", "head_logits"]

# Number of neighboring windows that share a row of a matrix product, for heads whose first layer is a convolution. They
# share most of their hidden units, which are written once for all of them.
CONV_GROUP = 16


def head_logits(windows: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    """Return ``weight2 . sigmoid(weight1 @ window + bias1) + bias2`` of each filter's network for its windows.

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
        >>> parameters = (torch.zeros(2, 5, 3), zero, zero, torch.ones(2))
        >>> head_logits(torch.randn(1, 2, 9, 3), *parameters).unique()
        tensor([1.])
    """
    batch, n, places, window = windows.shape
    columns = windows.permute(1, 3, 0, 2).reshape(n, window, batch * places)
    hidden = torch.sigmoid(torch.baddbmm(bias1[:, :, None], weight1, columns))
    logits = torch.baddbmm(bias2[:, None, None], weight2[:, None, :], hidden)
    return logits.reshape(n, batch, places).transpose(0, 1)


def grouped_head_logits(windows: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    """Return the same as `head_logits`, for a few windows: the filters of a head are rows of one matrix product.

    Args:
        windows: Shape ``(batch, n_filters, places, window)``.
        weight1: Shape ``(n_heads, hidden, window)``. The filters of each head must be neighbors, equally many for each.
        bias1: Shape ``(n_heads, hidden)``.
        weight2: Shape ``(n_heads, hidden)``.
        bias2: Shape ``(n_heads,)``.

    Returns:
        Logits, shape ``(batch, n_filters, places)``.
    """
    batch, n, places, window = windows.shape
    rows = windows.transpose(0, 1).reshape(len(weight1), -1, window)
    hidden = torch.baddbmm(bias1[:, None], rows, weight1.mT).sigmoid_()
    logits = torch.baddbmm(bias2[:, None, None], hidden, weight2[:, :, None])
    return logits.view(n, batch, places).transpose(0, 1)


def conv_head_logits(
    features: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    *,
    padding: tuple[int, int] = (0, 0),
    stride: int = 1,
) -> Tensor:
    """Return the logits of networks whose first layer is a convolution over the context.

    Each hidden unit is a short filter at one position of the context, which is computed once for each frame rather than
    for each window. With ``stride=1``, a window that contains a number that is not finite becomes NaN, and other
    windows do not depend on that number.

    Args:
        features: Shape ``(batch, n_filters, frames)``.
        weight1: Shape ``(n_filters, channels, taps)``.
        bias1: Shape ``(n_filters, channels)``.
        weight2: Shape ``(n_filters, channels * span)``, channel by channel, for windows of ``span + taps - 1`` frames.
        bias2: Shape ``(n_filters,)``.
        padding: Number of frames of zeros before and after the features.
        stride: Number of frames from window to window: 1, or at least the length of a window.

    Returns:
        Logits, shape ``(batch, n_filters, 1 + (padded frames - span - taps + 1) // stride)``.

    Example:
        >>> first, second = (torch.zeros(2, 8, 3), torch.zeros(2, 8)), torch.zeros(2, 24)
        >>> conv_head_logits(torch.randn(1, 2, 9), *first, second, torch.ones(2)).shape
        torch.Size([1, 2, 5])
    """
    batch, n, frames = features.shape
    channels, taps = weight1.shape[1:]
    span = weight2.shape[-1] // channels
    window = span + taps - 1
    places = 1 + (sum(padding) + frames - window) // stride
    group = CONV_GROUP if stride == 1 else 1
    # More places than windows and, in a program, at least two rows, so that it takes any number of frames.
    groups = places // group + 1 + int(torch.compiler.is_compiling()) if group > 1 else places
    padded = F.pad(features.transpose(0, 1), (padding[0], padding[1] + groups * group - places))
    if group > 1:
        # Windows that share a row have zero weights for what only others contain, and zero times NaN is NaN. Therefore
        # numbers that are not finite are replaced before the products, in our own copy and unknown to autograd.
        values = padded.detach()
        marks = _spread(values - values, window)  # NaN for windows that must become NaN, otherwise zero
        values.nan_to_num_(0.0, 0.0, 0.0)
    hidden = torch.baddbmm(bias1[:, None], padded.unfold(-1, taps, 1).flatten(1, 2), weight1.mT).sigmoid_()
    units = hidden.view(n, batch, channels * (padded.shape[-1] - taps + 1))
    rows = units.unfold(-1, channels * (span + group - 1), channels * group * stride).flatten(1, 2)
    columns = _shifted(weight2.view(n, channels, span).mT.flatten(1), channels, group).mT
    logits = torch.baddbmm(bias2[:, None, None], rows, columns)
    if group > 1:
        logits.add_(marks.view(logits.shape))
    return logits.view(n, batch, groups * group)[..., :places].transpose(0, 1)


def _spread(marks: Tensor, window: int) -> Tensor:
    """Return NaN for each run of ``window`` numbers on the last axis that contains a NaN, and zero for all others."""
    width = 1
    while width < window:
        step = min(width, window - width)
        marks = marks[..., :-step] + marks[..., step:]
        width += step
    return marks


def _shifted(weights: Tensor, step: int, copies: int) -> Tensor:
    """Return copies of each row of ``weights``, each shifted by ``step`` more than the last, and zeros elsewhere.

    Args:
        weights: Shape ``(n_filters, size)``.
        step: Shift from one copy to the next.
        copies: Number of copies.

    Returns:
        Shape ``(n_filters, copies, size + (copies - 1) * step)``.
    """
    n, size = weights.shape
    # Each row is a copy and zeros. Read as rows that are ``step`` shorter, each begins with more zeros than the last.
    repeated = F.pad(weights, (0, copies * step))[:, None].expand(n, copies, size + copies * step)
    return repeated.flatten(1)[:, : copies * (size + (copies - 1) * step)].view(n, copies, size + (copies - 1) * step)
