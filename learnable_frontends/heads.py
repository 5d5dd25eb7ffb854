"""Two-layer networks over the temporal context of every filter at once, in plain operations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["conv_head_logits", "head_logits"]

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
    # Always more places than there are windows, so that an exported program takes any number of frames.
    groups = places // group + 1 if group > 1 else places
    windows = F.pad(features, (0, groups * group - places)).unfold(-1, taps, 1).transpose(0, 1)
    hidden = torch.sigmoid(torch.baddbmm(bias1[:, None], windows.flatten(1, 2), weight1.mT))
    rows = hidden.view(n, batch, -1).unfold(-1, channels * (span + group - 1), channels * group * stride).flatten(1, 2)
    weights = weight2.view(n, channels, span).mT.flatten(1)
    columns = [F.pad(weights, (channels * place, channels * (group - 1 - place))) for place in range(group)]
    logits = torch.baddbmm(bias2[:, None, None], rows, torch.stack(columns, -1))
    return logits.view(n, batch, groups * group)[..., :places].transpose(0, 1)
