"""rho against explicit residuals, sample by sample, and against values known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zfnet.attribution.patterns import estimate, fit
from zfnet.experiments.patterns import signal_quality
from zfnet.experiments.patterns.rho import advantage, summarize
from zfnet.experiments.patterns.signal_quality import (
    ESTIMATORS,
    RIDGE,
    TARGETS,
    Adam,
    ClosedForm,
    Correlation,
    Neurons,
    choose,
    measure,
    read,
    sample_patches,
)
from zfnet.networks.convnet import ConvNet, build

pytestmark = pytest.mark.usefixtures("one_thread")


def neurons(m: int = 3, d: int = 6, seed: int = 0) -> Neurons:
    """Neurons with random weights; random directions for every estimator, scaled to w . s = 1."""
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(m, d, generator=g, dtype=torch.float64)
    signals = torch.randn(len(ESTIMATORS), m, d, 2, generator=g, dtype=torch.float64)
    signals /= torch.einsum("md,emds->ems", w, signals)[:, :, None]
    signals[:3, ..., 1] = signals[:3, ..., 0]
    return Neurons(torch.arange(m), w, torch.tensor([0.3, -0.2, 0.0], dtype=torch.float64)[:m], signals)


def samples(n: int, d: int = 6, seed: int = 5) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return torch.randn(n, d, generator=g, dtype=torch.float64).abs() @ mixing + 0.5


def residuals(group: Neurons, x: Tensor, e: int, u: int) -> tuple[np.ndarray, np.ndarray]:
    """x - S(x) and the targets of one neuron, one sample after another."""
    d, t = [], []
    for patch in x:
        y = float(group.w[u] @ patch)
        d.append(patch - group.signals[e, u, :, 0 if y + group.bias[u] > 0 else 1] * y)
        t.append([y, max(y + group.bias[u].item(), 0.0)])
    return torch.stack(d).numpy(), np.array(t)


def last(by_count):
    """The qualities for v fitted to all images."""
    return by_count[max(by_count)]


def test_the_closed_form_is_ridge_regression_on_the_residuals() -> None:
    group, x = neurons(), samples(300)
    reader = ClosedForm(group)
    for batch in x.split(70):
        reader.add(batch)
    v = reader.solve().numpy()
    ridge = RIDGE * np.cov(x.numpy().T, bias=True).trace() / 6
    for e, u in np.ndindex(len(ESTIMATORS), 3):
        d, t = residuals(group, x, e, u)
        left, right = d - d.mean(0), t - t.mean(0)
        expected = np.linalg.solve(left.T @ left / 300 + ridge * np.eye(6), left.T @ right / 300)
        np.testing.assert_allclose(v[e, u], expected, rtol=1e-6, atol=1e-8)


def test_reading_a_residual_never_builds_it() -> None:
    group, x = neurons(), samples(20)
    v = torch.randn(len(ESTIMATORS), 3, 6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    measured = read(group, v, x).numpy()
    for e, u in np.ndindex(len(ESTIMATORS), 3):
        np.testing.assert_allclose(measured[e, :, u], residuals(group, x, e, u)[0] @ v[e, u].numpy(), atol=1e-10)


def test_no_direction_reads_more_than_the_closed_form() -> None:
    group, x = neurons(), samples(2000)
    closed, adam = ClosedForm(group), Adam(group, steps=600)
    for reader in (closed, adam):
        reader.add(x)
    left = []
    for v in (closed.solve(), adam.solve(), torch.randn(len(ESTIMATORS), 3, 6, 2, dtype=torch.float64)):
        correlation = Correlation()
        correlation.add(read(group, v, x), group.regimes(x)[1])
        left.append(correlation.value().numpy())
    assert (left[0] > left[1] - 1e-3).all() and (left[0] > left[2] - 1e-3).all()
    np.testing.assert_allclose(left[1], left[0], atol=0.03)  # Adam arrives


def test_rho_of_a_linear_toy_is_known_by_hand() -> None:
    rng = np.random.default_rng(0)
    y, eps = rng.uniform(-1, 1, (2, 40_000))
    x = torch.from_numpy(np.stack([y + eps, eps], 1))
    w, a = torch.tensor([[1.0, -1.0]], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    guesses = [torch.tensor([2.0, 1.0], dtype=torch.float64), w[0] / 2, a, a]
    signals = torch.stack([torch.stack([s, s], 1)[None] for s in guesses])
    group = Neurons(torch.arange(1), w, torch.zeros(1, dtype=torch.float64), signals)
    closed, correlation = ClosedForm(group), Correlation()
    closed.add(x[:20_000])
    correlation.add(read(group, closed.solve(), x[20_000:]), group.regimes(x[20_000:])[1])
    rho = 1 - correlation.value()[:, 0, 0].numpy()
    # S_w leaves x1 + x2 = y + 2 eps along (1, 1) / 2; (2, 1) leaves (eps - y)(1, 1); a leaves eps (1, 1)
    np.testing.assert_allclose(rho, [1 - np.sqrt(1 / 2), 1 - np.sqrt(1 / 5), 1, 1], atol=0.02)


def test_correlations_are_numpys_and_degenerate_ones_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(2, 50, 3, 2)), rng.normal(size=(50, 3, 2)) + 4
    p[0, :, 1] = 0  # nothing was read
    t[:, 2] = 0.7  # a constant neuron
    correlation = Correlation()
    for rows in np.split(np.arange(50), [20, 21]):
        correlation.add(torch.from_numpy(p[:, rows]), torch.from_numpy(t[rows]))
    r = correlation.value().numpy()
    assert r[1, 0, 1] == pytest.approx(np.corrcoef(p[1, :, 0, 1], t[:, 0, 1])[0, 1], abs=1e-10)
    assert (r[0, 1] == 0).all() and np.isnan(r[:, 2]).all()


@pytest.mark.parametrize(
    ("groups", "stride", "padding", "dilation", "mode"),
    [(1, 1, 0, 1, "zeros"), (1, 2, 1, 1, "zeros"), (2, 2, (1, 0), 1, "zeros"), (1, 1, 2, 2, "reflect")],
)
def test_patches_are_what_the_convolution_looks_at(groups, stride, padding, dilation, mode) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, stride, padding, dilation, groups, bias=False, padding_mode=mode)
    x = torch.randn(2, 4, 7, 8)
    patches = sample_patches(conv, x, 400, torch.Generator().manual_seed(0))
    y = conv(x).detach()
    for group, seen in enumerate(patches):
        answers = seen @ conv.weight.detach().flatten(1).chunk(groups)[group].T
        for b in (0, 1):
            true = y[b].chunk(groups)[group].flatten(1).T  # (places, maps)
            nearest = torch.cdist(answers.view(2, 400, -1)[b], true).min(1)
            assert nearest.values.max() < 1e-3 and len(nearest.indices.unique()) == len(true)


def test_of_very_many_groups_only_some_are_measured() -> None:
    torch.manual_seed(0)
    net, x = (
        nn.Sequential(nn.Conv2d(3, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3, groups=12)).eval(),
        torch.rand(40, 3, 9, 9),
    )
    patterns = fit(net, estimate(net, [x]))
    qualities = last(measure(net, patterns, lambda: [x], lambda: [x], n_neurons=5, seed=0))
    assert {name: q.rho["y"].shape[1] + q.n_constant["y"] for name, q in qualities.items()} == {"0": 5, "2": 5}


@pytest.mark.slow
def test_layers_with_very_many_inputs_are_read_by_gradient_descent(monkeypatch) -> None:
    model, pictures = trained_like()
    patterns = fit(model, estimate(model, [pictures]))
    exact = last(measure(model, patterns, lambda: [pictures], lambda: [pictures], 4, seed=0))
    monkeypatch.setattr(signal_quality, "CLOSED_FORM_UP_TO", 120)
    measured = last(measure(model, patterns, lambda: [pictures], lambda: [pictures], 4, seed=0))
    assert list(measured) == list(exact) and model.conv2.weight[0].numel() > 120 >= model.fc8.weight[0].numel()
    np.testing.assert_array_equal(measured["fc8"].rho["y"], exact["fc8"].rho["y"])
    assert np.isfinite(measured["conv2"].rho["y"]).all()
    assert np.abs(measured["conv2"].rho["y"] - exact["conv2"].rho["y"]).max() < 0.3


def trained_like(name: str = "zfnet") -> tuple[ConvNet, Tensor]:
    model = build(name, 4, 56, width=0.05)
    model.initialize("he", seed=0)
    smooth = torch.randn(90, 3, 8, 8, generator=torch.Generator().manual_seed(0))  # as pictures are, unlike white noise
    return model.eval(), nn.functional.interpolate(smooth, size=56, mode="bilinear")


@pytest.mark.parametrize("name", ["zfnet", "krizhevsky"])
def test_patterns_leave_less_than_weights_in_every_layer_and_weights_about_as_much_as_chance(name: str) -> None:
    model, x = trained_like(name)
    patterns = fit(model, estimate(model, [x]))
    qualities = last(measure(model, patterns, lambda: x.split(50), lambda: x.split(32), n_neurons=4, seed=0))
    assert list(qualities) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    for q in qualities.values():
        random, w, a, both = q.rho["y"].mean(1)
        assert a > w + 0.2 and both > w + 0.2 and abs(w - random) < 0.2
        assert q.rho["y"].shape[1] + q.n_constant["y"] == 4
    again = last(measure(model, patterns, lambda: x.split(50), lambda: x.split(32), n_neurons=4, seed=0))
    np.testing.assert_equal(summarize(again, 0), summarize(qualities, 0))  # a layer may be dead: nan
    gain = advantage(qualities, "a", "w", "y", seed=0)
    assert gain["low"] < gain["value"] < gain["high"] and gain["low"] > 0


def test_random_neurons_are_chosen_and_w_times_every_signal_is_one() -> None:
    model, x = trained_like("krizhevsky")
    chosen = choose(model, fit(model, estimate(model, [x[:8]])), 6, torch.Generator().manual_seed(0))
    assert [key for key in chosen if key[0] == "conv2"] == [("conv2", 0), ("conv2", 1)]
    for (name, group), members in chosen.items():
        along = torch.einsum("md,emds->ems", members.w, members.signals)
        torch.testing.assert_close(along, torch.ones_like(along), rtol=1e-6, atol=1e-6)
        if name == "conv2":
            assert {int(u) * 2 // len(model.get_submodule(name).weight) for u in members.units} == {group}


def test_a_neuron_that_does_not_vary_is_left_out_and_counted() -> None:
    model, x = trained_like()
    with torch.no_grad():
        model.fc8.weight[1] = 0
    qualities = last(measure(model, fit(model, estimate(model, [x])), lambda: [x], lambda: [x], n_neurons=9, seed=0))
    assert qualities["fc8"].n_constant == {"y": 1, "output": 1}
    assert all(qualities["fc8"].rho[target].shape == (4, 3) for target in TARGETS)


def test_rho_of_a_part_of_the_images_is_that_of_these_images_alone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.randn(120, 3, 2, 2)
    patterns = fit(net, estimate(net, [x]))
    both = measure(net, patterns, lambda: x.split(30), lambda: [x], n_neurons=4, seed=0, also_at=[50])
    part = last(measure(net, patterns, lambda: x[:60].split(30), lambda: [x], n_neurons=4, seed=0))
    assert list(both) == [60, 120]
    for name in ("1", "3"):
        np.testing.assert_allclose(both[60][name].rho["y"], part[name].rho["y"])
        assert both[60][name].n_samples == 60 and both[120][name].n_samples == 120
    assert (both[60]["1"].n_inputs, both[60]["1"].has_enough, both[60]["3"].n_inputs) == (12, True, 5)
    assert not measure(net, patterns, lambda: [x[:59]], lambda: [x], 4, 0)[59]["1"].has_enough
