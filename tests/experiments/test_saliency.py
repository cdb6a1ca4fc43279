"""Saliency: the definition one crop at a time, the way back into the frame, and the score against boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.attribution.maps import saliency_maps
from zfnet.data.cache.images import ImageStore
from zfnet.data.crops import ten_crop_places
from zfnet.data.index import Index
from zfnet.experiments.saliency.compute import run, score
from zfnet.experiments.saliency.options import SaliencyOptions
from zfnet.networks.convnet import build


@pytest.fixture(scope="module")
def store():
    rng, n = np.random.default_rng(0), 6
    pixels = np.kron(rng.integers(0, 256, (n, 16, 16, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)
    boxes = tuple(np.array([[8, 16, 39, 47]]) * 2 for _ in range(n))
    names = ("ape", "bee", "cat")
    index = Index(Path("nowhere"), np.array([str(i) for i in range(n)]), np.arange(n) % 3, names, names, boxes)
    shapes = np.full((n, 2), 128)  # the originals are twice the frame
    return ImageStore(index, pixels, shapes, pixels.mean(0).astype(np.float32), 64.0)


@pytest.fixture(scope="module")
def net():
    model = build("zfnet", 3, 56, 0.125).eval()
    model.initialise("he", 0)
    return model


def literal_map(net, store, row, k):
    """Ten crops one by one, by autograd on the plain network."""
    total, covered = np.zeros((store.size, store.size)), np.zeros((store.size, store.size))
    for i, (top, left, flip) in enumerate(ten_crop_places(store.size)):
        x = store.ten_crops([row])[0, i : i + 1].clone().requires_grad_()
        m = torch.autograd.grad(net(x)[0, k], x)[0].abs().amax(1)[0].numpy()
        m = m[:, ::-1] if flip else m
        for y in range(store.crop):
            for z in range(store.crop):
                total[top + y, left + z] += m[y, z]
                covered[top + y, left + z] += 1
    return total / covered


def test_ten_crops_are_averaged_where_they_lie(net, store):
    maps = saliency_maps(net, store, np.array([4, 1]), np.array([2, 0]))
    for ours, row, k in zip(maps, (4, 1), (2, 0), strict=True):
        expected = literal_map(net, store, row, k)
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_the_centre_crop_leaves_its_surroundings_at_zero(net, store):
    [m] = saliency_maps(net, store, np.array([2]), np.array([1]), crops="center")
    x = store.center([2]).requires_grad_()
    expected = torch.autograd.grad(net(x)[0, 1], x)[0].abs().amax(1)[0].numpy()
    np.testing.assert_allclose(m[4:60, 4:60], expected, rtol=1e-4, atol=1e-6 * expected.max())
    assert m[:4].sum() == m[60:].sum() == m[:, :4].sum() == m[:, 60:].sum() == 0


def test_a_mirrored_network_gives_the_mirrored_map(store):
    """A score that is the brightness of the left edge: its map over mirrored pairs is symmetric."""

    class Left(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten, self.fc = nn.Flatten(), nn.Linear(3 * 56 * 56, 2)
            weight = torch.zeros(2, 3, 56, 56)
            weight[1, :, :, :3] = 1
            self.fc.weight.data = weight.flatten(1)

        def forward(self, x):
            return self.fc(self.flatten(x))

    [m] = saliency_maps(Left(), store, np.array([0]), np.array([1]))
    np.testing.assert_allclose(m, m[:, ::-1])
    assert m[:, 30].sum() == 0 < m[:, 0].sum()


def test_other_methods_can_take_the_gradients_place(net, store):
    maps = [saliency_maps(net, store, np.array([0]), np.array([1]), method) for method in ("gradient", "guided")]
    assert not np.allclose(*maps) and all(m.shape == (1, 64, 64) for m in maps)


def test_score_by_hand():
    mask = np.zeros((4, 4), dtype=bool)
    mask[:2] = True
    m = np.ones((4, 4))
    m[0, 0] = 9
    numbers = score(np.stack([m, m[::-1], 0 * m]), [mask, mask, mask], 0)
    assert numbers["n_images"] == 2  # an empty map has no share
    assert numbers["inside"] == pytest.approx((16 / 24 + 8 / 24) / 2)
    assert numbers["area"] == pytest.approx(0.5) and numbers["pointing"] == pytest.approx(0.5)


def test_without_boxes_there_is_nothing_to_score(net, store, tmp_path):
    boxes = tuple(np.zeros((0, 4), dtype=np.int64) for _ in range(len(store)))
    bare = replace(store, index=replace(store.index, boxes=boxes))
    outcome = run(SaliencyOptions(n_images=2), net, bare, tmp_path, 0)
    assert outcome.numbers == {"n_images": 0} and outcome.headline == "no boxes to measure against"


def test_the_stage_draws_and_scores(net, store, tmp_path):
    outcome = run(SaliencyOptions(n_images=5, n_score=6, batch=4), net, store, tmp_path, 0)
    assert (tmp_path / "saliency.png").exists() and outcome.numbers["n_images"] == 6
    assert 0 < outcome.numbers["inside"] < 1
