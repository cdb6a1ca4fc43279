"""The arithmetic of the claims: numbers of a result, their differences, extremes and rank correlations, with intervals.

Differences of independent numbers add their half intervals in quadrature; numbers over the same seeds or folds are
compared seed by seed or fold by fold (Student). Where a number is missing, the statistic is None.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from zfnet.core.statistics import Measure
from zfnet.report.results import Result, find, measure

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


def by_repeat(a: Measure | None, b: Measure | None, over: str, shared: float = 0.0) -> Measure | None:
    """a - b of two numbers with the same repeats (seeds, folds), repeat by repeat, with Student's interval.

    Without an interval where either has a single repeat: what one training differs by from another of the same recipe
    is then not known. shared: see `Measure.over_repeats`.
    """
    if a is None or b is None:
        return None
    if min(len(a.repeats), len(b.repeats)) < 2:
        return Measure(a.value - b.value)
    return Measure.over_repeats([x - y for x, y in zip(a.repeats, b.repeats, strict=False)], over, shared)


def every(*measures: Measure | None) -> Measure | None:
    """What "all of them lie above the threshold" is judged by: the smallest value, lower end and upper end.

    Its interval lies above a threshold only where every interval does, and below it where any does.
    """
    known = [measured for measured in measures if measured is not None]
    if not known or len(known) < len(measures):
        return None
    least = min(known, key=lambda measured: measured.value)
    ends = [measured.ends for measured in known if measured.ends is not None]
    if len(ends) < len(known):
        return Measure(least.value)
    low, high = min(low for low, _ in ends), min(high for _, high in ends)
    return Measure(least.value, low, high, least.n, least.interval)


def rank_correlation(rows: Sequence[tuple[float, Sequence[float]]], shared: float = 0.0) -> Measure | None:
    """Kendall's tau of a number with x, fold by fold; rows are (x, folds). None where a row is missing."""
    from scipy.stats import kendalltau

    if len(rows) < 2 or len({len(folds) for _, folds in rows}) > 1 or not rows[0][1]:
        return None
    x = [place for place, _ in rows]
    folds = zip(*(folds for _, folds in rows), strict=True)
    return Measure.over_repeats([float(kendalltau(x, fold).statistic) for fold in folds], "folds", shared)


def control(results: Results) -> Results:
    """The same results with the numbers of each stage's null control in place of its own.

    Stages without a control are left out.
    """
    controls = {}
    for stage, result in results.items():
        numbers = result.numbers.get("control")
        if isinstance(numbers, Mapping):
            controls[stage] = replace(result, content={**result.content, "numbers": numbers})
    return controls
