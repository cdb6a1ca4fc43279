"""Layers by number: those that are stated, and those of any other module."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zfnet.networks.borrowed import torchvision_inputs, torchvision_module
from zfnet.networks.layers import KNOWN, find_layers, run_once
from zfnet.networks.walk import outputs

SMALL = ("resnet18", "resnet34", "resnet50", "efficientnet_b0", "googlenet", "inception_v3")
DEPTHS = {
    **{"alexnet": 7, "vgg11": 7, "vgg11_bn": 7, "vgg13": 7, "vgg13_bn": 7, "vgg16": 7, "vgg16_bn": 7, "vgg19": 7},
    **{"vgg19_bn": 7, "squeezenet1_0": 4, "squeezenet1_1": 4, "densenet121": 5, "mobilenet_v2": 5},
}


@pytest.fixture(scope="module")
def run():
    """run(name) -> (module on the meta device, inputs, what it puts out)."""
    cache = {}

    def once(name):
        if name not in cache:
            module = torchvision_module(name, "random", empty=True).eval()
            crop = torchvision_inputs(name).crop
            x = torch.zeros(1, 3, crop, crop, device="meta")
            cache[name] = module, x, run_once(module, x)[0]
        return cache[name]

    return once


@pytest.mark.parametrize("name", [*DEPTHS, *SMALL])
def test_the_stated_layers_are_there_and_their_maps_get_smaller(name, run):
    module, x, _ = run(name)
    layers = KNOWN[name]
    values = outputs(module, x, [*layers.outputs, *layers.maps])
    sides = [values[maps].shape[-1] for maps in layers.maps]
    assert sides == ([55, 27, 13, 13, 13] if name == "alexnet" else sorted(set(sides), reverse=True))
    assert len(layers.outputs) == DEPTHS.get(name, 6)
    for number, maps in layers.feature_maps.items():
        assert values[layers.numbered[number]].shape[-1] <= values[maps].shape[-1]


@pytest.mark.parametrize("name", [*DEPTHS, *SMALL])
def test_the_stated_feature_maps_are_the_last_activations_of_their_size(name, run):
    module, x, ended = run(name)
    shown = outputs(module, x, KNOWN[name].maps)
    exceptions = ("features.norm5",)  # its ReLU is no module
    if name in ("alexnet", "inception_v3"):  # three layers of one size, a branch of the next block
        exceptions = ("features.7", "features.9", "Mixed_5d", "Mixed_6e")
    for maps, values in shown.items():
        same = [output.name for output in ended if output.activated and output.shape[2:] == values.shape[2:]]
        same = [name for name in same if name != "classifier.2"]  # of squeezenet: the scores
        assert maps in exceptions or f"{same[-1]}.".startswith(f"{maps}."), (maps, same[-1])


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"])
def test_vggs_layers_are_its_pools_with_the_relu_before_and_its_hidden_layers(name, run):
    kinds = {name: type(part).__name__ for name, part in run(name)[0].named_modules()}
    layers = KNOWN[name]
    assert list(layers.outputs[:5]) == [name for name, kind in kinds.items() if kind == "MaxPool2d"]
    assert list(layers.outputs[5:]) == [f"classifier.{n}" for n in (1, 4)]
    assert {kinds[name] for name in (*layers.maps, *layers.outputs[5:])} == {"ReLU"}


class Functional(nn.Module):
    """As many tutorials write it: nothing but convolutions and linear layers are modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.fc1, self.fc2 = nn.Linear(5 * 6 * 6, 9), nn.Linear(9, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Shared(nn.Module):
    """One ReLU for everything, one that works in place, a residual addition, and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.block, self.gate = Block(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.ReLU())
        self.down, self.drop = nn.Conv2d(8, 4, 3, stride=2), nn.Dropout()
        self.normal, self.inplace, self.head = nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x):
        x = self.block(x)
        x = self.inplace(self.normal(self.down(x * self.gate(x))))
        return self.head(self.drop(self.relu(self.relu(x).mean((2, 3)))))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return torch.cat([self.left(x).relu(), F.relu(self.right(x))], 1)


def layers_of(module, side=30, device="cpu"):
    return find_layers(run_once(module.to(device).eval(), torch.zeros(1, 3, side, side, device=device))[0])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_layers_of_any_module(device):
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3), nn.ReLU6(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(144, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 6), nn.SiLU(), nn.Linear(6, 3),
    )  # fmt: skip
    found = layers_of(plain, device=device)
    assert found.maps == ("3", "6") and found.outputs == ("3", "6", "10", "13")
    shared = layers_of(Shared(), device=device)
    assert shared.maps == ("block", "inplace")  # the shared ReLU is called twice, the gate has 1x1 px
    assert shared.outputs == ("block", "inplace", "drop")
    threshold = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Threshold(0.0, 0.0), nn.Conv2d(4, 4, 3), nn.Flatten())
    assert layers_of(threshold, device=device).maps == ("1",)
    functional = layers_of(Functional(), device=device)
    assert functional.maps == ("conv1", "conv2") and functional.outputs == ("conv1", "conv2", "fc1")


def test_a_network_without_hidden_layers_has_none():
    assert layers_of(nn.Sequential(nn.Flatten(), nn.Linear(2700, 3))).outputs == ()


def test_a_run_leaves_no_hooks():
    module = Functional()
    run_once(module, torch.zeros(1, 3, 30, 30))
    assert not any(part._forward_hooks for part in module.modules())
    with pytest.raises(RuntimeError):
        run_once(module, torch.zeros(1, 3, 99, 99))
    assert not any(part._forward_hooks for part in module.modules())
