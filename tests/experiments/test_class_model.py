"""Class models: the ascent against its closed form on a linear score, and the claim that scores rise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.experiments.class_model.compute import ascend, climb, rivals_at_equal_score, run
from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.networks.convnet import ConvNet, build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network

NAMES = ("ape", "bee", "cat", "dog")


def wrapped(module: nn.Module, crop: int = 56, std: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Network:
    mean = np.random.default_rng(0).uniform(90, 160, (1, 1, 3)).astype(np.float32)
    inputs = Inputs(crop + 8, crop, mean, np.array(std, np.float32))
    return Network(module.eval(), inputs, Classes(NAMES, NAMES), {})


@pytest.fixture
def module() -> ConvNet:
    model = build("zfnet", 4, 56, 0.125)
    model.initialize("he", 0)
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.constant_(part.bias, 0.1)
    return model


@pytest.fixture
def network(module: ConvNet) -> Network:
    return wrapped(module)


@pytest.mark.parametrize("std", [(1.0, 1.0, 1.0), (64.0, 64.0, 64.0), (50.0, 64.0, 70.0)])
def test_on_a_linear_score_it_reaches_the_closed_form(std):
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3)).double()
    l2, scale = 0.02, torch.tensor(std, dtype=torch.float64).view(3, 1, 1)
    options = ClassModelOptions(iterations=2000, lr=1.0, l2=l2)
    inputs = ascend(wrapped(linear, 8, std), torch.tensor([2, 0]), options, "score", 0)
    pixels = inputs.detach() * scale
    w = linear[1].weight[[2, 0]].detach().view(2, 3, 8, 8)
    expected = w / scale * pixels[0].numel() / (2 * l2)  # d(w . I / std - l2 mean I^2) = 0
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1.5 * expected.abs().max().item() / 100 + 0.02)


def test_both_objectives_raise_the_score_of_every_class(network):
    options = ClassModelOptions(iterations=30)
    classes = torch.arange(4)
    reached = {}
    for objective in ("score", "posterior"):
        inputs = ascend(network, classes, options, objective, 0)
        reached[objective] = network.scores(inputs)[classes, classes]
    start = network.scores(torch.zeros(1, 3, 56, 56))[0]
    assert (reached["score"] > start + 1).all()
    assert (reached["posterior"] > start).all()


def test_without_biases_the_zero_image_is_left_all_the_same(network):
    for module in network.module.modules():
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    inputs = ascend(network, torch.tensor([1]), ClassModelOptions(iterations=20), "score", 0)
    assert network.scores(inputs)[0, 1] > 0 and torch.isfinite(inputs).all()


def test_the_network_is_left_alone(network):
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    ascend(network, torch.tensor([1]), ClassModelOptions(iterations=2), "score", 0)
    assert all(torch.equal(value, before[key]) for key, value in network.module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.module.parameters())


def test_the_stage_draws_both_objectives(network, tmp_path):
    outcome = run(ClassModelOptions(n_classes=9, iterations=3), network, tmp_path, 0)
    assert outcome.numbers["classes"] == list(NAMES)
    assert outcome.numbers["lambda"] == pytest.approx(0.01 / (3 * 56 * 56))
    assert (tmp_path / "class_models.png").exists()
    assert len(outcome.numbers["posterior"]["score"]) == 4
    reached = outcome.numbers["posterior"]
    for score, rivals, posterior in zip(reached["score"], reached["rivals"], reached["posterior"], strict=True):
        assert score - rivals == pytest.approx(np.log(posterior / (1 - posterior)), abs=1e-3)
    with torch.inference_mode():
        scores = network.scores(torch.zeros(1, 3, 56, 56))[0]
    assert outcome.numbers["start"]["rivals"][1] == pytest.approx(float(scores[[0, 2, 3]].exp().sum().log()), abs=1e-4)


def test_sizes_are_in_pixel_units_whatever_the_scale_of_each_color(module, tmp_path):
    network = wrapped(module, std=(50.0, 64.0, 70.0))
    options = ClassModelOptions(n_classes=2, iterations=1, lr=2.0)
    numbers = run(options, network, tmp_path, 0).numbers
    assert numbers["score"]["rms"] == pytest.approx([2.0, 2.0], rel=1e-4)  # one step of RMS lr from the zero image
    assert numbers["start"]["rms"] == [0.0, 0.0]


def test_rivals_are_read_where_both_paths_have_the_same_own_score():
    first = np.array([[[0.0], [1.0]], [[4.0], [3.0]], [[10.0], [9.0]]])  # own score, rivals, step by step
    second = np.array([[[0.0], [1.0]], [[2.0], [0.0]], [[6.0], [-4.0]], [[5.0], [-9.0]]])
    # 6 is the highest that both reach: 3 + (9 - 3) 2 / 6 = 5 on the first path, -4 on the second
    assert rivals_at_equal_score(first, second) == pytest.approx([9.0])
    assert rivals_at_equal_score(first, first) == pytest.approx([0.0])
    flat = np.array([[[0.0], [1.0]], [[-1.0], [5.0]]])
    assert rivals_at_equal_score(first, flat) == pytest.approx([0.0])  # at the start, which both share


def test_a_shared_cause_lowers_no_rivals_and_a_second_one_does():
    torch.manual_seed(0)
    linear = nn.Linear(12, 3, bias=False).double()
    with torch.no_grad():
        linear.weight.zero_()
        linear.weight[0, :4] = 1.0  # the own score
        linear.weight[1:, 4:8] = 1.0  # the others': pixels that the own score does not see
    network = wrapped(nn.Sequential(nn.Flatten(), linear), 2)
    options = ClassModelOptions(iterations=20, lr=1.0, l2=0.0)
    paths = [climb(network, torch.tensor([0]), options, objective, 0)[1] for objective in ("score", "posterior")]
    assert rivals_at_equal_score(*paths)[0] > 1
    with torch.no_grad():
        linear.weight[1:, 4:8] = 0.0  # nothing can be lowered
    paths = [climb(network, torch.tensor([0]), options, objective, 0)[1] for objective in ("score", "posterior")]
    assert rivals_at_equal_score(*paths)[0] == pytest.approx(0.0, abs=1e-9)
