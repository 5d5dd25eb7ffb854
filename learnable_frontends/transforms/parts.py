"""The parts of a time-frequency picture that are treated each for itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from learnable_frontends._checks import floating_tensor, whole_number

__all__ = ["checked_parts", "parts_of"]

Parts = Sequence[Sequence[int]]


def checked_parts(parts: Parts | None) -> list[list[int]] | None:
    """Check that ``parts`` hold each filter once.

    Args:
        parts: Indices of the filters of each part; ``None`` for one part of all.

    Returns:
        Lists of whole numbers, or ``None``.

    Raises:
        TypeError: If ``parts`` are not lists, or an index is not a whole number.
        ValueError: If a filter is missing or there twice, or a part is empty.
    """
    if parts is None:
        return None
    if not isinstance(parts, Iterable) or not all(isinstance(part, Iterable) for part in parts):
        raise TypeError(f"parts must be lists of filters, got {parts!r} (RelevanceWeighting.parts)")
    lists = [[whole_number("parts", index, least=0) for index in part] for part in parts]
    filters = sorted(index for part in lists for index in part)
    if not lists or not all(lists) or filters != list(range(len(filters))):
        raise ValueError(
            f"parts must hold each filter from 0 on once and no part be empty, got {lists} (RelevanceWeighting.parts)"
        )
    return lists


def parts_of(features: Tensor, parts: list[list[int]] | None) -> list[list[int]]:
    """Check that features fit to their parts.

    Args:
        features: Shape ``(..., n_filters, frames)``, floating point.
        parts: What `checked_parts` gave.

    Returns:
        The parts, or one of all filters.

    Raises:
        TypeError: If ``features`` is not floating point.
        ValueError: If it has no filters and frames, or another number of filters.
    """
    floating_tensor("features", features)
    if features.dim() < 2:
        raise ValueError(f"features must have filters and frames, got shape {tuple(features.shape)}")
    n = features.shape[-2]
    if parts is None:
        return [list(range(n))]
    if sum(map(len, parts)) != n:
        raise ValueError(f"features must have the {sum(map(len, parts))} filters of parts on axis -2, got {n}")
    return parts
