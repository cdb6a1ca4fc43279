"""Saliency: the definition one crop at a time, the way back into the frame, and the score against boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.attribution.maps import saliency_maps
from zfnet.data.cache.images import Images
from zfnet.data.crops import ten_crop_places
from zfnet.data.index import Index
from zfnet.experiments.saliency.compute import run, score, scores_against_all
from zfnet.experiments.saliency.options import SaliencyOptions
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Network


@pytest.fixture
def images() -> Images:
    rng, n = np.random.default_rng(0), 6
    pixels = np.kron(rng.integers(0, 256, (n, 16, 16, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)
    boxes = tuple(np.array([[8, 16, 39, 47]]) * 2 for _ in range(n))
    names = ("ape", "bee", "cat")
    index = Index(Path("nowhere"), np.array([str(i) for i in range(n)]), np.arange(n) % 3, names, names, boxes)
    shapes = np.full((n, 2), 128)  # the originals are twice the frame
    return Images(index, pixels, shapes, pixels.mean(0).astype(np.float32))


@pytest.fixture
def network(images: Images, wrap: Callable[..., Network]) -> Network:
    model = build("zfnet", 3, 56, 0.125)
    model.initialize("he", 0)
    return wrap(model, images)


def literal_map(network: Network, frame: np.ndarray, k: int) -> np.ndarray:
    """Ten crops one by one, by autograd on the plain network."""
    size, crop = network.inputs.frame, network.inputs.crop
    total, covered = np.zeros((size, size)), np.zeros((size, size))
    for i, (top, left, flip) in enumerate(ten_crop_places(size)):
        x = network.inputs.ten_crops(frame[None])[0, i : i + 1].clone().requires_grad_()
        m = torch.autograd.grad(network.module(x)[0, k], x)[0].abs().amax(1)[0].numpy()
        m = m[:, ::-1] if flip else m
        for y in range(crop):
            for z in range(crop):
                total[top + y, left + z] += m[y, z]
                covered[top + y, left + z] += 1
    return total / covered


def test_ten_crops_are_averaged_where_they_lie(network, images):
    maps = saliency_maps(network, images.frames([4, 1]), np.array([2, 0]))
    for ours, row, k in zip(maps, (4, 1), (2, 0), strict=True):
        expected = literal_map(network, images.pixels[row], k)
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_the_center_crop_leaves_its_surroundings_at_zero(network, images):
    [m] = saliency_maps(network, images.frames([2]), np.array([1]), crops="center")
    x = network.center(images.frames([2])).requires_grad_()
    expected = torch.autograd.grad(network.module(x)[0, 1], x)[0].abs().amax(1)[0].numpy()
    np.testing.assert_allclose(m[4:60, 4:60], expected, rtol=1e-4, atol=1e-6 * expected.max())
    assert m[:4].sum() == m[60:].sum() == m[:, :4].sum() == m[:, 60:].sum() == 0


def test_a_mirrored_network_gives_the_mirrored_map(images, wrap):
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

    [m] = saliency_maps(wrap(Left(), images), images.frames([0]), np.array([1]))
    np.testing.assert_allclose(m, m[:, ::-1])
    assert m[:, 30].sum() == 0 < m[:, 0].sum()


def test_other_methods_can_take_the_gradients_place(network, images):
    frames = images.frames([0])
    maps = [saliency_maps(network, frames, np.array([1]), method) for method in ("gradient", "guided")]
    assert not np.allclose(*maps) and all(m.shape == (1, 64, 64) for m in maps)


def test_score_by_hand():
    mask = np.zeros((4, 4), dtype=bool)
    mask[:2] = True
    m = np.ones((4, 4))
    m[0, 0] = 9
    numbers = score(np.stack([m, m[::-1], 0 * m]), [mask, mask, mask], 0)
    assert numbers["n_images"] == 2  # an empty map has no share
    assert numbers["inside"]["value"] == pytest.approx((16 / 24 + 8 / 24) / 2)
    assert numbers["area"]["value"] == pytest.approx(0.5) and numbers["pointing"]["value"] == pytest.approx(0.5)


def test_maps_against_every_mask_by_hand():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((4, 5, 5)), rng.random((4, 5, 5)) < 0.4
    excess, hits = scores_against_all(list(maps), list(masks))
    for i, m in enumerate(maps):
        for j, mask in enumerate(masks):
            assert excess[i, j] == pytest.approx(m[mask].sum() / m.sum() - mask.mean())
            assert hits[i, j] == mask.flat[m.argmax()]


def test_a_central_blob_is_not_above_other_images_masks_and_the_object_is():
    rng = np.random.default_rng(1)
    masks = [np.zeros((9, 9), bool) for _ in range(30)]
    for mask, (y, x) in zip(masks, rng.integers(1, 6, (30, 2)), strict=True):
        mask[y : y + 3, x : x + 3] = True
    blob = np.exp(-((np.mgrid[:9, :9] - 4) ** 2).sum(0) / 8)
    central = score(np.stack([blob] * 30), masks, 0)
    assert central["excess"]["low"] > 0 and central["above_others"]["value"] == pytest.approx(0, abs=1e-9)
    on_object = score(np.stack([blob * (1 + mask) for mask in masks]), masks, 0)
    assert on_object["above_others"]["low"] > 0


def test_maps_have_the_side_of_the_networks_own_frame(network, images):
    larger = np.kron(images.frames([3]), np.ones((1, 2, 2, 1))).astype(np.uint8)  # area averaging gives them back
    ours = saliency_maps(network, larger, np.array([1]))
    np.testing.assert_array_equal(ours, saliency_maps(network, images.frames([3]), np.array([1])))


def test_without_boxes_there_is_nothing_to_score(network, images, tmp_path):
    boxes = tuple(np.zeros((0, 4), dtype=np.int64) for _ in range(len(images)))
    bare = replace(images, index=replace(images.index, boxes=boxes))
    outcome = run(SaliencyOptions(n_images=2), network, bare, tmp_path, 0)
    assert outcome.numbers["n_images"] == 0 and "inside" not in outcome.numbers
    assert outcome.headline == "no boxes to measure against"


def test_the_stage_draws_and_scores(network, images, tmp_path):
    outcome = run(SaliencyOptions(n_images=5, n_score=6, batch=4), network, images, tmp_path, 0)
    assert (tmp_path / "saliency.png").exists() and outcome.numbers["n_images"] == 6
    assert 0 < outcome.numbers["inside"]["value"] < 1


def test_boxes_are_measured_in_the_frame_of_a_network_of_others(images, wrap, tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = wrap(resnet18(num_classes=3), images)
    network = replace(network, inputs=Inputs.of_colors(48, 40, IMAGENET_MEAN, IMAGENET_STD))
    outcome = run(SaliencyOptions(n_images=2, n_score=3), network, images, tmp_path, 0)
    assert outcome.numbers["n_images"] == 3
    assert outcome.numbers["area"]["value"] == pytest.approx((63 / 128) ** 2, rel=0.1)
