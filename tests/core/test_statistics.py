import json

import numpy as np
import pytest
from scipy import stats

from zfnet.core.statistics import Measure, bootstrap, mean_std


def test_mean_and_sample_standard_deviation():
    assert mean_std([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_std([5.0]) == (5.0, 0.0)


def test_the_bootstrap_interval_is_the_normal_one_for_many_samples():
    values = np.random.default_rng(0).normal(3, 2, 4000)
    low, high = bootstrap(values, seed=1)
    half = 1.96 * 2 / 4000**0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.3 * half)
    assert bootstrap(values, seed=1) == (low, high)


def test_a_measure_has_the_statistic_and_the_bootstraps_ends():
    values = np.array([1.0, 2.0, 6.0])
    low, high = bootstrap(values, seed=4)
    measure = Measure.bootstrapped(values, 4, "images")
    assert measure == Measure(3.0, low, high, 3, "bootstrap over images") and measure.ends == (low, high)
    largest = Measure.bootstrapped(values, 4, "images", np.max)
    assert (largest.value, largest.ends) == (6.0, bootstrap(values, 4, np.max))


def test_degenerate_samples():
    assert all(np.isnan(bootstrap([], seed=0)))
    assert bootstrap([2.0, 2.0], seed=0) == (2.0, 2.0)
    nothing = Measure.bootstrapped([], 0, "images")
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all() and nothing.n == 0
    assert Measure(1.0).ends is None


def test_the_interval_of_a_percentage_is_scipys_wilson():
    measure = Measure.percentage(30.0, 40)
    theirs = stats.binomtest(12, 40).proportion_ci(method="wilson")
    assert (measure.low, measure.high) == pytest.approx((100 * theirs.low, 100 * theirs.high))
    assert Measure.percentage(30.0, 0) == Measure(30.0)


def test_the_interval_over_repeats_is_scipys_t():
    values = [1.0, 2.0, 4.0]
    measure = Measure.over_repeats(values, "seeds")
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (measure.low, measure.high, measure.n) == pytest.approx((low, high, 3))
    alone = Measure.over_repeats([5.0], "seeds")
    assert (alone.value, alone.low, alone.high, alone.std) == (5.0, None, None, None)


def test_a_measure_survives_json_and_has_no_nan_there():
    whole = Measure.over_repeats([1.0, 2.0], "folds")
    assert Measure.from_json(json.loads(json.dumps(whole.to_json()))) == whole
    assert json.loads(json.dumps(Measure.bootstrapped([], 0, "images").to_json(), allow_nan=False))["value"] is None
    assert Measure.from_json({"value": None}) is None


def test_a_negative_factor_turns_the_interval_around():
    turned = Measure(2.0, 1.0, 4.0, std=0.5).scaled(-2)
    assert (turned.value, turned.low, turned.high, turned.std) == (-4.0, -8.0, -2.0, 1.0)


def own_above_others_slowly(scores: np.ndarray, drawn: list[int]) -> float:
    """The statistic of one draw of images, pair by pair."""
    differences = []
    for i in drawn:
        others = [scores[i, j] for j in drawn if j != i]
        differences.append(scores[i, i] - sum(others) / len(others))
    return sum(differences) / len(differences)


def test_own_above_others_is_that_of_counting_pairs() -> None:
    scores = np.random.default_rng(3).random((7, 7))
    measured = Measure.own_above_others(scores, seed=0)
    assert measured.value == pytest.approx(own_above_others_slowly(scores, list(range(7))))
    counts = np.random.default_rng([0, 7]).multinomial(7, np.full(7, 1 / 7), 2000)
    drawn = [own_above_others_slowly(scores, np.repeat(np.arange(7), row).tolist()) for row in counts]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (measured.low, measured.high) == (pytest.approx(low), pytest.approx(high))


def test_a_fixed_blob_is_not_above_others_and_a_planted_place_is() -> None:
    rng = np.random.default_rng(1)
    central = np.tile(rng.random(40), (40, 1))  # the same map for every image: its score is the box's alone
    blob = Measure.own_above_others(central, seed=0)
    assert blob.value == pytest.approx(0, abs=1e-12) and blob.low is not None and blob.low <= 1e-12
    planted = Measure.own_above_others(central + 0.3 * np.eye(40), seed=0)
    assert planted.value == pytest.approx(0.3) and planted.low is not None and planted.low > 0.2


def test_own_above_others_in_standard_deviations() -> None:
    rng = np.random.default_rng(2)
    scores = np.diag(rng.normal(1.0, 0.5, 200))
    measured = Measure.own_above_others(scores, seed=0, standardized=True)
    assert measured.value == pytest.approx(2.0, abs=0.3) and measured.low is not None and 1.5 < measured.low < 2.0
    nothing = Measure.own_above_others(rng.normal(0, 1, (200, 200)), seed=0, standardized=True)
    assert nothing.low is not None and nothing.high is not None and nothing.low < 0.1 and nothing.high < 0.5


@pytest.mark.parametrize("n", [0, 1])
def test_one_image_has_no_others(n: int) -> None:
    assert Measure.own_above_others(np.ones((n, n)), seed=0).to_json()["value"] is None
