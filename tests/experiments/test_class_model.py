"""Class models: the ascent against its closed form on a linear score, and the claim that scores rise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.data.cache.images import ImageStore
from zfnet.data.index import Index
from zfnet.experiments.class_model.compute import ascend, run
from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.networks.convnet import build


@pytest.fixture
def net():
    model = build("zfnet", 4, 56, 0.125).eval()
    model.initialise("he", 0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.bias, 0.1)
    return model


@pytest.mark.parametrize("divisor", [1.0, 64.0])
def test_on_a_linear_score_it_reaches_the_closed_form(divisor):
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3)).double()
    l2 = 0.02
    config = ClassModelOptions(iterations=2000, lr=1.0, l2=l2)
    inputs = ascend(linear, torch.tensor([2, 0]), 8, divisor, config, "score", 0)
    pixels = (inputs * divisor).detach().flatten(1)
    expected = linear[1].weight[[2, 0]].detach() / divisor * pixels.shape[1] / (2 * l2)  # d(w.I / s - l2 mean I^2) = 0
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1.5 * expected.abs().max().item() / 100 + 0.02)


def test_the_score_rises_for_every_class_and_more_than_by_the_posterior(net):
    config = ClassModelOptions(iterations=30)
    classes = torch.arange(4)
    reached = {}
    for objective in ("score", "posterior"):
        inputs = ascend(net, classes, 56, 1.0, config, objective, 0)
        reached[objective] = net(inputs)[classes, classes]
    start = net(torch.zeros(1, 3, 56, 56))[0]
    assert (reached["score"] > start + 1).all()
    assert reached["score"].mean() > reached["posterior"].mean()


def test_without_biases_the_zero_image_is_left_all_the_same(net):
    for module in net.modules():
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    inputs = ascend(net, torch.tensor([1]), 56, 1.0, ClassModelOptions(iterations=20), "score", 0)
    assert net(inputs)[0, 1] > 0 and torch.isfinite(inputs).all()


def test_the_network_is_left_alone(net):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    ascend(net, torch.tensor([1]), 56, 1.0, ClassModelOptions(iterations=2), "score", 0)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_the_stage_draws_both_objectives(net, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 64, 64, 3)).astype(np.uint8)
    names, boxes = ("ape", "bee", "cat", "dog"), tuple(np.zeros((0, 4), dtype=np.int64) for _ in range(5))
    index = Index(Path("nowhere"), np.array([str(i) for i in range(5)]), np.zeros(5, dtype=int), names, names, boxes)
    store = ImageStore(index, pixels, np.full((5, 2), 64), pixels.mean(0).astype(np.float32), 1.0)
    outcome = run(ClassModelOptions(n_classes=9, iterations=3), net, store, tmp_path, 0)
    assert outcome.numbers["classes"] == list(names)
    assert outcome.numbers["lambda"] == pytest.approx(0.01 / (3 * 56 * 56))
    assert (tmp_path / "class_models.png").exists()
    assert len(outcome.numbers["posterior"]["score"]) == 4
    reached = outcome.numbers["posterior"]
    for score, rivals, posterior in zip(reached["score"], reached["rivals"], reached["posterior"], strict=True):
        assert score - rivals == pytest.approx(np.log(posterior / (1 - posterior)), abs=1e-3)
    with torch.inference_mode():
        scores = net(torch.zeros(1, 3, 56, 56))[0]
    assert outcome.numbers["start"]["rivals"][1] == pytest.approx(float(scores[[0, 2, 3]].exp().sum().log()), abs=1e-4)
