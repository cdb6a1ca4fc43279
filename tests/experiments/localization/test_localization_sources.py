from __future__ import annotations

import numpy as np
import pytest
import torch

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.incremental import Grid
from zfnet.attribution.maps import saliency_maps
from zfnet.attribution.patterns import estimate, fit
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.localization.options import SALIENCY
from zfnet.experiments.localization.sources import SQUARE, STRIDE, make_source, occlusion_maps, spread
from zfnet.networks.convnet import ConvNet, build


@pytest.fixture
def model(stores: tuple[ImageStore, ImageStore]) -> ConvNet:
    train, _ = stores
    model = build("zfnet", 3, train.crop, 0.125).eval()
    model.initialise("he", 0)
    return model


def test_every_source_gives_one_finite_map_a_row_and_class(model: ConvNet, stores) -> None:
    train, val = stores
    rows, classes = np.array([1, 1, 0]), np.array([0, 2, 1])
    for name in SALIENCY:
        maps = make_source(name, model, train, 0)(val)(rows, classes)
        assert maps.shape == (3, val.size, val.size) and np.isfinite(maps).all() and (maps >= 0).all(), name
        assert maps.any() or name == "occlusion"


def test_the_gradient_source_is_the_saliency_map(model: ConvNet, stores) -> None:
    train, val = stores
    rows, classes = np.array([0, 2]), np.array([1, 0])
    maps = make_source("gradient", model, train, 0)(val)(rows, classes)
    np.testing.assert_array_equal(maps, saliency_maps(model, val, rows, classes))


def test_attribution_uses_patterns_of_training_images(model: ConvNet, stores) -> None:
    """A map over the centre crop alone, against the rules applied by hand with patterns of all training images."""
    train, val = stores
    patterns = fit(model, estimate(model, [train.center(np.random.default_rng([3, 7]).permutation(len(train)))]))
    plus = {name: value.float() for name, value in patterns.kinds["a+"].items()}
    units = Target(torch.tensor([1]))
    hand = Backprojection(model, "patternattribution", plus).project(val.center([0]), units).abs().amax(1)[0]
    got = saliency_maps(model, val, np.array([0]), np.array([1]), "patternattribution", "center", plus)[0]
    start = (val.size - val.crop) // 2
    np.testing.assert_allclose(got[start:-start, start:-start], hand.numpy(), rtol=1e-4, atol=1e-6 * float(hand.max()))
    ours = make_source("pattern_attribution", model, train, 3)(val)(np.array([0]), np.array([1]))
    theirs = saliency_maps(model, val, np.array([0]), np.array([1]), "patternattribution", patterns=plus)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * theirs.max())


def test_occlusion_is_the_mean_fall_of_the_probability_over_the_covering_squares(model: ConvNet, stores) -> None:
    """Whole forward passes and one loop over places and pixels, instead of the incremental pass."""
    _, val = stores
    crop, k = val.crop, 2
    side, stride = round(SQUARE * crop), round(STRIDE * crop)
    image = val.center([1])[0]
    along = sorted({*range(0, crop - side + 1, stride), crop - side})
    total, count = np.zeros((crop, crop)), np.zeros((crop, crop))
    with torch.inference_mode():
        clean = float(model(image[None]).softmax(1)[0, k])
        for top in along:
            for left in along:
                grey = image.clone()
                grey[:, top : top + side, left : left + side] = 0
                fall = max(0.0, clean - float(model(grey[None]).softmax(1)[0, k]))
                total[top : top + side, left : left + side] += fall
                count[top : top + side, left : left + side] += 1
    assert count.min() > 0  # every pixel of the crop is covered
    start = (val.size - crop) // 2
    expected = np.zeros((val.size, val.size))
    expected[start : start + crop, start : start + crop] = total / count
    got = occlusion_maps(model, val, np.array([1]), np.array([k]))[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_spread_by_hand() -> None:
    places = Grid(2, np.array([0]), np.array([0, 1]))
    expected = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    assert spread(np.array([1.0, 3.0]), places, 3).tolist() == expected
