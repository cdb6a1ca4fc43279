"""The atlas: every map's picture from the tiles of Figure 2, every map's facts from the search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zfnet.attribution.strongest import Strongest, strongest
from zfnet.attribution.tiles import GAP, TILE, patches, project_all, trim
from zfnet.data.cache.images import ImageStore
from zfnet.data.index import Index
from zfnet.experiments.top_activations.atlas import BETWEEN, describe, draw, lay_out
from zfnet.networks.convnet import build
from zfnet.plots.grid import CUT, contrast, fit

BLOCK = GAP + 3 * (TILE + GAP)


@pytest.fixture(scope="module")
def store() -> ImageStore:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (20, 16, 16, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)
    names, boxes = ("ape", "bee", "cat"), tuple(np.zeros((0, 4)) for _ in range(20))
    index = Index(Path("nowhere"), np.array([f"{i}.png" for i in range(20)]), np.arange(20) % 3, names, names, boxes)
    return ImageStore(index, pixels, np.full((20, 2), 64), pixels.mean(0).astype(np.float32), 64.0)


@pytest.fixture(scope="module")
def net():
    model = build("zfnet", 3, 56, 0.125).eval()
    model.initialise("he", 0)
    return model


@pytest.fixture(scope="module")
def found(net, store):
    best = strongest(net, store, np.arange(20), 9, 8)
    values = best["relu3"].values.clone()
    values[4] = 0
    values[5, 3:] = 0
    return best | {"relu3": replace(best["relu3"], values=values)}


def test_a_tile_is_the_projection_of_its_own_activation(net, store, found):
    layer, best, unit = "relu4", found["relu4"], 9
    picture = draw(net, store, layer, best, range(8, 11))[1]
    assert picture.shape == (BLOCK, 2 * BLOCK + BETWEEN, 3)
    rows, places = best.rows[unit].numpy(), best.places[unit].numpy()
    for i in (0, 4, 8):  # one at a time, where the atlas projects many maps at once
        one = slice(i, i + 1)
        projection = contrast(project_all(net, store, layer, np.array([unit]), rows[one], places[one]), CUT)
        patch = patches(net, store, layer, rows[one], places[one])
        y, x = GAP + i // 3 * (TILE + GAP), GAP + i % 3 * (TILE + GAP)
        for left, tiles in ((0, projection), (BLOCK + BETWEEN, patch)):
            expected = fit(trim(tiles, net, layer, places[one], store.crop)[0], TILE).astype(int)
            shown = picture[y : y + TILE, left + x : left + x + TILE].astype(int)
            assert np.abs(shown - expected).max() <= 1


def test_every_map_is_described_by_its_images(store, found):
    best = found["relu2"]
    told = describe(store, best, 7)
    rows = best.rows[7].tolist()
    assert told["files"] == [f"{row}.png" for row in rows] and told["classes"] == [row % 3 for row in rows]
    assert sum(count for _, count in told["counts"]) == 9
    assert told["purity"] == max(told["classes"].count(k) for k in range(3)) / 9
    assert told["values"] == sorted(told["values"], reverse=True)


def test_what_does_not_fire_is_left_out(net, store, found):
    dead, weak = draw(net, store, "relu3", found["relu3"], range(4, 6))
    assert dead is None
    assert describe(store, found["relu3"], 4) == {
        "unit": 4, "values": [], "files": [], "classes": [], "counts": [], "purity": 0.0
    }  # fmt: skip
    assert len(describe(store, found["relu3"], 5)["values"]) == 3
    assert (weak[GAP + TILE + GAP :, :] == 128).all()  # the second and third row are plain


def test_a_layer_without_any_activation_has_no_picture(net, store):
    nothing = Strongest(
        torch.zeros(6, 9), torch.zeros(6, 9, dtype=torch.int64), torch.zeros(6, 9, 2, dtype=torch.int64)
    )
    assert draw(net, store, "relu1", nothing, range(6)) == [None] * 6


def test_all_layers_are_laid_out_and_a_limit_is_kept(net, store, found, tmp_path):
    lay_out(net, store, found, tmp_path, 6)
    content = json.loads((tmp_path / "atlas.json").read_text())
    assert content["names"] == ["ape", "bee", "cat"] and list(content["layers"]) == list("12345")
    for n, layer in content["layers"].items():
        assert [one["unit"] for one in layer["maps"]] == list(range(6))
        for one in layer["maps"]:
            path = tmp_path / "atlas" / f"layer{n}" / f"{one['unit']}.jpg"
            assert path.exists() == bool(one["values"])
    picture = cv2.imread(str(tmp_path / "atlas" / "layer1" / "0.jpg"))
    assert picture.shape == (BLOCK, 2 * BLOCK + BETWEEN, 3)
