"""Patterns against literal loops over patches, scikit-learn and the paper's formulas written out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zfnet.attribution.engine import Target, project
from zfnet.attribution.patterns import (
    KINDS,
    estimate,
    fit,
    load_patterns,
    merge,
    numerators,
    positive_patterns,
    save_patterns,
    weight_patterns,
)
from zfnet.core.errors import UserError


def network(groups: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    layers = {
        "conv1": nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=groups),
        "relu1": nn.ReLU(),
        "flatten": nn.Flatten(),
        "fc2": nn.Linear(54, 5),
    }
    net = nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    net.double().eval()
    with torch.no_grad():  # every neuron fires for some samples and not for others
        for layer, upto in ((net[0], net[:1]), (net[3], net)):
            y = upto(inputs()).movedim(1, 0).flatten(1)
            layer.bias -= y.mean(1) - 0.4 * y.std(1)
    return net


def inputs(n: int = 8, seed: int = 1) -> Tensor:
    return torch.rand(n, 4, 6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


def literal_patches(net: nn.Sequential, x: Tensor, unit: int, layer: str) -> np.ndarray:
    """Every patch that the unit sees, one by one, (samples, d)."""
    if layer == "fc2":
        return net[:3](x).detach().numpy()
    padded, conv = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1))), net[0]
    width = 4 // conv.groups
    first = unit // (6 // conv.groups) * width
    places = product(range(len(x)), range(3), range(3))
    return np.stack(
        [padded[b, first : first + width, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].ravel() for b, i, j in places]
    )


def literal_pattern(x: np.ndarray, w: np.ndarray, bias: float, kind: str) -> np.ndarray:
    """[K17] eq. 8, and S_a, from samples x (n, d)."""
    y = x @ w
    if kind == "a":
        return ((x - x.mean(0)) * (y - y.mean())[:, None]).mean(0) / y.var()
    on = y + bias > 0 if kind == "a+" else y + bias <= 0
    above = (x[on] * y[on, None]).mean(0) - x[on].mean(0) * y.mean()
    return above / (w @ above)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_patterns_equal_literal_loops_over_patches(kind: str, groups: int) -> None:
    net, x = network(groups), inputs()
    found = fit(net, estimate(net, x.split(3))).kinds[kind]
    for name, unit in [("conv1", 1), ("conv1", 4), ("fc2", 1), ("fc2", 4)]:
        layer = net.get_submodule(name)
        w = layer.weight[unit].detach().numpy().ravel()
        expected = literal_pattern(literal_patches(net, x, unit, name), w, layer.bias[unit].item(), kind)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(found[name][unit].numpy().ravel(), expected, rtol=1e-8, atol=1e-10)


def test_weights_times_pattern_is_one_for_every_neuron() -> None:
    net = network()
    patterns = fit(net, estimate(net, [inputs()]))
    for kind in ({"w": weight_patterns(net)} | patterns.kinds).values():
        for name, a in kind.items():
            along = (net.get_submodule(name).weight * a).flatten(1).sum(1)
            np.testing.assert_allclose(along.detach().numpy(), 1.0, rtol=1e-12)


def test_a_is_the_regression_of_the_inputs_on_the_output() -> None:
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    signal, distractor, y = rng.normal(size=4), rng.normal(size=4), rng.normal(size=500)
    x = np.outer(y, signal) + np.outer(rng.normal(size=500), distractor)
    net = nn.Sequential(nn.Linear(4, 1)).double()
    net[0].weight.data = torch.from_numpy(np.linalg.lstsq(x, y, rcond=None)[0][None])
    a = fit(net, estimate(net, [torch.from_numpy(x)])).kinds["a"]["0"][0].numpy()
    np.testing.assert_allclose(a, LinearRegression().fit(y[:, None], x).coef_[:, 0], rtol=1e-9)
    assert np.abs(a - signal).max() < 0.2 < np.abs(net[0].weight.detach().numpy() - signal).max()


def test_shards_merged_are_one_pass() -> None:
    net, x = network(2), inputs(10)
    whole = estimate(net, [x])
    shards = merge(estimate(net, [x[:3], x[3:4]]), estimate(net, [x[4:]]))
    for name, m in whole.items():
        for key, value in vars(m).items():
            np.testing.assert_allclose(getattr(shards[name], key).numpy(), value.numpy(), rtol=1e-12, atol=1e-12)
    assert int(whole["conv1"].n) == 10 * 9 and int(whole["fc2"].n) == 10


def test_merging_keeps_layers_that_only_one_has() -> None:
    moments = estimate(network(), [inputs()])
    one, other = {"conv1": moments["conv1"]}, {"fc2": moments["fc2"]}
    assert merge(one, other) == moments and one.keys() == {"conv1"}


def test_a_constant_added_to_the_outputs_changes_nothing_while_the_regimes_stay() -> None:
    m = estimate(network(), [inputs()])["fc2"]
    c = 7.5
    moved = replace(m, y=m.y + c * m.n, xy=m.xy + c * m.x, xy_on=m.xy_on + c * m.x_on)
    for kind in KINDS:
        np.testing.assert_allclose(numerators(moved)[kind][0].numpy(), numerators(m)[kind][0].numpy(), atol=1e-9)


def test_the_mean_of_the_regime_in_place_of_the_mean_over_all_gives_another_pattern() -> None:
    net = network()
    m = estimate(net, [inputs(40)])["conv1"]
    w, shape = net[0].weight.detach(), (-1, 1, 1, 1)
    y_on = (w * m.x_on).flatten(1).sum(1) / m.n_on
    wrong = m.xy_on - m.x_on * y_on.view(shape)
    wrong /= (w * wrong).flatten(1).sum(1).view(shape)
    right = fit(net, {"conv1": m, "fc2": estimate(net, [inputs()])["fc2"]}).kinds["a+"]["conv1"]
    mixed = ((m.n_on > 0) & (m.n_on < m.n)).numpy()
    assert mixed.any()
    difference = (wrong - right).flatten(1).norm(dim=1) / right.flatten(1).norm(dim=1)
    assert (difference.numpy()[mixed] > 1e-3).all()


def test_neurons_that_never_fire_or_never_vary_fall_back_to_their_weights_and_are_counted() -> None:
    net = network()
    with torch.no_grad():
        net[0].bias[2] = -100.0  # never fires
        net[3].weight[1] = 0.0  # constant, and no direction at all
    patterns = fit(net, estimate(net, [inputs()]))
    assert patterns.fallbacks["a+"]["conv1"] >= 1 and patterns.fallbacks["a"] == {"conv1": 0, "fc2": 1}
    w = net[0].weight[2].detach()
    np.testing.assert_allclose(patterns.kinds["a+"]["conv1"][2], w / (w * w).sum())
    assert not patterns.kinds["a"]["fc2"][1].any()
    everything_constant = fit(net, estimate(net, [torch.ones(4, 4, 6, 5, dtype=torch.float64)]))
    assert everything_constant.fallbacks["a"]["fc2"] == 5
    assert all(torch.isfinite(a).all() for kind in everything_constant.kinds.values() for a in kind.values())


def test_float32_batches_summed_in_float64_stay_close_to_float64() -> None:
    net, x = network(), inputs(64)
    exact = fit(net, estimate(net, [x])).kinds["a"]
    fast = fit(network().float(), estimate(network().float(), x.float().split(16))).kinds["a"]
    for name, a in exact.items():
        error = (fast[name] - a).norm() / a.norm()
        assert fast[name].dtype == torch.float64 and error < 1e-5


def test_patternnet_with_the_fitted_patterns_equals_a_backward_pass_in_loops() -> None:
    net, x = network(), inputs()
    a = fit(net, estimate(net, [x])).kinds["a+"]
    y1, scores = net[0](x[:1])[0].detach(), net(x[:1])[0].detach()
    back = (scores[3] * a["fc2"][3]).view(6, 3, 3) * (y1 > 0)
    expected = torch.zeros(4, 8, 7, dtype=torch.float64)
    for u, i, j in product(range(6), range(3), range(3)):
        expected[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += back[u, i, j] * a["conv1"][u]
    found = project(net, x[:1], Target(3), method="patternnet", patterns=a)[0]
    np.testing.assert_allclose(found.numpy(), expected[:, 1:7, 1:6].numpy(), atol=1e-10)


def test_patterns_are_read_back_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    net = network()
    patterns = fit(net, estimate(net, [inputs()]))
    path = tmp_path / "patterns.pt"
    with pytest.raises(UserError, match="run stage=patterns"):
        load_patterns(path)
    save_patterns(path, patterns)
    read = load_patterns(path)
    torch.testing.assert_close(read["a+"]["conv1"], patterns.kinds["a+"]["conv1"].float())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="not a whole file of patterns"):
        load_patterns(path)


def test_positive_patterns_are_a_plus_of_all_batches_however_they_are_cut() -> None:
    net, x = network().float(), inputs(10).float()
    expected = fit(net, estimate(net, [x])).kinds["a+"]
    for name, a in positive_patterns(net, x.split(3)).items():
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, expected[name].float(), rtol=1e-3, atol=1e-5 * float(expected[name].abs().max()))
