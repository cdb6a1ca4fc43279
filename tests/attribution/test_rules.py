"""Every rule against a literal backprojection in plain loops on an 8 x 8 network, closer to the papers and slower.

The network: conv 3x3 pad 1, ReLU, LRN, max-pool 3/2 (overlapping, ceil mode), conv 3x3 stride 1, ReLU, linear.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from zfnet.attribution.engine import Backprojection, Target, project
from zfnet.attribution.rules import METHODS
from zfnet.networks.normalization import LocalResponseNorm

K, ALPHA, BETA, NEIGHBOURS = 2.0, 0.1, 0.75, 5


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), LocalResponseNorm(NEIGHBOURS, K, ALPHA, BETA)),
        *(nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 4)),
    ).double()


def pattern_dict(net: nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    weights = {name: m.weight for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    return {name: torch.randn(w.shape, generator=generator, dtype=w.dtype) for name, w in weights.items()}


# ---------------------------------------------------------------- the literal version
def conv_forward(x, w, bias, pad):
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    maps, _, k, _ = w.shape
    side = x.shape[1] - k + 1
    y = np.zeros((maps, side, side))
    for m in range(maps):
        for i in range(side):
            for j in range(side):
                y[m, i, j] = bias[m] + (w[m] * x[:, i : i + k, j : j + k]).sum()
    return y


def conv_backward(signal, w, pad, shape):
    """Every output adds its filter, times its signal, where it looked: the transposed filter."""
    below = np.zeros((shape[0], shape[1] + 2 * pad, shape[2] + 2 * pad))
    k = w.shape[2]
    for m, i, j in np.ndindex(signal.shape):
        below[:, i : i + k, j : j + k] += signal[m, i, j] * w[m]
    return below[:, pad : pad + shape[1], pad : pad + shape[2]]


def pool_forward(x):
    side = -(-(x.shape[1] - 3) // 2) + 1
    y, switches = np.zeros((x.shape[0], side, side)), {}
    for c, i, j in np.ndindex(y.shape):
        window = [
            (x[c, a, b], -a, -b) for a in range(2 * i, min(2 * i + 3, 8)) for b in range(2 * j, min(2 * j + 3, 8))
        ]
        value, a, b = max(window)
        y[c, i, j], switches[c, i, j] = value, (c, -a, -b)
    return y, switches


def pool_backward(signal, switches, shape, policy):
    below = np.zeros(shape)
    for at in np.ndindex(signal.shape):
        below[switches[at]] = signal[at] + (below[switches[at]] if policy == "add" else 0)
    return below


def neighbours(c, channels):
    return range(max(0, c - NEIGHBOURS // 2), min(channels, c + NEIGHBOURS // 2 + 1))


def norm_forward(x):
    s = np.stack([K + ALPHA * sum(x[o] ** 2 for o in neighbours(c, len(x))) for c in range(len(x))])
    return x * s**-BETA, s


def norm_backward(signal, x, s):
    below = signal * s**-BETA
    for c in range(len(x)):
        for o in neighbours(c, len(x)):
            below[c] -= 2 * ALPHA * BETA * x[c] * signal[o] * x[o] * s[o] ** (-BETA - 1)
    return below


def relu_backward(signal, x, name):
    gate, rectified = (x > 0).astype(float), (signal > 0).astype(float)
    if name == "deconvnet":
        return signal * rectified
    return signal * gate * rectified if name == "guided" else signal * gate


def literal(net, image, unit, name, policy, norm, start, patterns):
    """R at the pixels for one class score of one image (3, 8, 8)."""
    w1, b1, w2, b2, w3, b3 = (p.detach().numpy() for p in net.parameters())
    pre1 = conv_forward(image, w1, b1, 1)
    rectified1 = np.maximum(pre1, 0)
    normed, s = norm_forward(rectified1)
    pooled, switches = pool_forward(normed)
    pre2 = conv_forward(pooled, w2, b2, 0)
    scores = w3 @ np.maximum(pre2, 0).ravel() + b3
    if name.startswith("pattern"):
        a1, a2, a3 = (patterns[key].numpy() for key in ("0", "4", "7"))
        w1, w2, w3 = (a1, a2, a3) if name == "patternnet" else (w1 * a1, w2 * a2, w3 * a3)
    signal = (w3[unit] * (scores[unit] if start == "activation" else 1.0)).reshape(pre2.shape)
    signal = conv_backward(relu_backward(signal, pre2, name), w2, 0, pooled.shape)
    signal = pool_backward(signal, switches, normed.shape, policy)
    signal = norm_backward(signal, rectified1, s) if norm == "exact" else signal
    return conv_backward(relu_backward(signal, pre1, name), w1, 1, image.shape)


# ---------------------------------------------------------------- the claims
@pytest.mark.parametrize("norm", ["exact", "passed"])
@pytest.mark.parametrize("policy", ["add", "overwrite"])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_its_literal_backward_pass(name, policy, norm):
    net = network()
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    patterns, units = pattern_dict(net), torch.tensor([0, 3, 2])
    method = replace(METHODS[name], pool=policy, norm=norm)
    ours = project(net, images, Target(units), None, method, patterns)
    expected = [
        literal(net, image.numpy(), unit, name, policy, norm, method.start, patterns)
        for image, unit in zip(images, units.tolist(), strict=True)
    ]
    assert np.abs(np.stack(expected)).max() > 0
    np.testing.assert_allclose(ours.numpy(), np.stack(expected), rtol=1e-10, atol=1e-12)


def test_the_rows_of_the_table_are_the_papers():
    rows = {name: (m.relu.__name__, m.pool, m.norm, m.start) for name, m in METHODS.items()}
    assert rows == {
        "gradient": ("forward_gate", "add", "exact", "one"),
        "deconvnet": ("rectify", "add", "passed", "activation"),
        "guided": ("gate_and_rectify", "add", "passed", "one"),
        "patternnet": ("forward_gate", "add", "passed", "activation"),
        "patternattribution": ("forward_gate", "add", "passed", "activation"),
    }


def pooled(policy: str, x: torch.Tensor, size: int) -> torch.Tensor:
    return Backprojection(nn.MaxPool2d(size, 2), replace(METHODS["deconvnet"], pool=policy)).activations(x)


def test_a_maximum_shared_by_four_windows_takes_their_sum_or_the_last():
    x = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    x[0, 0, 2, 2] = 9
    incoming = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
    reached = {}
    for policy in ("add", "overwrite"):
        leaf = x.clone().requires_grad_()
        pooled(policy, leaf, 3).backward(incoming)
        assert leaf.grad.count_nonzero() == 1
        reached[policy] = leaf.grad[0, 0, 2, 2].item()
    assert reached == {"add": 10, "overwrite": 4}


def test_overwrite_runs_under_deterministic_algorithms():
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    torch.use_deterministic_algorithms(True)
    try:
        pooled("overwrite", x, 3).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert x.grad.sum() > 0


def test_without_overlap_both_policies_agree():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    signal = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    grads = []
    for policy in ("add", "overwrite"):
        leaf = x.clone().requires_grad_()
        pooled(policy, leaf, 2).backward(signal)
        grads.append(leaf.grad)
    assert torch.equal(*grads)


def test_patterns_equal_to_the_weights_give_the_gradient():
    net = network()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = {name: m.weight.detach() for name, m in net.named_modules() if hasattr(m, "weight")}
    method = replace(METHODS["patternnet"], norm="exact", start="one")
    ours = project(net, x, Target(1), None, method, own)
    torch.testing.assert_close(ours, project(net, x, Target(1), None, "gradient"), rtol=1e-12, atol=1e-14)


def test_pixels_can_be_negative_after_the_deconvnet():
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert project(network(), x, Target(torch.arange(5)[None]), "5", "deconvnet").min() < 0
