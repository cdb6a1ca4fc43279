"""The whole stage on a small network and noise: its numbers, its files, its seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zfnet.attribution.patterns import estimate, load_patterns
from zfnet.core.workers import ALONE
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments.patterns.compute import _sum_moments, run
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.networks.convnet import build
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches


def noise(n: int, seed: int) -> Images:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    boxes = tuple(np.zeros((0, 4), np.int64) for _ in range(n))
    paths, names = np.array([f"{i}.png" for i in range(n)]), ("a", "b")
    index = Index(Path("."), paths, np.zeros(n, np.int64), names, names, boxes)
    return Images(index, pixels, np.full((n, 2), 64), np.full((64, 64, 3), 127.0, np.float32))


def test_the_stage_tells_rho_degradation_and_the_toy_and_draws_them(
    wrap: Callable[..., Network], tmp_path: Path
) -> None:
    model, train, val = build("zfnet", 2, 56, width=0.05), noise(41, 0), noise(9, 1)
    model.initialize("he", seed=0)
    network = wrap(model, train)
    options = PatternsOptions(
        n_measure=20,
        n_neurons=3,
        n_degraded=3,
        n_swept=4,
        patch_sizes=[28, 56],
        patch=28,
        n_patches=16,
        points=4,
        n_shown=2,
        batch=16,
    )
    outcome = run(options, network, train, val, tmp_path, seed=3)
    numbers = outcome.numbers
    assert (numbers["n_images"], numbers["n_fitted"], numbers["n_measured"]) == (21, 20, 9)
    assert list(numbers["rho"]) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    for estimators in (*numbers["rho"].values(), *numbers["rho_output"].values()):
        assert all(rho["low"] <= rho["value"] <= rho["high"] for rho in estimators.values())
    assert numbers["patch"] == 7 and numbers["counts"] == [0, 4, 8, 12, 16]  # 16 of 64 patches are 25 %
    assert list(numbers["patch_sizes"]) == ["7", "14"] and numbers["patch_sizes"]["14"]["counts"] == [0, 1, 2, 3, 4]
    assert set(numbers["patch_sizes"]["14"]) == {"gradient x input", "a+", "counts"}
    assert list(numbers["convergence"])[-1] == "20" and len(numbers["convergence"]) > 1
    assert "fc6" in numbers["too_few_samples"] and numbers["samples"]["fc8"]["samples"] == 20
    for values in numbers["degradation"].values():
        assert len(values["curve"]) == 5 and 0 <= values["area"]["low"] <= values["area"]["high"] <= 1
    quality = {"signal_quality.svg", "signal_quality_by_images.svg"}
    assert set(outcome.figures) == {*quality, "degradation.svg", "toy.svg", "patterns.png"}
    assert all((tmp_path / file).stat().st_size > 500 for file in outcome.figures)
    assert "rho" in outcome.headline and "PatternAttribution" in outcome.headline
    assert load_patterns(tmp_path / "patterns.pt")["a+"]["fc8"].shape == model.fc8.weight.shape
    again = run(options, network, train, val, tmp_path / "again", seed=3)
    assert again.numbers == numbers


def test_fully_connected_layers_are_known_by_their_type_and_need_not_exist(
    wrap: Callable[..., Network], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 13), nn.Flatten()]
    train, val = noise(31, 0), noise(9, 1)
    options = PatternsOptions(
        n_measure=20, n_neurons=3, n_degraded=2, n_swept=2, patch=28, points=2, n_shown=1, batch=16
    )
    hidden = [nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)]
    for extra, is_dense in ([], False), (hidden[:2], False), (hidden, True):
        network = wrap(nn.Sequential(*body, *extra), train)
        numbers = run(options, network, train, val, tmp_path, seed=0).numbers
        assert list(numbers["rho"]) == ["0", "2", "5", "7"][: 2 + len(extra) // 2]
        difference = numbers["rho_differences"]["y"]["a+ above a, fully connected with ReLU"]
        assert (difference["value"] is not None) == is_dense  # the layer that gives the scores has no ReLU


def test_too_few_images_are_a_reason_and_no_error(wrap: Callable[..., Network], tmp_path: Path) -> None:
    model, train = build("zfnet", 2, 56, width=0.05), noise(3, 0)
    outcome = run(PatternsOptions(), wrap(model, train), train, noise(2, 1), tmp_path, seed=0)
    assert "there are 3 and 2" in outcome.numbers["skipped"] and not list(tmp_path.iterdir())


def test_images_that_are_all_the_same_end_in_numbers(wrap: Callable[..., Network], tmp_path: Path) -> None:
    model, train, val = build("zfnet", 2, 56, width=0.05), noise(4, 0), noise(2, 1)
    model.initialize("he", seed=0)
    train.pixels[:], val.pixels[:] = train.pixels[0], train.pixels[0]
    options = PatternsOptions(n_neurons=2, patch=112, patch_sizes=[112], points=2, n_shown=1)
    outcome = run(options, wrap(model, train), train, val, tmp_path, seed=0)
    assert np.isfinite(outcome.numbers["degradation"]["a+"]["area"]["value"])


def test_chunks_of_images_have_the_moments_of_all(wrap: Callable[..., Network]) -> None:
    model, train = build("zfnet", 2, 56, width=0.05), noise(21, 0)
    model.initialize("he", seed=0)
    network, rows = wrap(model, train), np.arange(21)[::-1]
    whole = estimate(model, center_batches(network, train, rows, 2))
    chunked = _sum_moments(network, train, rows, 2, ALONE)
    assert chunked.keys() == whole.keys()
    for name, moments in chunked.items():
        for key, total in vars(moments).items():
            torch.testing.assert_close(total, vars(whole[name])[key], rtol=1e-12, atol=1e-9)
