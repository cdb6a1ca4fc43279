from __future__ import annotations

import math

import pytest

from zfnet.core.numbers import format_number, format_ticks


def test_numbers_on_an_axis_have_the_same_decimals() -> None:
    assert format_ticks([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert format_ticks([-50, 0, 50]) == ["−50", "0", "50"]
    assert format_ticks([0, 10000]) == ["0", "10\u2009000"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.067, "0.067"), (0.00123, "0.0012"), (4.312, "4.31"), (86.24, "86.2"), (1024, "1\u2009024"), (0, "0")],
)
def test_a_number_has_three_significant_digits(value: float, text: str) -> None:
    assert format_number(value) == text


def test_a_number_can_have_given_decimals_and_a_true_minus_sign() -> None:
    assert format_number(-4.312, 1) == "−4.3"
    assert format_number(-0.0) == "0"
    assert format_number(math.nan) == format_number(math.inf) == "–"
