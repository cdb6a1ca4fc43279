"""The toy of [K17] 2: weights follow the distractor, patterns the signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zfnet.experiments.patterns.toy import SIGNAL, angle, draw, learn, measure, turned_further


def test_the_papers_distractor_gives_the_papers_weights() -> None:
    toy = learn(np.array([1.0, 1.0]), 5000, seed=0)
    np.testing.assert_allclose(toy.w, [1, -1], atol=1e-10)
    np.testing.assert_allclose(toy.x @ toy.w, toy.y, atol=1e-10)


@pytest.mark.parametrize("distractor", [(1.0, 1.0), (-0.3, 2.0), (3.0, 0.2)])
def test_weights_are_orthogonal_to_the_distractor_and_patterns_lie_on_the_signal(distractor: tuple) -> None:
    toy = learn(np.array(distractor), 200_000, seed=1)
    assert toy.w @ toy.distractor == pytest.approx(0, abs=1e-9) and toy.w @ SIGNAL == pytest.approx(1)
    assert toy.w @ toy.a == pytest.approx(1)
    np.testing.assert_allclose(toy.a, SIGNAL, atol=0.02)


def test_turning_the_distractor_turns_the_weights_and_not_the_pattern() -> None:
    measured = measure([20.0, 45.0, 90.0, 135.0], n=100_000)
    np.testing.assert_allclose(measured["w_to_signal"], [70, 45, 0, 45], atol=1e-6)
    np.testing.assert_allclose(measured["w_to_distractor"], 90, atol=1e-6)
    assert max(measured["a_to_signal"]) < 2


def test_all_directions_of_the_distractor_are_measured_alike() -> None:
    measured = measure(n=2000)
    turns = np.array(measured["turns"])
    assert len(turns) == 18 and np.allclose(np.diff(turns), 10) and turns[0] + turns[-1] == 180
    np.testing.assert_allclose(measured["w_to_signal"], np.abs(90 - turns), atol=1e-6)


def test_angles_do_not_depend_on_length_or_sign() -> None:
    assert angle(np.array([2.0, 0.0]), np.array([-1.0, 1.0])) == pytest.approx(45)


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    draw(tmp_path / "toy.svg", [45.0, 90.0], n=500)
    text = (tmp_path / "toy.svg").read_text()
    assert text.startswith("<svg") and "distractor at 45 degrees" in text and "pattern a" in text


def test_weights_turn_further_than_patterns_for_any_distractor() -> None:
    measured = turned_further(draws=40, n=400)
    assert measured.n == 40 and measured.low is not None and measured.low > 20
