"""Numbers as text: significant digits, a true minus sign, thin spaces between thousands."""

import math
from collections.abc import Sequence


def format_number(value: float, decimals: int | None = None) -> str:
    """One number, as 0.067, 4.31, 86.2 or 1 024 (default), or with `decimals`; "–" where it is not finite."""
    if not math.isfinite(value):
        return "–"
    places = decimals_for(value) if decimals is None else decimals
    return _typeset(value, places)


def format_ticks(values: Sequence[float]) -> list[str]:
    """The numbers of one axis, all with the decimals that the finest of them needs (at most 4)."""
    for decimals in range(5):
        if all(abs(v - round(v, decimals)) <= 1e-6 * max(1e-3, abs(v)) for v in values):
            break
    return [_typeset(value, decimals) for value in values]


def decimals_for(value: float) -> int:
    """Decimals that show a number of this size to three significant digits, two below 0.1, one decimal from ten on."""
    size = abs(value)
    if size >= 1000 or size < 1e-9:
        return 0
    if size >= 10:
        return 1
    return 2 if size >= 1 else max(3, 1 - math.floor(math.log10(size)))


def _typeset(value: float, decimals: int) -> str:
    text = f"{value + 0.0:,.{decimals}f}"
    return text.replace(",", "\u2009").replace("-", "−")
