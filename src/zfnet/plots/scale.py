"""Scales of a chart: round ticks, ranges that begin at one, labels that do not overlap.

A tick step is 1, 2, 2.5 or 5 times a power of ten; on a logarithmic axis the ticks are 1, 2, 5 times a power of ten.
"""

import math
from collections.abc import Iterable, Sequence


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Multiples of a round step between `low` and `high` inclusive, about `count` steps."""
    if not high > low:
        return [low]
    step = nice_step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def nice_step(span: float, count: int) -> float:
    """The step 1, 2, 2.5 or 5 x 10^k that cuts `span` into at most `count` pieces."""
    power = 10.0 ** math.floor(math.log10(span / count))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= span / count * (1 - 1e-9))


def log_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """1, 2, 5 x 10^k between `low` and `high`; only the powers of ten where there are at least `count`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    whole = [tick for tick in inside if math.isclose(math.log10(tick) % 1, 0, abs_tol=1e-9)]
    return whole if len(whole) >= count else inside or [low]


def padded(low: float, high: float, count: int = 4) -> tuple[float, float]:
    """A range that begins at a tick, at zero when zero is near, and ends a little above the data; never empty."""
    if low == high:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
    if 0 < low < 0.4 * high:
        low = 0.0
    step = nice_step(high - low, count)
    low = math.floor(low / step + 1e-9) * step
    step = nice_step(high - low, count)
    end = math.ceil(high / step - 1e-9) * step
    return low, end if end - high < 0.3 * step else high + 0.04 * (high - low)


def finite_range(values: Iterable[float]) -> tuple[float, float]:
    """Least and greatest finite value; (0, 1) when there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 1.0)


def spread_apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved by a simple sweep so that neighbors are `gap` apart, within low..high."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    result = [max(low, place) for place in places]
    for below, i in zip(order, order[1:], strict=False):
        result[i] = max(result[i], result[below] + gap)
    limit = high
    for i in reversed(order):
        result[i] = min(result[i], limit)
        limit = result[i] - gap
    return result
