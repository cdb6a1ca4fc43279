"""[SVZ13] section 4: where the backward steps of gradient and deconvnet agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from zfnet.attribution import rules
from zfnet.experiments.saliency.identity import draw, layer_differences, summarize
from zfnet.networks.convnet import build


def test_they_differ_at_the_relus_and_the_normalization_alone(wrap, tmp_path: Path) -> None:
    module = build("zfnet", 2, 32, 0.1).eval()
    module.initialize("he", 0)
    differences = layer_differences(wrap(module), torch.randn(2, 3, 32, 32), seed=0)
    assert set(differences) == {
        name for name, part in module.named_children() if not isinstance(part, nn.Flatten | nn.Dropout)
    }
    numbers = summarize(differences)
    assert numbers["largest_elsewhere"] < 1e-5 and numbers["smallest_of_relu"] > 0.3
    assert differences["norm1"]["difference"] > 0
    draw(differences, tmp_path / "a.svg")
    assert "convolution" in (tmp_path / "a.svg").read_text()


def test_the_relus_difference_by_hand(wrap) -> None:
    module, x = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 2)), torch.randn(1, 3, 2, 2)
    signal = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    gradient, deconvnet = signal * (x > 0), signal * (signal > 0)
    expected = float((deconvnet - gradient).norm() / gradient.norm())
    assert layer_differences(wrap(module), x, seed=0)["0"]["difference"] == pytest.approx(expected)


def test_a_wrong_rule_of_another_layer_shows(wrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        rules.METHODS, "deconvnet", rules.Method(None, rules.rectify, "overwrite", "passed", "activation")
    )
    module = nn.Sequential(nn.MaxPool2d(3, 1), nn.Flatten(), nn.Linear(3 * 36, 2))
    assert summarize(layer_differences(wrap(module), torch.randn(2, 3, 8, 8), seed=0))["largest_elsewhere"] > 0.1
    assert summarize({}) == {"layers": {}}
