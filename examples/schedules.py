"""When filters, relevance heads and classifier learn: factors of their learning rates over a training."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from learnable_frontends import Frontend, MultiHeadRelevance

# From the name of a parameter group and the share of the training that is over to a factor of its rate.
Schedule = Callable[[str, float], float]

RISE = 0.3  # share of the training in which a warm-up rises
STAGE = 0.5  # share of it that the first stage takes


def _jointly(group: str, done: float) -> float:  # noqa: ARG001
    return 1.0


def _warm_up(group: str, done: float) -> float:
    return min(1.0, done / RISE) if group == "filters" else 1.0


def _filters_first(group: str, done: float) -> float:
    fixed = {"filters": done >= STAGE, "frontend": done < STAGE}
    return float(not fixed.get(group, False))


def _filters_last(group: str, done: float) -> float:
    return float(group != "filters" or done >= STAGE)


SCHEDULES: dict[str, Schedule] = {
    "jointly": _jointly,
    "warm-up": _warm_up,
    "filters-first": _filters_first,  # with heads as published: they are not there in the first stage
    "filters-last": _filters_last,
}


def features_of(frontend: Frontend, waveforms: Tensor, schedule: str, done: float) -> Tensor:
    """Features for training: of the filters alone while ``filters-first`` is in its first stage."""
    if schedule == "filters-first" and done < STAGE and isinstance(frontend, MultiHeadRelevance):
        frontend = frontend.frontend
    features: Tensor = frontend(waveforms)
    return features
