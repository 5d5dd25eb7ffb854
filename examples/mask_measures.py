"""How far the masks of relevance heads are from constant on a set of clips, trained and untrained."""

from __future__ import annotations

import copy
import statistics

import torch
from torch import Tensor

from learnable_frontends import RelevanceWeighting
from learnable_frontends.analysis import mask_statistics

DRAWS = 10  # untrained heads to average over
BATCH = 16  # clips at a time
COLUMNS = ("mean", "total", "between_bands", "between_clips", "between_classes", "within_clip", "level")


def measure(relevance: RelevanceWeighting, features: Tensor, labels: Tensor) -> tuple[list[dict[str, float]], Tensor]:
    """Measure the masks that heads give to features.

    Args:
        relevance: The heads.
        features: What they weight, shape ``(clips, n_filters, frames)``.
        labels: Class of each clip, shape ``(clips,)``.

    Returns:
        For each head the fields of `MaskStatistics`, ``between_classes``, the part of ``between_clips`` that the
        means of the classes have, and ``level``, the correlation of weights with the features they weight; and the
        mean mask of each class, shape ``(classes, n_filters)``, classes in the order of their numbers.

    Raises:
        ValueError: If no frame has all its context inside the clip.
    """
    context, frames = relevance.context, features.shape[-1]
    if frames <= 2 * context:
        raise ValueError(f"clips must have more than {2 * context} frames, the context of the heads, got {frames}")
    with torch.no_grad():
        masks = torch.cat([relevance.masks(batch) for batch in features.split(BATCH)])
    masks, features = (values[..., context : frames - context] for values in (masks, features))
    of_clips = masks.mean(-1)
    means = torch.stack([of_clips[labels == label].mean(0) for label in labels.unique()])
    rows = []
    for part, of_head, of_means in zip(
        relevance.parts,
        mask_statistics(masks, relevance.parts),
        mask_statistics(means[:, :, None], relevance.parts),
        strict=True,
    ):
        level = torch.corrcoef(torch.stack([masks[:, part].flatten(), features[:, part].flatten()]).double())[0, 1]
        rows.append({**of_head._asdict(), "between_classes": of_means.between_clips, "level": float(level)})
    return rows, means


def measure_untrained(relevance: RelevanceWeighting, features: Tensor, labels: Tensor) -> list[dict[str, float]]:
    """Measure fresh heads of the same kind: means over ``DRAWS`` draws, for ``level`` of its size."""
    draws = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        fresh = copy.deepcopy(relevance)
        fresh.reset_parameters()
        draws.append(measure(fresh, features, labels)[0])
    return [
        {name: statistics.fmean(abs(draw[head][name]) for draw in draws) for name in COLUMNS}
        for head in range(relevance.n_heads)
    ]
