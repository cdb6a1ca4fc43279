"""The arithmetic of the claims: numbers of a result, their differences, slopes and sizes, with intervals.

Differences of independent numbers add their half intervals in quadrature; numbers over the same folds are compared
fold by fold (Student). Where a number is missing, the statistic is None.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zfnet.core.statistics import Measure
from zfnet.report.results import Result, find, measure, scaled

Results = Mapping[str, Result]


def raw(results: Results, stage: str, path: str) -> Any:
    """The content at the path, None when there is none."""
    return find(results.get(stage), path)


def at(results: Results, stage: str, path: str) -> Measure | None:
    """The number at the path."""
    return measure(raw(results, stage, path))


def minus(a: Measure | None, b: Measure | None) -> Measure | None:
    """a - b of two independent numbers; without an interval when either has none."""
    if a is None or b is None:
        return None
    value, half_a, half_b = a.value - b.value, _half(a), _half(b)
    if half_a is None or half_b is None:
        return Measure(value)
    half = math.hypot(half_a, half_b)
    return Measure(value, value - half, value + half)


def _half(measured: Measure) -> float | None:
    """Half of the interval, on its wider side."""
    if measured.ends is None:
        return None
    low, high = measured.ends
    return max(high - measured.value, measured.value - low, 0.0)


def size(measured: Measure | None) -> Measure | None:
    """|a|, whose interval begins at 0 where that of a reaches over 0."""
    if measured is None or measured.ends is None:
        return None if measured is None else Measure(abs(measured.value), n=measured.n)
    low, high = measured.ends
    nearest = 0.0 if low < 0 < high else min(abs(low), abs(high))
    return Measure(abs(measured.value), nearest, max(abs(low), abs(high)), n=measured.n)


def smaller(*measures: Measure | None) -> Measure | None:
    """The smallest, None where one is missing."""
    known = [measured for measured in measures if measured is not None]
    return min(known, key=lambda measured: measured.value) if known and len(known) == len(measures) else None


def larger(*measures: Measure | None) -> Measure | None:
    """The largest, None where one is missing."""
    return scaled(smaller(*(scaled(measured, -1) for measured in measures)), -1)


def paired(a: Sequence[float] | None, b: Sequence[float] | None) -> Measure | None:
    """The mean of a - b repeat by repeat, over the first ones that both have."""
    if not a or not b:
        return None
    pairs = [(x, y) for x, y in zip(a, b, strict=False) if None not in (x, y)]  # null: not finite
    return Measure.over_repeats([x - y for x, y in pairs], "repeats") if pairs else None


def slope(rows: Sequence[tuple[float, Sequence[float]]]) -> Measure | None:
    """Least-squares slope of values on x, one slope a fold, with its interval over folds; rows are (x, folds)."""
    known = [(x, folds) for x, folds in rows if folds]
    if len(known) < 2 or len({len(folds) for _, folds in known}) > 1:
        return None
    mean = sum(x for x, _ in known) / len(known)
    squares = sum((x - mean) ** 2 for x, _ in known)
    weighted = [[(x - mean) / squares * value for value in folds] for x, folds in known]
    return Measure.over_repeats([sum(fold) for fold in zip(*weighted, strict=True)], "folds")
