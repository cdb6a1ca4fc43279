from __future__ import annotations

import numpy as np
import pytest
import torch

from zfnet.linear import gram as module
from zfnet.linear.gram import gram, kernels, multiply


@pytest.mark.parametrize("rows, columns", [(4096, 4096), (4, 7), (1, 1), (13, 50)])
def test_blocks_do_not_change_the_products(monkeypatch, rows, columns):
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "COLUMNS", columns)
    x = np.random.default_rng(0).normal(size=(13, 50)).astype(np.float32)
    some = np.array([12, 0, 3, 4, 5, 1, 2, 7, 9])
    wide = x[some].astype(np.float64)
    np.testing.assert_allclose(gram(x, some), wide @ wide.T, rtol=1e-12)


def test_products_are_float64():
    x = np.full((2, 300_000), 0.1, dtype=np.float32)
    exact = 300_000 * float(np.float32(0.1)) ** 2
    assert abs(float(gram(x, np.arange(2))[0, 1]) / exact - 1) < 1e-12


def test_large_products_equal_small_ones(monkeypatch):
    random = np.random.default_rng(2)
    a, b = torch.from_numpy(random.normal(size=(20, 30))), torch.from_numpy(random.normal(size=(30, 5)))
    small = multiply(a, b)
    monkeypatch.setattr(module, "LARGE", 1)
    torch.testing.assert_close(multiply(a, b), small)


def test_centred_training_rows_have_mean_zero_and_mean_square_length_one():
    products = gram(np.random.default_rng(1).random((9, 4), dtype=np.float32), np.arange(9))
    inner, outer = kernels(products, torch.arange(6), torch.arange(6, 9), "center")
    torch.testing.assert_close(inner.sum(0), torch.zeros(6, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(outer.sum(1), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    assert float(inner.diag().mean()) == pytest.approx(1)


@pytest.mark.parametrize("scaling", ["mean", "unit", "center"])
def test_features_of_zeros_stay_zero(scaling):
    inner, outer = kernels(torch.zeros(3, 3, dtype=torch.float64), torch.arange(2), torch.arange(2, 3), scaling)
    assert not inner.any() and not outer.any()


def test_an_unknown_scaling_is_an_error():
    with pytest.raises(ValueError, match="'length'"):
        kernels(torch.eye(2, dtype=torch.float64), torch.arange(1), torch.arange(1, 2), "length")
