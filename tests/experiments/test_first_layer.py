"""Figure 6's numbers on filters whose dead share, dominance and frequencies are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments.first_layer.compute import (
    filters,
    first_convolution,
    measure,
    run,
    shift_sensitivity,
    spectrum,
)
from zfnet.experiments.first_layer.options import FirstLayerOptions
from zfnet.networks.convnet import build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network
from zfnet.networks.normalization import departures


def wave(frequency: float, side: int = 32) -> np.ndarray:
    """One vertical grating of `frequency` cycles per pixel, (1, side, side, 3)."""
    row = np.cos(2 * np.pi * frequency * np.arange(side))
    return np.tile(row[None, None, :, None], (1, side, 1, 3))


@pytest.mark.parametrize("frequency, band", [(0.0, "low"), (1 / 16, "low"), (3 / 16, "mid"), (3 / 8, "high")])
def test_a_grating_falls_into_its_band(frequency, band):
    bands = measure(wave(frequency), 2, np.ones(1), 0)["bands"]
    assert bands[band] == pytest.approx(1) and sum(bands.values()) == pytest.approx(1)


@pytest.mark.parametrize("stride, aliased", [(1, 0), (2, 0), (4, 1)])
def test_what_a_stride_cannot_sample_is_aliased(stride, aliased):
    assert measure(wave(3 / 16), stride, np.ones(1), 0)["aliased_filters"] == pytest.approx(aliased)


def test_the_spectrum_keeps_the_energy():
    x = np.random.default_rng(0).normal(size=(4, 7, 7, 3))
    power, _, _ = spectrum(x)
    assert power.sum() / power.size == pytest.approx((x**2).sum())


def test_dead_filters_neither_respond_nor_weigh():
    w = np.random.default_rng(0).normal(size=(10, 7, 7, 3))
    w[3] *= 1e-4  # no weight
    responses = np.ones(10)
    responses[[5, 6]] = 0  # never fire
    assert measure(w, 2, responses, 0)["dead"]["value"] == pytest.approx(0.3)


def test_dominance_is_a_tenth_when_all_are_equal_and_one_when_one_dominates():
    w = np.ones((20, 3, 3, 3))
    assert measure(w, 2, np.ones(20), 0)["dominance"]["value"] == pytest.approx(0.1)
    w[7] *= 1e4
    assert measure(w, 2, np.ones(20), 0)["dominance"]["value"] == pytest.approx(1, abs=1e-6)


def noise(n: int = 12) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3)).astype(np.uint8)
    boxes = tuple(np.zeros((0, 4), dtype=np.int64) for _ in range(n))
    index = Index(Path("nowhere"), np.array([str(i) for i in range(n)]), np.zeros(n, dtype=int), ("a",), ("a",), boxes)
    return Images(index, pixels, np.full((n, 2), 64), pixels.mean(0).astype(np.float32))


def test_the_stage_sets_networks_side_by_side(wrap: Callable[..., Network], tmp_path):
    images = noise()
    modules = {name: build(name, 2, 56, 0.25) for name in ("zfnet", "krizhevsky")}
    networks = {name: [wrap(module, images)] for name, module in modules.items()}
    outcome = run(FirstLayerOptions(n_images=10, batch=8), networks, images, tmp_path, 0)
    assert set(outcome.figures) == {"filters_own.png", "filters_common.png", "layer2.png"}
    assert all((tmp_path / name).exists() for name in outcome.figures)
    ours, theirs = (outcome.numbers["networks"][name] for name in modules)
    assert (ours["size"], ours["stride"], theirs["size"], theirs["stride"]) == (7, 2, 11, 4)
    assert (
        0 <= ours["aliased_layer2"]["value"] <= theirs["aliased_layer2"]["value"] <= 1
    )  # white noise: more lies above 1/8 than 1/4
    assert outcome.numbers["n_images"] == 10
    assert filters(modules["zfnet"].conv1).shape == (24, 7, 7, 3)


def test_a_filter_that_never_fires_is_dead(wrap: Callable[..., Network], tmp_path):
    module, images = build("zfnet", 2, 56, 0.25), noise()
    module.initialize("he", 0)
    with torch.no_grad():
        module.conv1.bias[:6] = -1e3  # its output is far below zero, which counts as no response
    outcome = run(FirstLayerOptions(n_images=10, batch=8), {"ours": [wrap(module, images)]}, images, tmp_path, 0)
    assert outcome.numbers["networks"]["ours"]["dead"]["value"] == pytest.approx(6 / 24)


def test_a_dead_second_layer_has_no_picture(wrap: Callable[..., Network], tmp_path):
    module, images = build("zfnet", 2, 56, 0.25), noise(4)
    torch.nn.init.constant_(module.conv2.bias, -1e6)
    outcome = run(FirstLayerOptions(n_images=4), {"ours": [wrap(module, images)]}, images, tmp_path, 0)
    assert set(outcome.figures) == {"filters_own.png", "filters_common.png"}
    assert outcome.numbers["networks"]["ours"]["aliased_layer2"]["value"] is None


def test_a_branching_network_of_others_is_measured_likewise(wrap: Callable[..., Network], tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    images = noise(5)
    network = replace(wrap(resnet18(num_classes=2), images), feature_maps={1: "relu", 2: "layer1"})
    numbers = run(FirstLayerOptions(n_images=4), {"resnet18": [network]}, images, tmp_path, 0).numbers
    values = numbers["networks"]["resnet18"]
    assert (values["n_filters"], values["size"], values["stride"]) == (64, 7, 2)
    assert 0 < values["aliased_layer2"]["value"] < 1
    bare = replace(network, feature_maps={})
    assert "aliased_layer2" not in run(FirstLayerOptions(n_images=4), {"r": [bare]}, images, tmp_path, 0).numbers


def test_the_first_convolution_must_take_colors():
    nested = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 8, 3)), nn.Conv2d(8, 8, 3))
    name, conv = first_convolution(nested)
    assert name == "0.1" and conv is nested[0][1]
    with pytest.raises(UserError, match="convolution 1 takes 8 channels"):
        first_convolution(nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3)))
    with pytest.raises(UserError, match="Linear has no module nn.Conv2d"):
        first_convolution(nn.Linear(3, 2))


def sampled(stride: int) -> nn.Module:
    """A first layer that takes every `stride`-th pixel, and a second one that hands it on."""
    pick, hand_on = nn.Conv2d(3, 3, 1, stride, bias=False), nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        for conv in (pick, hand_on):
            conv.weight.copy_(torch.eye(3)[:, :, None, None])
    return nn.Sequential(pick, nn.ReLU(), hand_on, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))


@pytest.fixture
def sensitivity(wrap: Callable[..., Network]) -> Callable[[int, Images], float]:
    def measured(stride: int, images: Images) -> float:
        pixels = Inputs.of_colors(64, 56, (0, 0, 0), (1, 1, 1))
        network = replace(wrap(sampled(stride), images), inputs=pixels, feature_maps={1: "1", 2: "3"})
        return float(shift_sensitivity(network, images, np.arange(len(images)), "3", 5).mean())

    return measured


def test_a_large_stride_folds_fine_detail_onto_the_mean(sensitivity):
    detailed = noise()
    detailed.pixels[...] = detailed.pixels // 2 + 10 * np.arange(12, dtype=np.uint8)[:, None, None, None]
    of_stride = [sensitivity(stride, detailed) for stride in (4, 2, 1)]
    assert of_stride[0] > 1.5 * of_stride[1] > 2 * of_stride[2]


def test_what_every_stride_can_sample_moves_no_mean(sensitivity):
    smooth = noise()
    y, x = np.mgrid[:64, :64]
    for i, picture in enumerate(smooth.pixels):
        picture[...] = (128 + 60 * np.sin(2 * np.pi * (1 + i % 3) * (y + 5 * i) / 56) * (x < 64))[..., None] + 4 * i
    assert sensitivity(4, smooth) < 0.1 and sensitivity(4, smooth) == pytest.approx(sensitivity(2, smooth), abs=0.03)


def test_numbers_are_given_for_every_seed(wrap: Callable[..., Network], tmp_path):
    images = noise()
    networks = [wrap(build("zfnet", 2, 56, 0.1), images) for _ in range(2)]
    pair = {"zfnet": networks, "alone": networks[:1]}
    numbers = run(FirstLayerOptions(n_images=10, n_shifted=6), pair, images, tmp_path, 0, seeds=(0, 1)).numbers
    assert set(numbers["seeds"]) == {"numbers", "zfnet"}
    assert {kind: len(values) for kind, values in numbers["seeds"]["zfnet"].items()} == {
        "dead": 2,
        "dominance": 2,
        "shift": 2,
    }
    assert numbers["seeds"]["zfnet"]["shift"][0] == numbers["networks"]["zfnet"]["shift"]["value"]


def test_the_normalizations_factor_by_hand(wrap: Callable[..., Network]):
    images, module = noise(4), build("zfnet", 2, 56, 0.1)
    with torch.no_grad():
        module.conv1.weight.mul_(100)
    network = wrap(module, images)
    deviations = departures(module, network.center(images.frames([0, 1, 2, 3])))
    x = module.upto(network.center(images.frames([0, 1, 2, 3])), "pool1").detach().double()
    padded = torch.cat([torch.zeros_like(x[:, :2]), x.square(), torch.zeros_like(x[:, :2])], 1)
    sums = sum(padded[:, i : i + x.shape[1]] for i in range(5))
    norm = module.norm1
    factors = (norm.k + norm.alpha * sums) ** -norm.beta
    factors = factors[x > 0]
    assert deviations["norm1"] == pytest.approx(float((factors / factors.median() - 1).abs().max()), rel=1e-3)
    assert set(deviations) == {"norm1", "norm2"}
