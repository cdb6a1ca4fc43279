import numpy as np
import pytest

from zfnet.core.statistics import bootstrap, interval, mean_std


def test_mean_and_sample_standard_deviation():
    assert mean_std([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_std([5.0]) == (5.0, 0.0)


def test_the_bootstrap_interval_is_the_normal_one_for_many_samples():
    values = np.random.default_rng(0).normal(3, 2, 4000)
    low, high = bootstrap(values, seed=1)
    half = 1.96 * 2 / 4000**0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.3 * half)
    assert bootstrap(values, seed=1) == (low, high)


def test_an_interval_names_the_mean_and_has_the_bootstraps_ends():
    values = np.array([1.0, 2.0, 6.0])
    low, high = bootstrap(values, seed=4)
    assert interval(values, 4) == {"value": 3.0, "low": low, "high": high}
    assert interval(values, 4, "mean") == {"mean": 3.0, "low": low, "high": high}


def test_degenerate_samples():
    assert all(np.isnan(bootstrap([], seed=0)))
    assert bootstrap([2.0, 2.0], seed=0) == (2.0, 2.0)
    assert all(np.isnan(value) for value in interval(np.array([]), 0).values())
