"""Two front-ends compared on the same folds and seeds."""

from __future__ import annotations

from typing import NamedTuple

from reporting import Accuracies
from scipy.stats import false_discovery_control, ttest_rel


class Comparison(NamedTuple):
    """Mean difference of paired accuracies, its 95 % interval, and the p-value of the paired t-test."""

    difference: float
    low: float
    high: float
    p: float


def compare(values: Accuracies, reference: Accuracies) -> Comparison | None:
    """Compare over the folds and seeds where both ran.

    Cells of one fold share their test clips, and all of them share clips to learn from, so p is too small rather than
    too large.

    Returns:
        ``None`` where differences do not vary or there are fewer than two.
    """
    paired = [(value, reference[cell]) for cell, value in values.items() if cell in reference]
    if len({round(value - other, 9) for value, other in paired}) < 2:
        return None
    test = ttest_rel(*zip(*paired, strict=True))
    interval = test.confidence_interval()
    difference = sum(value - other for value, other in paired) / len(paired)
    return Comparison(difference, float(interval.low), float(interval.high), float(test.pvalue))


def fields(comparison: Comparison | None) -> dict[str, float | None]:
    """Columns of a comparison, for a table of rows; ``None`` for what is not known."""
    return dict.fromkeys(Comparison._fields) if comparison is None else comparison._asdict()


def corrected(comparisons: list[Comparison | None]) -> list[float | None]:
    """Correct p for the number of comparisons: the false discovery rate of Benjamini and Hochberg, ``None`` kept."""
    values = [comparison.p for comparison in comparisons if comparison is not None]
    q = iter(false_discovery_control(values).tolist() if values else [])
    return [None if comparison is None else next(q) for comparison in comparisons]


def interval_text(comparison: Comparison | None) -> str:
    """Percent points with their interval, a dash for what is not known."""
    if comparison is None:
        return "-"
    difference, low, high, _ = comparison
    return f"{100 * difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def p_text(p: float | None) -> str:
    """Two digits, a dash for what is not known."""
    return "-" if p is None else f"{p:.2g}"
