from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from zfnet.experiments.transfer import duplicates
from zfnet.experiments.transfer.duplicates import find_pairs, normalized, shrunk


@pytest.fixture
def stores(make_store):
    rng = np.random.default_rng(0)
    ours, others = make_store(2, 10, seed=1), make_store(3, 10, seed=2)
    scenes = rng.integers(0, 256, (50, 4, 4, 3)).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    return replace(ours, pixels=scenes[:20].copy()), replace(others, pixels=scenes[20:].copy())


@pytest.mark.parametrize("block", [4096, 7])
def test_planted_near_duplicates_are_found_and_nothing_else(stores, monkeypatch, block):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    ours, others = stores
    others.pixels[3] = 0.5 * ours.pixels[17] + 40  # duller and lighter
    others.pixels[29] = ours.pixels[2]
    others.pixels[8] = ours.pixels[2]
    pairs = find_pairs(ours, others, threshold=0.9, side=8)
    assert set(zip(pairs.rows.tolist(), pairs.others.tolist(), strict=True)) == {(17, 3), (2, 29), (2, 8)}
    assert np.all(np.diff(pairs.correlations) <= 0) and pairs.left_out().tolist() == [3, 8, 29]


def test_correlation_is_pearsons_with_a_mean_for_each_channel(stores):
    ours, others = stores
    pairs = find_pairs(ours, others, threshold=-1, side=32)
    assert len(pairs) == 20 * 30
    x, y = ours.pixels[pairs.rows[7]].astype(float), others.pixels[pairs.others[7]].astype(float)
    expected = np.corrcoef((x - x.mean((0, 1))).ravel(), (y - y.mean((0, 1))).ravel())[0, 1]
    assert pairs.correlations[7] == pytest.approx(expected, abs=1e-5)


def test_a_flat_image_is_like_none(stores):
    ours, others = stores
    ours.pixels[0], others.pixels[0] = 128, 128
    pairs = find_pairs(ours, others, threshold=0.01, side=8)
    assert 0 not in pairs.rows and 0 not in pairs.others


def test_no_pairs_leave_nothing_out(stores):
    pairs = find_pairs(*stores, threshold=0.99)
    assert len(pairs) == 0 and pairs.left_out().tolist() == []


def test_thumbnails_are_means_over_areas():
    pixels = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    means = pixels.reshape(2, 4, 2, 4, 3).mean((1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(shrunk(pixels, 2)[0], means, atol=1e-4)


def test_a_shared_tint_is_not_a_likeness():
    tints = torch.tensor([[0.0, 0.0, 90.0], [0.0, 0.0, 200.0]])[:, :, None, None]
    tints = tints + torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x, y = normalized(tints)
    assert abs(float(x @ y)) < 0.5
