"""Relevance heads as a step that `torch.compile` calls without compiling it, on a CPU and without gradients.

Compiled from the plain operations, it would write all hidden units to memory and take twice as long.
"""

import torch
from torch import Tensor

from learnable_frontends.relevance.blocked import blocked_head_logits

__all__ = ["opaque_head_logits"]


@torch.library.custom_op("learnable_frontends::head_logits", mutates_args=())
def opaque_head_logits(
    features: Tensor, heads: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> Tensor:
    """Return `blocked_head_logits`, without gradients."""
    return blocked_head_logits(features, heads, weight1, bias1, weight2, bias2)


@opaque_head_logits.register_fake
def _(features: Tensor, *parameters: Tensor) -> Tensor:
    del parameters
    return torch.empty_like(features)
