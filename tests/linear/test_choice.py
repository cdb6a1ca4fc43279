"""C is chosen inside what was tried, or at a stated bound."""

from __future__ import annotations

import math

import pytest
import torch

from zfnet.linear.choice import DECADES, choose


def trial_of(best: float, seen: list[float], starts: list[float | None] | None = None):
    """Scores that fall with the distance of log C from that of `best`; the minimizer carries its C."""

    def trial(c, start):
        seen.append(c)
        if starts is not None:
            starts.append(None if start is None else float(start))
        return -abs(math.log10(c / best)), torch.tensor(c)

    return trial


def test_a_best_value_inside_the_grid_is_taken_and_nothing_else_tried():
    seen, starts = [], []
    assert choose([10.0, 0.1, 1.0], trial_of(1.0, seen, starts)) == 1.0
    assert seen == [0.1, 1.0, 10.0] and starts == pytest.approx([None, 0.1, 1.0])


@pytest.mark.parametrize(("best", "further"), [(100.0, [100.0, 1000.0]), (0.01, [0.01, 0.001])])
def test_the_grid_grows_by_decades_until_the_best_lies_inside(best, further):
    seen = []
    assert choose([0.1, 1.0, 10.0], trial_of(best, seen)) == pytest.approx(best)
    assert seen == pytest.approx([0.1, 1.0, 10.0, *further])


def test_the_growth_is_bounded():
    seen = []
    assert choose([1.0, 10.0], trial_of(1e9, seen)) == pytest.approx(10.0 * 10**DECADES)
    assert len(seen) == 2 + DECADES


def test_a_further_value_starts_at_its_neighbour():
    seen, starts = [], []
    choose([0.1, 1.0], trial_of(1e-3, seen, starts))
    assert starts == pytest.approx([None, 0.1, 0.1, 0.01])


def test_of_equal_values_the_smallest_is_chosen():
    assert choose([0.1, 1.0, 10.0], lambda c, start: (0.5, torch.tensor(c))) == pytest.approx(0.1 * 10**-DECADES)


def test_a_grid_of_one_value_is_taken_without_a_trial():
    seen = []
    assert choose([3.0], trial_of(1.0, seen)) == 3.0 and not seen
