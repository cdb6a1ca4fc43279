from __future__ import annotations

import numpy as np
import pytest

from zfnet.figures.grid import contrast


def test_zero_is_mid_grey_and_the_peak_is_black_or_white():
    x = np.zeros((2, 4, 5, 3))
    x[0, 1, 2, 0], x[0, 3, 3, 1], x[1, 0, 0, 2] = -2.0, 1.0, 1e-9
    shown = contrast(x)
    assert shown[0, 1, 2, 0] == 0 and shown[0, 3, 3, 1] == 191 and shown[1, 0, 0, 2] == 255
    assert (np.delete(shown[1].reshape(-1), 2) == 128).all()


def test_an_image_of_zeros_is_grey():
    assert (contrast(np.zeros((3, 4, 4, 3))) == 128).all()
    assert (contrast(np.zeros((3, 4, 4, 3)), 0.9) == 128).all()


@pytest.mark.parametrize("background", [0, 5000])
def test_the_quantile_is_that_of_what_is_not_zero(background):
    values = np.concatenate([np.arange(1.0, 301.0), [1e6, -1e6], np.zeros(background + 1)])
    x = np.random.default_rng(0).permutation(values).reshape(-1, 1, 1)[: len(values) // 3 * 3].reshape(-1, 1, 3)
    cut = np.quantile(np.abs(x[x != 0]), 0.9)
    expected = np.round(255 * np.clip(x / (2 * cut) + 0.5, 0, 1))
    np.testing.assert_array_equal(contrast(x, 0.9), expected)
    assert len(np.unique(contrast(x, 0.9))) > 100 > len(np.unique(contrast(x)))  # the outlier no longer hides the rest
