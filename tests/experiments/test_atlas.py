"""The atlas: every map's picture from the tiles of Figure 2, every map's facts from the search."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zfnet.attribution.fields import receptive_field
from zfnet.attribution.strongest import Strongest, strongest
from zfnet.attribution.units import in_place, patches, project_units
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments.top_activations.atlas import BETWEEN, describe, draw, write_atlas
from zfnet.experiments.top_activations.figure import GAP, TILE
from zfnet.networks.convnet import build
from zfnet.networks.network import Network
from zfnet.plots.grid import CUT, contrast, fit

BLOCK = GAP + 3 * (TILE + GAP)


@pytest.fixture
def images() -> Images:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (20, 16, 16, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)
    names, boxes = ("ape", "bee", "cat"), tuple(np.zeros((0, 4)) for _ in range(20))
    index = Index(Path("nowhere"), np.array([f"{i}.png" for i in range(20)]), np.arange(20) % 3, names, names, boxes)
    return Images(index, pixels, np.full((20, 2), 64), pixels.mean(0).astype(np.float32))


@pytest.fixture
def network(images: Images, wrap: Callable[..., Network]) -> Network:
    model = build("zfnet", 3, 56, 0.125)
    model.initialize("he", 0)
    return wrap(model, images)


@pytest.fixture
def layers(network: Network, images: Images) -> dict[int, Strongest]:
    """By layer number; map 4 of layer 3 never fires, map 5 for three images only."""
    batches = network.center(images.pixels).split(8)
    best = strongest(network.module, batches, np.arange(20), list(network.feature_maps.values()), 9)
    values = best["relu3"].values.clone()
    values[4] = 0
    values[5, 3:] = 0
    best["relu3"] = replace(best["relu3"], values=values)
    return {number: best[name] for number, name in network.feature_maps.items()}


def test_a_tile_is_the_projection_of_its_own_activation(network, images, layers):
    layer, best, unit = "relu4", layers[4], 9
    field, crop = receptive_field(network.module, layer, 56), network.inputs.crop
    picture = draw(network, images, layer, best, range(8, 11))[1]
    assert picture.shape == (BLOCK, 2 * BLOCK + BETWEEN, 3)
    rows, places = best.rows[unit].numpy(), best.places[unit].numpy()
    for i in (0, 4, 8):  # one at a time, where the atlas projects many maps at once
        place, frames = places[i : i + 1], images.frames(rows[i : i + 1])
        projection = project_units(network.module, [network.center(frames)], layer, np.array([unit]), place)
        patch = patches(network.inputs.center_pixels(frames), field, place)
        y, x = GAP + i // 3 * (TILE + GAP), GAP + i % 3 * (TILE + GAP)
        for left, tiles in ((0, contrast(projection, CUT)), (BLOCK + BETWEEN, patch)):
            expected = fit(in_place(tiles, field, place, crop)[0], TILE).astype(int)
            shown = picture[y : y + TILE, left + x : left + x + TILE].astype(int)
            assert np.abs(shown - expected).max() <= 1


def test_every_map_is_described_by_its_images(images, layers):
    best = layers[2]
    described = describe(images, best, 7)
    rows = best.rows[7].tolist()
    assert described["files"] == [f"{row}.png" for row in rows] and described["classes"] == [row % 3 for row in rows]
    assert sum(count for _, count in described["counts"]) == 9
    assert described["purity"] == max(described["classes"].count(k) for k in range(3)) / 9
    assert described["values"] == sorted(described["values"], reverse=True)


def test_what_does_not_fire_is_left_out(network, images, layers):
    dead, weak = draw(network, images, "relu3", layers[3], range(4, 6))
    assert dead is None
    assert describe(images, layers[3], 4) == {
        "unit": 4, "values": [], "files": [], "classes": [], "counts": [], "purity": 0.0
    }  # fmt: skip
    assert len(describe(images, layers[3], 5)["values"]) == 3
    assert (weak[GAP + TILE + GAP :, :] == 128).all()  # the second and third row are plain


def test_a_layer_without_any_activation_has_no_picture(network, images):
    nothing = Strongest(
        torch.zeros(6, 9), torch.zeros(6, 9, dtype=torch.int64), torch.zeros(6, 9, 2, dtype=torch.int64)
    )
    assert draw(network, images, "relu1", nothing, range(6)) == [None] * 6


def test_all_layers_are_laid_out_and_a_limit_is_kept(network, images, layers, tmp_path):
    write_atlas(network, images, layers, tmp_path, 6)
    content = json.loads((tmp_path / "atlas.json").read_text())
    assert content["names"] == ["ape", "bee", "cat"] and list(content["layers"]) == list("12345")
    for n, layer in content["layers"].items():
        assert [described["unit"] for described in layer["maps"]] == list(range(6))
        for described in layer["maps"]:
            path = tmp_path / "atlas" / f"layer{n}" / f"{described['unit']}.jpg"
            assert path.exists() == bool(described["values"])
    picture = cv2.imread(str(tmp_path / "atlas" / "layer1" / "0.jpg"))
    assert picture.shape == (BLOCK, 2 * BLOCK + BETWEEN, 3)
