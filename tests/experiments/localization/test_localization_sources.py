from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.incremental import Grid
from zfnet.attribution.maps import saliency_maps
from zfnet.attribution.patterns import estimate, fit
from zfnet.experiments.localization.options import SALIENCY
from zfnet.experiments.localization.sources import SQUARE, STRIDE, make_source, occlusion_maps, spread
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network


@pytest.fixture
def network(wrap) -> Network:
    module = build("zfnet", 3, 32, 0.125)
    module.initialize("he", 0)
    return wrap(module)


def borrowed() -> Network:
    """A network with more classes than the images have, which sees them at another size."""
    torch.manual_seed(0)
    inputs = Inputs.of_colors(30, 24, IMAGENET_MEAN, IMAGENET_STD)
    names = tuple(f"class {k}" for k in range(11))
    return Network(resnet18(num_classes=11).eval(), inputs, Classes(names, names), {}, {}, "resnet18")


def test_every_source_gives_one_finite_map_a_row_and_class(network: Network, stores) -> None:
    train, val = stores
    rows, classes = np.array([1, 1, 0]), np.array([0, 2, 1])
    for name in SALIENCY:
        maps = make_source(name, network, train, 0)(val)(rows, classes)
        assert maps.shape == (3, 36, 36) and np.isfinite(maps).all() and (maps >= 0).all(), name
        assert maps.any() or name == "occlusion"


@pytest.mark.parametrize("name", ["gradient", "occlusion"])
def test_the_maps_of_a_borrowed_network_have_its_own_frame_and_classes(name: str, stores) -> None:
    train, val = stores
    maps = make_source(name, borrowed(), train, 0)(val)(np.array([1, 0]), np.array([10, 7]))
    assert maps.shape == (2, 30, 30) and np.isfinite(maps).all() and maps.any()
    assert not maps[:, :3].any() if name == "occlusion" else maps[:, 0].any()  # the center crop alone, or ten crops


def test_the_gradient_source_is_the_saliency_map(network: Network, stores) -> None:
    train, val = stores
    rows, classes = np.array([0, 2]), np.array([1, 0])
    maps = make_source("gradient", network, train, 0)(val)(rows, classes)
    alone = [saliency_maps(network, val.frames([row]), classes[i : i + 1])[0] for i, row in enumerate(rows)]
    np.testing.assert_array_equal(maps, np.stack(alone))
    together = saliency_maps(network, val.frames(rows), classes)
    np.testing.assert_allclose(maps, together, rtol=1e-4, atol=1e-6 * together.max())


@pytest.mark.parametrize("name", ["gradient", "guided", "deconvnet", "pattern_attribution"])
def test_the_classes_of_an_image_share_one_forward_pass(name: str, network: Network, stores) -> None:
    train, val = stores
    saliency = make_source(name, network, train, 0)(val)
    rows, classes = np.array([1, 2, 1, 1]), np.array([2, 1, 0, 2])
    alone = [saliency(rows[i : i + 1], classes[i : i + 1])[0] for i in range(4)]
    calls: list[int] = []
    handle = network.module.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    maps = saliency(rows, classes)
    handle.remove()
    assert calls == [10, 10]  # ten crops of each image
    np.testing.assert_allclose(maps, np.stack(alone), rtol=1e-4, atol=1e-5 * maps.max())


def test_attribution_uses_patterns_of_training_images(network: Network, stores) -> None:
    """A map over the center crop alone, against the rules applied by hand with patterns of all training images."""
    train, val = stores
    module, frames = network.module, val.frames([0])
    order = np.random.default_rng([3, 7]).permutation(len(train))
    patterns = fit(module, estimate(module, [network.center(train.frames(order))]))
    plus = {name: value.float() for name, value in patterns.kinds["a+"].items()}
    passes = Backprojection(module, "patternattribution", plus)
    hand = passes.project(network.center(frames), Target(torch.tensor([1]))).abs().amax(1)[0]
    centered = saliency_maps(network, frames, np.array([1]), "patternattribution", "center", plus)[0]
    inside, scale = slice(network.inputs.margin, -network.inputs.margin), float(hand.max())
    np.testing.assert_allclose(centered[inside, inside], hand.numpy(), rtol=1e-4, atol=1e-6 * scale)
    ours = make_source("pattern_attribution", network, train, 3)(val)(np.array([0]), np.array([1]))
    theirs = saliency_maps(network, frames, np.array([1]), "patternattribution", patterns=plus)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * theirs.max())


def test_occlusion_is_the_mean_fall_of_the_probability_over_the_covering_squares(network: Network, stores) -> None:
    """Whole forward passes and one loop over places and pixels, instead of the incremental pass."""
    _, val = stores
    module, crop, frame, k = network.module, network.inputs.crop, network.inputs.frame, 2
    side, stride = round(SQUARE * crop), round(STRIDE * crop)
    image = network.center(val.frames([1]))[0]
    steps = sorted({*range(0, crop - side + 1, stride), crop - side})
    total, count = np.zeros((crop, crop)), np.zeros((crop, crop))
    with torch.inference_mode():
        clean = float(module(image[None]).softmax(1)[0, k])
        for top in steps:
            for left in steps:
                gray = image.clone()
                gray[:, top : top + side, left : left + side] = 0
                fall = max(0.0, clean - float(module(gray[None]).softmax(1)[0, k]))
                total[top : top + side, left : left + side] += fall
                count[top : top + side, left : left + side] += 1
    assert count.min() > 0  # every pixel of the crop is covered
    margin = network.inputs.margin
    expected = np.zeros((frame, frame))
    expected[margin : margin + crop, margin : margin + crop] = total / count
    got = occlusion_maps(network, val, np.array([1]), np.array([k]))[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_spread_by_hand() -> None:
    places = Grid(2, np.array([0]), np.array([0, 1]))
    expected = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    assert spread(np.array([1.0, 3.0]), places, 3).tolist() == expected
