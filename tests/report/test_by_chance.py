"""How often a claim about nothing holds: each kind of statistic on made-up data without an effect.

python tests/report/test_by_chance.py          the table of docs/claims.md, 2,000 trials each
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from zfnet.core.statistics import Measure
from zfnet.report import evidence
from zfnet.report.verdict import FAILS, HOLDS, decide

pytestmark = pytest.mark.slow
TRIALS = 300
Draw = Callable[[np.random.Generator], Measure]


def over_images(rng: np.random.Generator) -> Measure:
    return Measure.bootstrapped(rng.exponential(1.0, 200) - 1.0, 0, "images")


def against_other_boxes(rng: np.random.Generator) -> Measure:
    """Maps that fit no box better than another, with good and bad maps and generous and narrow boxes."""
    maps, boxes = rng.normal(0, 1, (45, 1)), rng.normal(0, 1, (1, 45))
    return Measure.own_above_others(maps + boxes + rng.normal(0, 1, (45, 45)), 0)


def over_seeds(rng: np.random.Generator) -> Measure:
    a, b = Measure.over_repeats(rng.normal(0, 1, 3), "seeds"), Measure.over_repeats(rng.normal(0, 1, 3), "seeds")
    measured = evidence.by_repeat(a, b, "seeds")
    assert measured is not None
    return measured


def over_folds(rng: np.random.Generator) -> Measure:
    """Folds of 30 and 20 of 60 images: means over images that the folds share."""
    images = rng.normal(0, 1, 60)
    folds = [images[rng.permutation(60)[:20]].mean() for _ in range(5)]
    return Measure.over_repeats(folds, "folds", shared=20 / 30)


def all_of_three(rng: np.random.Generator) -> Measure:
    measured = evidence.every(*(over_images(rng) for _ in range(3)))
    assert measured is not None
    return measured


def ranks_of_depth(rng: np.random.Generator) -> Measure:
    """Layers in one random order, which the folds of one network share but for a little noise."""
    layers = rng.permutation(5)
    folds = [(n, (layers[n] + rng.normal(0, 0.1, 5)).tolist()) for n in range(5)]
    measured = evidence.rank_correlation([(float(n), values) for n, values in folds], shared=0.7)
    assert measured is not None
    return measured


def rate(draw: Draw, threshold: float = 0.0, trials: int = TRIALS) -> tuple[float, float]:
    """Shares of trials without an effect that hold, and that do not."""
    rng = np.random.default_rng(0)
    verdicts = [decide(draw(rng), threshold, above=True) for _ in range(trials)]
    return sum(v is HOLDS for v in verdicts) / trials, sum(v is FAILS for v in verdicts) / trials


@pytest.mark.parametrize("draw", [over_images, against_other_boxes, over_seeds, over_folds])
def test_a_claim_about_nothing_hardly_ever_holds_or_fails(draw: Draw) -> None:
    holds, fails = rate(draw)
    assert holds <= 0.06 and fails <= 0.07  # 2.5 % each, and what 300 trials add


def test_all_of_several_hold_by_chance_even_less() -> None:
    holds, _ = rate(all_of_three, trials=100)
    assert holds == 0


def test_a_random_order_of_layers_is_seldom_a_rise() -> None:
    holds, _ = rate(ranks_of_depth, threshold=0.8)
    assert holds <= 0.03  # 1 of 120 orders
    assert len(list(permutations(range(5)))) == 120


if __name__ == "__main__":
    for kind, threshold in (
        (over_images, 0.0), (against_other_boxes, 0.0), (over_seeds, 0.0), (over_folds, 0.0), (all_of_three, 0.0),
        (ranks_of_depth, 0.8),
    ):  # fmt: skip
        holds, fails = rate(kind, threshold, trials=2000)
        print(f"{kind.__name__:22} holds {100 * holds:.1f} %, does not hold {100 * fails:.1f} %", flush=True)
