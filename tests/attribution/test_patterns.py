"""Patterns against literal loops over patches, scikit-learn and the paper's formulas written out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
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
from zfnet.attribution.rules import METHODS
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


@pytest.mark.parametrize("change", [lambda y: F.relu(y, True), lambda y: y.mul_(2), lambda y: y.__setitem__(0, 0.0)])
def test_a_layers_outputs_are_seen_before_work_in_place_changes_them(change) -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.fc(x)
            change(y)
            return y

    torch.manual_seed(0)
    net, x = Changing(), torch.randn(5, 4)
    expected = estimate(nn.Sequential(net.fc), [x])["0"]
    assert all(torch.equal(value, vars(expected)[key]) for key, value in vars(estimate(net, [x])["fc"]).items())


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


# ---------------------------------------------------------------- models that are no list of modules
class Nested(nn.Module):
    """The layers of `network`, nested, with one in-place ReLU for all and a functional convolution."""

    def __init__(self, net: nn.Sequential):
        super().__init__()
        self.kernel, self.bias = net[0].weight, net[0].bias
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Sequential(nn.Sequential(net[3]), self.relu)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(F.conv2d(x, weight=self.kernel, bias=self.bias, stride=2, padding=1))
        return self.head(torch.flatten(y, 1))


def test_nested_shared_and_functional_layers_have_the_patterns_of_the_list() -> None:
    net, x = network(), inputs()
    nested = Nested(net)
    expected = fit(net, estimate(net, x.split(3))).kinds
    patterns = fit(nested, estimate(nested, x.split(3))).kinds
    assert list(patterns["a"]) == ["kernel", "head.0.0"]
    for kind in KINDS:
        assert torch.equal(patterns[kind]["kernel"], expected[kind]["conv1"])
        assert torch.equal(patterns[kind]["head.0.0"], expected[kind]["fc2"])
    listed = nn.Sequential(net, nn.ReLU())
    theirs = project(listed, x, Target(2), None, "patternnet", {f"0.{name}": a for name, a in expected["a+"].items()})
    torch.testing.assert_close(project(nested, x, Target(2), None, "patternnet", patterns["a+"]), theirs)
    with pytest.raises(UserError, match="kernel: no pattern given"):
        project(nested, x, Target(2), None, "patternnet", {"head.0.0": patterns["a+"]["head.0.0"]})


def test_a_weight_used_twice_has_the_samples_of_both_uses() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.tanh(self.fc(x)))

    model, x = Twice(), torch.randn(30, 4, dtype=torch.float64)
    both = torch.cat([x, torch.tanh(model.fc(x))]).detach()
    expected = fit(nn.Sequential(model.fc), estimate(nn.Sequential(model.fc), [both]))
    for kind, patterns in fit(model, estimate(model, [x])).kinds.items():
        torch.testing.assert_close(patterns["fc"], expected.kinds[kind]["0"])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_every_map_of_a_depthwise_convolution_is_a_convolution_of_its_own(padding: str) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, (3, 2), groups=4, padding=padding)).double()
    a = fit(model, estimate(model, [inputs()])).kinds["a+"]["0"]
    for c in range(4):
        single = nn.Sequential(nn.ZeroPad2d((0, 1, 1, 1) if padding == "same" else 0), nn.Conv2d(1, 1, (3, 2))).double()
        single[1].load_state_dict({"weight": model[0].weight[c : c + 1], "bias": model[0].bias[c : c + 1]})
        expected = fit(single, estimate(single, [inputs()[:, c : c + 1]])).kinds["a+"]["1"]
        torch.testing.assert_close(a[c : c + 1], expected)
    ours = project(model, inputs(), Target(2), None, "patternnet", {"0": a})
    same = project(model, inputs(), Target(2), None, "patternnet", {"0": model[0].weight.detach()})
    gradient = project(model, inputs(), Target(2), None, replace(METHODS["gradient"], start="activation"))
    torch.testing.assert_close(same, gradient)
    assert not torch.allclose(ours, same)


def normalized_network() -> nn.Sequential:
    """conv, batch-norm, ReLU, conv, batch-norm; scales of both signs, and neurons that fire for some samples."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 2, bias=False))
    net.append(nn.BatchNorm2d(5)).append(nn.Flatten()).double().eval()
    for norm in (net[1], net[4]):
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
        norm.running_var.uniform_(0.1, 2)
        norm.running_mean.uniform_(-0.2, 0.2)
    return net


@pytest.mark.parametrize("method", ["patternnet", "patternattribution"])
def test_a_batch_norm_is_as_if_folded_into_its_convolution(method: str) -> None:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    net, x = normalized_network(), inputs(12)
    folded = nn.Sequential(fuse_conv_bn_eval(net[0], net[1]), net[2], fuse_conv_bn_eval(net[3], net[4]), net[5])
    ours, theirs = fit(net, estimate(net, [x])), fit(folded, estimate(folded, [x]))
    scale = net[1].weight / (net[1].running_var + net[1].eps).sqrt()
    torch.testing.assert_close(ours.kinds["a+"]["0"], theirs.kinds["a+"]["0"] * scale.view(-1, 1, 1, 1))
    projected = project(net, x, Target(7), None, method, ours.kinds["a+"])
    torch.testing.assert_close(projected, project(folded, x, Target(7), None, method, theirs.kinds["a+"]))
    assert projected.abs().max() > 0


@pytest.mark.parametrize("method", ["patternnet", "patternattribution"])
def test_an_addition_sends_the_signal_to_both_summands(method: str) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4).double()

        def forward(self, x: Tensor) -> Tensor:
            return x + F.relu(self.fc(x))

    torch.manual_seed(0)
    model, x = Residual(), torch.randn(6, 4, dtype=torch.float64)
    a = torch.randn(4, 4, dtype=torch.float64)
    back = a if method == "patternnet" else model.fc.weight.detach() * a
    start = torch.zeros_like(x)
    start[:, 1] = model(x)[:, 1].detach()
    expected = start + (start * (model.fc(x) > 0)) @ back
    torch.testing.assert_close(project(model, x, Target(1), None, method, {"fc": a}), expected)


def test_a_product_with_a_constant_is_a_neuron_with_one_input() -> None:
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    std = torch.tensor([0.5, 2, 0.0]).view(3, 1, 1)

    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - 0.3) * std / 4

    start = {method: replace(METHODS[method], start="one") for method in ("patternnet", "patternattribution")}
    for unit, (signal, attribution) in enumerate([(8.0, 1.0), (2.0, 1.0), (0.0, 0.0)]):
        assert (project(Scaled(), x, Target(unit), None, start["patternnet"])[:, unit] == signal).all()
        assert (project(Scaled(), x, Target(unit), None, start["patternattribution"])[:, unit] == attribution).all()


@pytest.mark.parametrize(
    ("model", "name"),
    [(nn.ConvTranspose2d(3, 4, 3), "conv_transpose2d"), (nn.Sequential(nn.Unfold(2), nn.Conv1d(12, 2, 1)), "conv1d")],
)
def test_layers_without_patterns_are_refused_by_name(model: nn.Module, name: str) -> None:
    x = torch.randn(1, 3, 8, 8)
    with pytest.raises(UserError, match=rf"\({name}\): patterns are defined for"):
        estimate(model, [x])
    with pytest.raises(UserError, match=rf"\({name}\): has no pattern"):
        project(model, x, Target(0), None, "patternnet")


def test_a_weight_that_the_forward_computes_has_no_pattern() -> None:
    model = nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))
    with pytest.raises(UserError, match=r"0 \(linear\): its weight is computed in the forward pass"):
        project(model, torch.randn(1, 4), Target(0), None, "patternnet")
