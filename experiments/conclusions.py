"""Two sentences that explain the table of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.runs import Result
from experiments.statistics import MOST, chance
from experiments.tables import Row, comparison_of


def conclude(rows: Sequence[Row], results: Sequence[Result], reference: str) -> list[str]:
    """Return two sentences that say what differs beyond chance, and how far filters moved or what more would show."""
    return [_differences(rows, results, reference), _movement(rows, reference)]


def _differences(rows: Sequence[Row], results: Sequence[Result], reference: str) -> str:
    others = [row for row in rows if row["variant"] != reference]
    if len(others) == len(rows):
        return f"{reference} is not among these front-ends, so nothing is compared with it."
    if not others:
        return f"There is no front-end but {reference}, so nothing is compared with it."
    if not any(row["pairs"] for row in others):
        return f"No run of another front-end has the fold, seed and test clips of one of {reference}: none is compared."
    known = [row for row in others if row["low"] is not None]
    if not known:
        return (
            f"No difference from {reference} has a 95 % interval: that takes two runs of each whose differences vary."
        )
    beyond = [row for row in known if not row["low"] <= 0 <= row["high"]]
    shown = [f"{row['variant']} ({100 * row['difference']:+.1f} points, q {chance(row['q'])})" for row in beyond]
    within, unknown = ([row["variant"] for row in some] for some in (_but(known, beyond), _but(others, known)))
    subject = _list(shown) if shown else "no front-end"
    clauses = [f"{subject} differ{'s' * (len(shown) < 2)} from {reference} beyond its 95 % interval"]
    if shown and within:
        clauses.append(f"{_list(within)} do{'es' * (len(within) == 1)} not")
    if unknown:
        clauses.append(f"{_list(unknown)} ha{'s' if len(unknown) == 1 else 've'} no interval")
    folds, seeds = (len({result.key[k] for result in results}) for k in (0, 1))
    return f"On {_count(folds, 'fold')} and {_count(seeds, 'seed')}, {', and '.join(clauses)}."


def _movement(rows: Sequence[Row], reference: str) -> str:
    moved = sorted((row["moved_bandwidths"], row["variant"]) for row in rows if row["moved_bandwidths"])
    if not moved:
        first = "The median filter moved in no front-end"
    elif len(moved) == 1:
        first = f"The median filter of {moved[0][1]} moved by {moved[0][0]:.2f} of its bandwidth"
    else:
        (low, lowest), (high, highest) = moved[0], moved[-1]
        first = f"The median filter moved by {low:.2f} ({lowest}) to {high:.2f} ({highest}) of its bandwidth"
    others = [(row["variant"], c) for row in rows if row["variant"] != reference and (c := comparison_of(row))]
    within = [(abs(c.difference), name, c) for name, c in others if c.low is not None and not c.beyond and c.difference]
    if within:
        _, name, largest = max(within)
        needed = f"more than {MOST:,}" if largest.needed is None else f"{largest.needed:,}"
        return (
            f"{first}; {needed} runs of each would put {name}'s {100 * largest.difference:+.1f} points beyond the "
            "interval, if differences are like these."
        )
    return f"{first}."


def _but(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row not in others]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
