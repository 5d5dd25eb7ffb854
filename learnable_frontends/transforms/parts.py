"""The parts into which filters are divided, each of which is processed separately."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from learnable_frontends._checks import floating_tensor, whole_number

__all__ = ["checked_parts", "parts_of"]

Parts = Sequence[Sequence[int]]


def checked_parts(parts: Parts | None) -> list[list[int]] | None:
    """Return ``parts`` as lists of ints, after checking that they contain each filter once.

    Args:
        parts: Indices of the filters of each part; ``None`` means one part with all filters.

    Returns:
        Lists of ints, or ``None``.

    Raises:
        TypeError: If ``parts`` are not lists, or an index is not a whole number.
        ValueError: If a filter is missing or occurs twice, or a part is empty.
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
    """Return the parts of features, after checking that the features have the filters of the parts.

    Args:
        features: Shape ``(..., n_filters, frames)``, floating point.
        parts: The result of `checked_parts`.

    Returns:
        The parts; one part with all filters if ``parts`` is ``None``.

    Raises:
        TypeError: If ``features`` is not floating point.
        ValueError: If ``features`` has no axes for filters and frames, or another number of filters.
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
