"""Figure 6's numbers on filters whose dead share, dominance and frequencies are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zfnet.data.cache.images import ImageStore
from zfnet.data.index import Index
from zfnet.experiments.first_layer.compute import filters, measure, run, spectrum
from zfnet.experiments.first_layer.options import FirstLayerOptions
from zfnet.networks.convnet import build


def wave(frequency: float, side: int = 32) -> np.ndarray:
    """One vertical grating of `frequency` cycles per pixel, (1, side, side, 3)."""
    row = np.cos(2 * np.pi * frequency * np.arange(side))
    return np.tile(row[None, None, :, None], (1, side, 1, 3))


@pytest.mark.parametrize("frequency, band", [(0.0, "low"), (1 / 16, "low"), (3 / 16, "mid"), (3 / 8, "high")])
def test_a_grating_falls_into_its_band(frequency, band):
    bands = measure(wave(frequency), 2, np.ones(1), 0)["bands"]
    assert bands[band] == pytest.approx(1) and sum(bands.values()) == pytest.approx(1)


@pytest.mark.parametrize("stride, aliased", [(1, 0), (2, 0), (4, 1)])
def test_what_a_stride_cannot_sample_is_aliased(stride, aliased):
    assert measure(wave(3 / 16), stride, np.ones(1), 0)["aliased_filters"] == pytest.approx(aliased)


def test_the_spectrum_keeps_the_energy():
    x = np.random.default_rng(0).normal(size=(4, 7, 7, 3))
    power, _, _ = spectrum(x)
    assert power.sum() / power.size == pytest.approx((x**2).sum())


def test_dead_filters_neither_respond_nor_weigh():
    w = np.random.default_rng(0).normal(size=(10, 7, 7, 3))
    w[3] *= 1e-4  # no weight
    responses = np.ones(10)
    responses[[5, 6]] = 0  # never fire
    assert measure(w, 2, responses, 0)["dead"] == pytest.approx(0.3)


def test_dominance_is_a_tenth_when_all_are_equal_and_one_when_one_dominates():
    w = np.ones((20, 3, 3, 3))
    assert measure(w, 2, np.ones(20), 0)["dominance"] == pytest.approx(0.1)
    w[7] *= 1e4
    assert measure(w, 2, np.ones(20), 0)["dominance"] == pytest.approx(1, abs=1e-6)


def test_the_stage_sets_networks_side_by_side(tmp_path):
    rng, n = np.random.default_rng(0), 12
    pixels = rng.integers(0, 256, (n, 64, 64, 3)).astype(np.uint8)
    boxes = tuple(np.zeros((0, 4), dtype=np.int64) for _ in range(n))
    index = Index(Path("nowhere"), np.array([str(i) for i in range(n)]), np.zeros(n, dtype=int), ("a",), ("a",), boxes)
    store = ImageStore(index, pixels, np.full((n, 2), 64), pixels.mean(0).astype(np.float32), 64.0)
    models = {name: build(name, 2, 56, 0.25).eval() for name in ("zfnet", "krizhevsky")}
    seen = {name: (model, store) for name, model in models.items()}
    outcome = run(FirstLayerOptions(n_images=10, batch=8), seen, tmp_path, 0)
    assert set(outcome.figures) == {"filters_own.png", "filters_common.png", "layer2.png"}
    assert all((tmp_path / name).exists() for name in outcome.figures)
    ours, theirs = (outcome.numbers["networks"][name] for name in models)
    assert (ours["size"], ours["stride"], theirs["size"], theirs["stride"]) == (7, 2, 11, 4)
    assert 0 <= ours["aliased_layer2"] <= theirs["aliased_layer2"] <= 1  # white noise: more lies above 1/8 than 1/4
    assert outcome.numbers["n_images"] == 10
    assert filters(models["zfnet"])[0].shape == (24, 7, 7, 3)
