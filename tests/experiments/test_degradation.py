"""Patches, orders and curves against loops over single patches and a classifier made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zfnet.attribution.engine import Target, project
from zfnet.attribution.patterns import estimate, fit
from zfnet.experiments.patterns.degradation import (
    Attributions,
    Patches,
    _starts,
    areas,
    cut,
    degrade,
    occlusion,
    orders,
    predict,
    same_share,
    summarize,
)


def images(n: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, 8, 10, generator=torch.Generator().manual_seed(seed))


def scores(x: Tensor, patches: Patches) -> Tensor:
    """Of a random order."""
    return torch.rand(len(x), patches.count, generator=torch.Generator().manual_seed(4))


def corner_classifier() -> nn.Sequential:
    """Class 1 looks for a vertical edge in the upper left 4 x 4 pixels; class 0 is the rest."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(240, 2))
    with torch.no_grad():
        net[1].weight.zero_(), net[1].bias.zero_()
        weight = net[1].weight[1].view(3, 8, 10)
        weight[:, :4, :2], weight[:, :4, 2:4] = 1.0, -1.0
    return net.eval()


def test_patches_at_the_edges_are_partial_and_every_pixel_is_in_one() -> None:
    patches, x = cut(8, 10, 4), images()
    assert (patches.rows, patches.columns, patches.count) == (2, 3, 6)
    for p in range(6):
        top, left = 4 * (p // 3), 4 * (p % 3)
        block = x[:, :, top : top + 4, left : left + 4]
        torch.testing.assert_close(patches.sum(x)[:, :, p], block.sum((2, 3)))
        means = patches.means(x)[:, :, top : top + 4, left : left + 4]
        torch.testing.assert_close(means, block.mean((2, 3), keepdim=True).expand_as(means))


def test_a_curve_equals_patches_replaced_one_after_another() -> None:
    torch.manual_seed(0)
    net, x, patches = nn.Sequential(nn.Flatten(), nn.Linear(240, 4)).eval(), images(), cut(8, 10, 4)
    order = torch.stack([torch.randperm(6) for _ in x])
    curve = degrade(net, x, {"some": order}, patches, [0, 1, 2, 4, 6])["some"]
    for b, image in enumerate(x):
        changed, label = image.clone(), int(net(image[None]).argmax())
        expected = [float(net(changed[None]).detach().softmax(1)[0, label])]
        for p in order[b].tolist():
            block = changed[:, 4 * (p // 3) : 4 * (p // 3) + 4, 4 * (p % 3) : 4 * (p % 3) + 4]
            block[:] = block.mean((1, 2), keepdim=True)
            expected.append(float(net(changed[None]).detach().softmax(1)[0, label]))
        np.testing.assert_allclose(curve[b], np.array(expected)[[0, 1, 2, 4, 6]], atol=1e-6)


def test_where_the_evidence_is_one_patch_attribution_finds_it_first_and_the_curve_falls_at_once() -> None:
    net, patches = corner_classifier(), cut(8, 10, 4)
    x = images() * 0.1
    x[:, :, :4, :2] += 1.0
    ours = orders(x, Attributions(net, fit(net, estimate(net, [images(50)]))), patches, scores(x, patches))
    for name in ("gradient x input", "w", "a", "a+", "deconvnet", "guided", "occlusion"):
        if name != "occlusion":  # its windows are wider than this image
            assert ours[name][:, 0].tolist() == [0, 0, 0], name
    curves = degrade(net, x, ours, patches, [0, 1, 6])
    np.testing.assert_allclose(curves["gradient x input"][:, 1:], 0.5, atol=1e-6)
    assert (curves["gradient x input"][:, 0] > 0.99).all()


def test_orders_are_permutations_and_the_random_one_is_the_seeds() -> None:
    net, patches, x = corner_classifier(), cut(8, 10, 3), images()
    attributions = Attributions(net, fit(net, estimate(net, [images(9)])))
    first, second = (orders(x, attributions, patches, scores(x, patches)) for _ in range(2))
    for name, order in first.items():
        assert order.sort(1).values.tolist() == [list(range(12))] * 3
        assert torch.equal(order, second[name])
    assert len({tuple(row) for row in first["random"].tolist()}) == 3


def test_occlusion_patch_by_patch_is_the_fall_for_each_patch_alone() -> None:
    torch.manual_seed(1)
    net, x, patches = nn.Sequential(nn.Flatten(), nn.Linear(240, 4)).eval(), images(), cut(8, 10, 4)
    classes = predict(net, x).argmax(1)
    ours = occlusion(net, x, classes, patches, window=1)
    before, means = predict(net, x).gather(1, classes[:, None]), patches.means(x)
    for p in range(6):
        after = predict(net, torch.where(patches.ids == p, means, x)).gather(1, classes[:, None])
        torch.testing.assert_close(ours[:, p], (before - after)[:, 0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("count", "window"), [(28, 5), (25, 5), (7, 5), (3, 5), (6, 1), (5, 2)])
def test_windows_cover_every_patch(count: int, window: int) -> None:
    covered = {p for start in _starts(count, window) for p in range(start, min(start + window, count))}
    assert covered == set(range(count))


def test_wide_windows_average_the_falls_that_cover_a_patch() -> None:
    net, patches = corner_classifier(), cut(8, 10, 4)  # 2 x 3 patches, two windows beside each other
    x = images(1) * 0.1
    x[:, :, :4, :2] += 1.0
    ours = occlusion(net, x, predict(net, x).argmax(1), patches, window=2).view(2, 3)
    assert ours[0, 0] > 0.4
    torch.testing.assert_close(ours, ours[0, 0] * torch.tensor([[1.0, 0.5, 0.0]] * 2))


@pytest.mark.parametrize("crop, side, last", [(224, 9, 101), (56, 2, 127), (56, 8, 8), (56, 4, 32), (8, 8, 1)])
def test_as_many_patches_go_as_cover_the_papers_share(crop: int, side: int, last: int) -> None:
    patches = cut(crop, crop, side)
    counts = same_share(patches, n=100, side=9, extent=224, points=5)
    assert counts[0] == 0 and counts[-1] == last  # 16.1 % of them, one at least
    assert last == 1 or last / patches.count == pytest.approx(100 * 81 / 224**2, abs=0.01)


def test_only_the_wanted_methods_are_run() -> None:
    net, x, patches = corner_classifier(), images(), cut(8, 10, 4)
    attributions = Attributions(net, fit(net, estimate(net, [images(9)])))
    some = orders(x, attributions, patches, scores(x, patches), ["a+"])
    every = orders(x, attributions, patches, scores(x, patches))
    assert list(some) == ["a+"] and len(every) == 8 and torch.equal(some["a+"], every["a+"])


def test_gradient_times_input_is_autograds() -> None:
    net, x = corner_classifier(), images().requires_grad_()
    maps = Attributions(net, fit(net, estimate(net, [images(9)]))).maps(x.detach(), torch.tensor([1, 0, 1]))
    gradient = torch.autograd.grad(net(x)[[0, 1, 2], [1, 0, 1]].sum(), x)[0]
    torch.testing.assert_close(maps["gradient x input"], (gradient * x).sum(1).detach())


def test_signals_count_by_their_size_whatever_their_sign() -> None:
    net, classes = corner_classifier(), torch.tensor([1, 1, 1])
    maps = Attributions(net, fit(net, estimate(net, [images(9)]))).maps(images(), classes)
    for name in ("deconvnet", "guided"):
        signal = project(net, images(), Target(classes), method=name)
        assert (signal < 0).any()
        torch.testing.assert_close(maps[name], signal.abs().sum(1))


def test_areas_of_curves_known_by_hand() -> None:
    curves = {"a+": np.array([[1.0, 0.5, 0.0]]), "random": np.array([[1.0, 1.0, 1.0]])}
    ours = areas(curves, [0, 2, 10])
    assert ours["a+"] == pytest.approx([(1.5 + 2.0) / 10]) and ours["random"] == pytest.approx([1.0])
    numbers = summarize(curves, [0, 2, 10], seed=0)
    assert numbers["random"]["above_a+"]["value"] == pytest.approx(0.65) and numbers["a+"]["above_a+"]["value"] == 0
    assert numbers["a+"]["below_random"]["value"] == pytest.approx(0.65)
    assert numbers["a+"]["curve"] == [1.0, 0.5, 0.0]
