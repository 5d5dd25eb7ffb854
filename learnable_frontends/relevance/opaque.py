"""Heads as a step that `torch.compile` calls as it is, on a CPU and without gradients.

What it makes of the plain operations writes all hidden units to memory, and takes twice as long.
"""

import torch
from torch import Tensor

from learnable_frontends.relevance.blocked import blocked_head_logits

__all__ = ["opaque_head_logits"]


@torch.library.custom_op("learnable_frontends::head_logits", mutates_args=())
def opaque_head_logits(
    features: Tensor, heads: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
) -> Tensor:
    """Compute `blocked_head_logits`, without gradients."""
    return blocked_head_logits(features, heads, weight1, bias1, weight2, bias2)


@opaque_head_logits.register_fake
def _(features: Tensor, *parameters: Tensor) -> Tensor:
    del parameters
    return torch.empty_like(features)
