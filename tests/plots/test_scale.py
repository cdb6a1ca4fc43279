from __future__ import annotations

import math

import pytest

from zfnet.plots.scale import log_ticks, nice_ticks, padded, spread_apart


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (-60, 60, [-50, 0, 50]),
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (3, 3, [3]),
        (0.067, 0.107, [0.07, 0.08, 0.09, 0.1]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(expected)


def test_a_logarithmic_axis_has_whole_powers_where_they_are_enough() -> None:
    assert log_ticks(1, 100) == pytest.approx([1, 2, 5, 10, 20, 50, 100])
    assert log_ticks(1, 1e4) == pytest.approx([1, 10, 100, 1000, 10000])
    assert log_ticks(3, 4) == [3]


def test_the_axis_holds_the_data_and_begins_at_a_tick() -> None:
    for low, high in [(0.1, 0.9), (20, 110), (-0.06, 1), (38.4, 40.5), (5, 5), (0, 0)]:
        start, end = padded(low, high)
        assert start <= low and end >= high and start < end
        assert any(math.isclose(tick, start, abs_tol=1e-9) for tick in nice_ticks(start, end))
    assert padded(0, 0)[0] == 0  # zeros throughout are no reason for an axis below zero


def test_labels_are_pushed_apart_and_stay_inside() -> None:
    placed = spread_apart([100, 101, 50, 99], 15, 0, 110)
    assert sorted(placed) == [50, 80, 95, 110]
    assert placed[2] == 50 and placed[3] == 80
    assert spread_apart([5, 5, 5], 15, 0, 100) == [5, 20, 35]
    assert spread_apart([], 15, 0, 100) == []
