"""Comparison of runs on the same folds, seeds and test clips: means, paired differences, intervals and p-values."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy.stats import false_discovery_control, t

Key = TypeVar("Key")
MOST = 10_000  # runs; beyond that nobody asks
UNVARIED = 1e-9  # a smaller deviation is one of rounding


class Comparison(NamedTuple):
    """Paired differences.

    Attributes:
        difference: Their mean.
        low: Lower end of its 95 % interval. ``None``, as the next two, of one pair, or where differences do not vary.
        high: Its upper end.
        p: Of the paired t-test.
        pairs: How many there are.
    """

    difference: float
    low: float | None
    high: float | None
    p: float | None
    pairs: int

    @classmethod
    def of(cls, difference: float, deviation: float | None, pairs: int) -> Comparison:
        """Test paired differences of which the mean, the standard deviation and the number are known."""
        if deviation is None or deviation < UNVARIED:
            return cls(difference, None, None, None, pairs)
        error = deviation / pairs**0.5
        half = float(t.ppf(0.975, pairs - 1)) * error
        p = 2 * float(t.sf(abs(difference) / error, pairs - 1))
        return cls(difference, difference - half, difference + half, p, pairs)

    @property
    def beyond(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the differences."""
        if self.low is None or self.high is None:
            return None
        return float((self.high - self.low) / 2 * self.pairs**0.5 / t.ppf(0.975, self.pairs - 1))

    @property
    def detectable(self) -> float | None:
        """Difference that leaves zero out four times in five, with so many pairs and this deviation."""
        if self.deviation is None:
            return None
        return float((t.ppf(0.975, self.pairs - 1) + t.ppf(0.8, self.pairs - 1)) * self.deviation / self.pairs**0.5)

    @property
    def needed(self) -> int | None:
        """Pairs, at most `MOST`, that leave zero out if their mean and spread are these; ``None`` if none do."""
        if self.deviation is None:
            return None
        counts = np.arange(2, MOST + 1)
        enough = t.ppf(0.975, counts - 1) * self.deviation / np.sqrt(counts) < abs(self.difference)
        return int(counts[enough.argmax()]) if enough.any() else None


def compare(values: Mapping[Key, float], reference: Mapping[Key, float]) -> Comparison | None:
    """Compare over the runs whose keys both have; ``None`` if there are none.

    Runs of one fold share their test clips, and all of them share clips to learn from, so p is too small rather than
    too large.
    """
    paired = [(value, reference[key]) for key, value in values.items() if key in reference]
    if not paired:
        return None
    differences = [value - other for value, other in paired]
    deviation = statistics.stdev(differences) if len(paired) > 1 else None
    return Comparison.of(statistics.fmean(differences), deviation, len(paired))


def pool(comparisons: Sequence[Comparison]) -> Comparison:
    """Return the comparison over the pairs of several, none of which they share, as if all had been compared at once.

    It needs no runs: means, deviations and numbers of pairs tell those of the whole.
    """
    pairs = sum(part.pairs for part in comparisons)
    difference = sum(part.pairs * part.difference for part in comparisons) / pairs
    squares = sum(
        (part.pairs - 1) * (part.deviation or 0.0) ** 2 + part.pairs * (part.difference - difference) ** 2
        for part in comparisons
    )
    return Comparison.of(difference, (squares / (pairs - 1)) ** 0.5 if pairs > 1 else None, pairs)


def fields(comparison: Comparison | None) -> dict[str, Any]:
    """Return the columns of a comparison, ``None`` for what is not known."""
    unknown = {**dict.fromkeys(Comparison._fields), "pairs": 0}
    return unknown if comparison is None else comparison._asdict()


def corrected(comparisons: Iterable[Comparison | None]) -> list[float | None]:
    """Correct p for the number of comparisons: the false discovery rate of Benjamini and Hochberg, ``None`` kept."""
    values = [None if comparison is None else comparison.p for comparison in comparisons]
    known = [p for p in values if p is not None]
    q = iter(false_discovery_control(known).tolist() if known else [])
    return [None if p is None else next(q) for p in values]


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return mean and sample standard deviation, ``None`` where there are too few values."""
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def percent(mean: float | None, spread: float | None = None) -> str:
    """Return a share in percent with its standard deviation, a dash for what is not known."""
    if mean is None:
        return "-"
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def points(comparison: Comparison | None) -> str:
    """Return a difference in percent points with its interval, a dash for runs that cannot be compared."""
    if comparison is None:
        return "-"
    mean, low, high = (None if end is None else 100 * end for end in comparison[:3])
    return interval(mean, low, high)


def interval(mean: float | None, low: float | None, high: float | None, digits: int = 1) -> str:
    """Return a number with its interval, where there is one; a dash for what is not known."""
    if mean is None:
        return "-"
    ends = "" if low is None or high is None else f" [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"{mean:+.{digits}f}{ends}"


def chance(p: float | None) -> str:
    """Return p or q with two digits, a dash for what is not known."""
    return "-" if p is None else f"{p:.2g}"
