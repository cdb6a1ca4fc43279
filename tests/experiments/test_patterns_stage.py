"""The whole stage on a small network and noise: its numbers, its files, its seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zfnet.attribution.patterns import load_patterns
from zfnet.data.cache.images import ImageStore
from zfnet.data.index import Index
from zfnet.experiments.patterns.compute import run
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.networks.convnet import build


def store(n: int, seed: int) -> ImageStore:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    boxes = tuple(np.zeros((0, 4), np.int64) for _ in range(n))
    index = Index(
        Path("."), np.array([f"{i}.png" for i in range(n)]), np.zeros(n, np.int64), ("a", "b"), ("a", "b"), boxes
    )
    return ImageStore(index, pixels, np.full((n, 2), 64), np.full((64, 64, 3), 127.0, np.float32), 64.0)


def test_the_stage_tells_rho_degradation_and_the_toy_and_draws_them(tmp_path: Path) -> None:
    model = build("zfnet", 2, 56, width=0.05)
    model.initialise("he", seed=0)
    config = PatternsOptions(
        n_measure=20, n_neurons=3, n_degraded=3, patch=28, n_patches=60, points=4, n_shown=2, batch=16
    )
    outcome = run(config, model.eval(), store(41, 0), store(9, 1), tmp_path, seed=3)
    numbers = outcome.numbers
    assert (numbers["n_images"], numbers["n_fitted"], numbers["n_measured"]) == (21, 20, 9)
    assert list(numbers["rho"]) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    for found in (*numbers["rho"].values(), *numbers["rho_output"].values()):
        assert all(one["low"] <= one["value"] <= one["high"] for one in found.values())
    assert numbers["patch"] == 7 and numbers["counts"] == [0, 15, 30, 45, 60]
    for found in numbers["degradation"].values():
        assert len(found["curve"]) == 5 and 0 <= found["area"]["low"] <= found["area"]["high"] <= 1
    assert set(outcome.figures) == {"signal_quality.svg", "degradation.svg", "toy.svg", "patterns.png"}
    assert all((tmp_path / file).stat().st_size > 500 for file in outcome.figures)
    assert "rho" in outcome.headline and "PatternAttribution" in outcome.headline
    assert load_patterns(tmp_path / "patterns.pt")["a+"]["fc8"].shape == model.fc8.weight.shape
    again = run(config, model, store(41, 0), store(9, 1), tmp_path / "again", seed=3)
    assert again.numbers == numbers
