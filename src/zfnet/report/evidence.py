"""The little arithmetic of the claims: numbers of a result, their differences, slopes and sizes, with intervals.

Differences of independent numbers add their half intervals in quadrature; numbers over the same folds are compared
fold by fold (Student). Whatever is missing makes the statistic missing: None in, None out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zfnet.core.statistics import Measure
from zfnet.report.results import Result, find, measure, number, scaled, student

__all__ = [
    "Results", "at", "folds", "larger", "measure", "minus", "number", "paired", "raw", "scaled", "size", "slope",
    "smaller",
]  # fmt: skip

Results = Mapping[str, Result]


def at(results: Results, stage: str, path: str, count: str | None = None, key: str = "") -> Measure | None:
    """The number at the path; `count` is the path of the number of images, `key` what a mapping calls its value."""
    result = results.get(stage)
    found = find(result, path)
    if key and isinstance(found, Mapping):
        found = {**found, "mean": found.get(key)}
    return measure(found, number(find(result, count)) if count else None)


def folds(results: Results, stage: str, path: str) -> list[float] | None:
    """The values over folds at the path, None when there are none."""
    found = find(results.get(stage), path)
    found = found.get("folds") if isinstance(found, Mapping) else found
    return [float(v) for v in found] if isinstance(found, Sequence) and not isinstance(found, str) and found else None


def minus(a: Measure | None, b: Measure | None) -> Measure | None:
    """a - b of two independent numbers; without an interval when either has none."""
    if a is None or b is None:
        return None
    half = _together(_half(a), _half(b))
    value = a.value - b.value
    return Measure(value, None if half is None else value - half, None if half is None else value + half)


def size(found: Measure | None) -> Measure | None:
    """|a|, whose interval begins at 0 where that of a reaches over 0."""
    if found is None or found.low is None or found.high is None:
        return None if found is None else Measure(abs(found.value), n=found.n)
    ends = sorted((abs(found.low), abs(found.high)))
    return Measure(abs(found.value), 0.0 if found.low < 0 < found.high else ends[0], ends[1], n=found.n)


def smaller(*numbers: Measure | None) -> Measure | None:
    """The smallest of numbers that are all there."""
    known = [found for found in numbers if found is not None]
    return min(known, key=lambda found: found.value) if known and len(known) == len(numbers) else None


def larger(*numbers: Measure | None) -> Measure | None:
    """The largest of numbers that are all there."""
    return scaled(smaller(*(scaled(found, -1) for found in numbers)), -1)


def paired(a: Sequence[float] | None, b: Sequence[float] | None) -> Measure | None:
    """a - b repeat by repeat, over the first ones that both have."""
    if a is None or b is None:
        return None
    return student([x - y for x, y in zip(a, b, strict=False)])


def slope(rows: Sequence[tuple[float, Sequence[float] | None]]) -> Measure | None:
    """Least-squares slope of values on x, one slope a fold, with its interval over folds; rows are (x, folds)."""
    kept = [(x, values) for x, values in rows if values]
    if len(kept) < 2 or len({len(values) for _, values in kept}) > 1:
        return None
    x = [x for x, _ in kept]
    middle = sum(x) / len(x)
    weights = [(v - middle) / sum((u - middle) ** 2 for u in x) for v in x]
    n = len(kept[0][1])
    return student([sum(w * values[i] for w, (_, values) in zip(weights, kept, strict=True)) for i in range(n)])


def _half(found: Measure) -> float | None:
    if found.low is None or found.high is None:
        return None
    return max(found.high - found.value, found.value - found.low, 0.0)


def _together(*halves: float | None) -> float | None:
    known = [half for half in halves if half is not None]
    return math.hypot(*known) if len(known) == len(halves) else None


def raw(results: Results, stage: str, path: str) -> Any:
    """Whatever lies at the path, None when nothing does."""
    return find(results.get(stage), path)
