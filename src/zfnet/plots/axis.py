"""Axes of a chart: nice ticks, tidy numbers, the map from data to pixels, and how wide a text will be.

A tick step is 1, 2, 2.5 or 5 times a power of ten; on a logarithmic axis the ticks are 1, 2, 5 times a power of ten.
Numbers on one axis all carry the same number of decimals. Text widths are estimated with the advance widths of
DejaVu Sans, the widest of the usual system fonts: what fits there fits everywhere, so no text is ever cut off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NARROW, WIDE = set("iljtfrI.,:;'|!()[] ·"), set("mwMW%@—→")


@dataclass(frozen=True)
class Axis:
    """Maps data `low..high` to pixels `start..end`; `log` for a logarithmic scale (low > 0)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """The pixel of a value, clamped to the axis."""
        low, high, value = (self._scale(v) for v in (self.low, self.high, value))
        share = 0.5 if high == low else (value - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, count: int = 4) -> list[float]:
        """Round numbers inside the axis, about `count` of them."""
        return log_ticks(self.low, self.high, count) if self.log else nice_ticks(self.low, self.high, count)

    def _scale(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value


def nice_step(span: float, count: int) -> float:
    """The step 1, 2, 2.5 or 5 x 10^k that cuts `span` into at most about `count` pieces."""
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * (1 - 1e-9))


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Multiples of a nice step between `low` and `high` inclusive."""
    if not high > low:
        return [low]
    step = nice_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """1, 2, 5 x 10^k between `low` and `high`; whole powers alone when they are enough."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**p for p in powers for m in (1, 2, 5) if low * (1 - 1e-9) <= m * 10.0**p <= high * (1 + 1e-9)]
    whole = [t for t in fine if math.isclose(math.log10(t) % 1, 0, abs_tol=1e-9)]
    return whole if len(whole) >= count else fine or [low]


def finite_range(values: Iterable[float]) -> tuple[float, float]:
    """Least and greatest finite value; (0, 1) when there is none."""
    kept = [v for v in values if math.isfinite(v)]
    return (min(kept), max(kept)) if kept else (0.0, 1.0)


def padded(low: float, high: float, count: int = 4) -> tuple[float, float]:
    """A range that begins at a tick, at zero when zero is near, and ends a little above the data; never empty."""
    if low == high:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
    if 0 < low < 0.4 * high:
        low = 0.0
    step = nice_step(high - low, count)
    low = math.floor(low / step + 1e-9) * step
    step = nice_step(high - low, count)
    whole = math.ceil(high / step - 1e-9) * step
    return low, whole if whole - high < 0.3 * step else high + 0.04 * (high - low)


def tidy(values: Sequence[float]) -> list[str]:
    """The numbers as text, all with the decimals that the finest of them needs; a true minus sign."""
    for decimals in range(5):
        if all(abs(v - round(v, decimals)) <= 1e-6 * max(1e-3, abs(v)) for v in values):
            break
    return [_minus(f"{v:,.{decimals}f}".replace(",", "\u2009")) for v in values]


def short(value: float, decimals: int | None = None) -> str:
    """One number as a reader wants it: 0.067, 4.31, 86.2, 1 024; or to so many decimals."""
    if not math.isfinite(value):
        return "–"
    places = decimals_for(value) if decimals is None else decimals
    return _minus(f"{value + 0.0:,.{places}f}".replace(",", "\u2009"))


def decimals_for(value: float) -> int:
    """Decimals that show a number of this size to three significant figures, two below 0.1, one from ten on."""
    size = abs(value)
    if size >= 1000 or size < 1e-9:
        return 0
    return 1 if size >= 10 else 2 if size >= 1 else max(3, 1 - math.floor(math.log10(size)))


def text_width(text: str, size: float) -> float:
    """An upper estimate, in pixels, of the width of `text` set at `size` pixels."""
    widths = (0.38 if c in NARROW else 0.98 if c in WIDE else 0.7 if c.isupper() else 0.63 for c in text)
    return size * sum(widths)


def wrap(text: str, size: float, width: float) -> list[str]:
    """The text in lines no wider than `width` (a single longer word stays whole)."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def spread_apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved as little as a simple sweep can so that neighbours are `gap` apart, within low..high."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = [max(low, places[i]) for i in order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    for i in reversed(range(len(moved))):
        limit = high if i == len(moved) - 1 else moved[i + 1] - gap
        moved[i] = min(moved[i], limit)
    result = [0.0] * len(moved)
    for place, i in zip(moved, order, strict=True):
        result[i] = place
    return result


def _minus(text: str) -> str:
    return text.replace("-", "−")
