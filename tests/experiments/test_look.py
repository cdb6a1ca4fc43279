"""Stage look: the picture's parts against the methods themselves, photographs of any kind, networks by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from zfnet.attribution.engine import Target, project
from zfnet.attribution.incremental import Grid
from zfnet.core.errors import UserError
from zfnet.experiments.explain import compute as look
from zfnet.experiments.explain.figure import LABEL, WIDTH, Sheet, Tile, draw
from zfnet.experiments.explain.network import as_table, estimate_patterns, from_torchvision, ours, read_photo
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.networks.convnet import build


@pytest.fixture(scope="module")
def model():
    net = build("zfnet", 3, 32, 0.125).eval()
    net.initialise("he", 0)
    return net.requires_grad_(False)


@pytest.fixture
def network(model, stores):
    train, val = stores
    patterns, told = estimate_patterns(model, train, 12, 0)
    return ours(model, val, "a small net", patterns, told)


@pytest.fixture
def photo(picture_folder):
    return cv2.cvtColor(cv2.imread(str(picture_folder / "class_1" / "003.jpg")), cv2.COLOR_BGR2RGB)


@pytest.fixture
def few():
    return replace(ExplainOptions(), places=4)


def test_the_picture_and_its_numbers_come_from_one_forward_pass(network, photo, few, tmp_path):
    outcome = look.run(few, network, photo, "003.jpg", tmp_path)
    _, x = network.see(photo)
    probabilities = network.model(x).softmax(1)[0].detach()
    assert [one["class"] for one in outcome.numbers["top"]] == [
        network.names[k] for k in probabilities.argsort().flip(0)
    ]
    assert outcome.numbers["top"][0]["probability"] == pytest.approx(float(probabilities.max()), rel=1e-5)
    assert len(outcome.numbers["methods"]) == 8 and "12 training images" in outcome.numbers["patterns"]
    picture = cv2.imread(str(tmp_path / look.PICTURE))
    assert picture.shape[1] == 1280 and picture.shape[0] > 1400


def test_a_photograph_reaches_the_network_as_the_store_would_give_it(network, picture_folder, stores):
    row = 2
    pixels, x = network.see(read_photo(str(stores[1].index.file(row))))
    np.testing.assert_array_equal(pixels, stores[1].center_pixels([row])[0])
    assert torch.equal(x.cpu(), stores[1].center([row]))


def test_the_signals_are_those_of_the_engine(network, photo):
    _, x = network.see(photo)
    signals = look.class_signals(network, x, 1)
    for method in ("gradient", "deconvnet", "guided", "patternnet", "patternattribution"):
        whole = project(network.model, x, Target(1), None, method, network.patterns)
        np.testing.assert_array_equal(signals[method], whole[0].permute(1, 2, 0).numpy())


def test_the_strongest_unit_is_the_maximum_of_its_layer_and_projected_alone(network, photo):
    _, x = network.see(photo)
    for unit in look.strongest_units(network, x):
        activations = network.model.upto(x, unit.layer)[0]
        assert unit.value == pytest.approx(float(activations.max()), rel=1e-5)
        assert float(activations[unit.unit, unit.place[0], unit.place[1]]) == pytest.approx(unit.value, rel=1e-5)
        alone = project(network.model, x, Target(unit.unit, unit.place), unit.layer)[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(unit.projection, alone, atol=1e-6)


def test_occlusion_equals_covering_the_input_by_hand(network, photo):
    _, x = network.see(photo)
    places = look.square_places(network.crop, 0.25, 3)
    found = look.occlude(network, x, 2, places, 2)
    assert places.size == 8 and places.tops.tolist() == [0, 12, 24]
    for i, top in enumerate(places.tops):
        for j, left in enumerate(places.lefts):
            covered = x.clone()
            covered[:, :, top : top + 8, left : left + 8] = 0
            assert found[i, j] == pytest.approx(float(network.model(covered).softmax(1)[0, 2]), abs=1e-5)


def test_values_of_the_squares_lie_at_their_centres():
    places = Grid(3, np.array([0, 4]), np.array([0, 2, 6]))
    values = np.array([[0.0, 1, 2], [4, 5, 6]])
    over = look.over_pixels(places, values, 9)
    assert over[1, 1] == 0 and over[5, 7] == 6 and over[1, 3] == 1
    assert over[3, 1] == 2 and over[0, 0] == 0 and over[8, 8] == 6  # halfway; constant beyond the centres


def test_without_patterns_two_methods_are_left_out(network, photo, few, tmp_path):
    outcome = look.run(few, replace(network, patterns=None, patterns_from=""), photo, "003.jpg", tmp_path)
    assert len(outcome.numbers["methods"]) == 6 and "none" in outcome.numbers["patterns"]


@pytest.mark.parametrize("shape", [(20, 31), (300, 40), (33, 700), (1, 1), (1, 39)])
def test_photographs_of_any_size_fill_the_picture(network, few, shape, tmp_path):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    outcome = look.run(few, network, photo, "x" * 200, tmp_path)
    assert (tmp_path / look.PICTURE).exists() and len(outcome.numbers["units"]) == 5
    x0, y0, x1, y1 = look._crop_box(photo, network)
    assert min(x0, y0) >= 0 and x1 <= shape[1] and y1 <= shape[0]
    assert x1 - x0 == pytest.approx(y1 - y0, rel=0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_that_a_phone_stored_turned_are_set_upright(orientation, tmp_path):
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    np.testing.assert_array_equal(read_photo(str(tmp_path / "turned.png")), upright)


def test_a_photograph_too_narrow_to_resize_is_refused(tmp_path):
    Image.new("RGB", (3000, 2)).save(tmp_path / "line.png")
    with pytest.raises(UserError, match="image: .*3000 x 2 px"):
        read_photo(str(tmp_path / "line.png"))


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_networks_of_torchvision_are_shown_by_name(name, photo, tmp_path):
    network = from_torchvision(name, "random")
    outcome = look.run(replace(ExplainOptions(), places=2), network, photo, "003.jpg", tmp_path)
    assert "random weights" in outcome.numbers["network"] and len(outcome.numbers["units"]) == 5
    assert {one["class"] for one in outcome.numbers["top"]} <= set(network.names)


def test_the_table_of_a_network_is_the_network():
    model = from_torchvision("alexnet", "random").model
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    table = as_table(model)
    assert table is not model
    torch.testing.assert_close(table(x), model(x))
    residual = from_torchvision("resnet18", "random").model
    assert as_table(residual) is residual


def test_the_sheet_has_every_tile_in_place():
    def flat(value, side=10):
        return Tile(np.full((side, side, 3), value, dtype=np.uint8), f"tile {value}", "note")

    methods = [flat(10 * n) for n in range(1, 7)]
    units = [(flat(200), flat(100 + n)) for n in range(5)]
    photo = np.full((30, 40, 3), 77, dtype=np.uint8)
    picture = draw(Sheet("a.jpg", "net", photo, (5, 0, 35, 30), [("cat", 0.9), ("dog", 0.1)], methods, units))
    side = (WIDTH - 2 * 20) // 3
    found = [tuple(picture[y, x]) for y in range(picture.shape[0]) for x in (40 + side // 2,) if picture[y, x, 0] == 40]
    assert found.count((40, 40, 40)) >= side - LABEL  # the fourth method, second row, first column
    for tile in [*methods, *(shown for _, shown in units)]:
        assert (picture == tile.picture[0, 0]).all(2).sum() > 100 * 100


def test_a_sheet_takes_hostile_names():
    tile = Tile(np.zeros((4, 4, 3), dtype=np.uint8), "日本" * 90, "\n\x00")
    sheet = Sheet(
        "\x00\n" * 9, "", np.zeros((5, 5, 3), dtype=np.uint8), (0, 0, 5, 5), [("x", 0.0)], [tile], [(tile, tile)]
    )
    assert draw(sheet).dtype == np.uint8


def test_a_dead_network_is_drawn_in_grey(network, photo, few, tmp_path):
    with torch.no_grad():
        dead = build("zfnet", 3, 32, 0.125).eval()
        for parameter in dead.parameters():
            parameter.zero_()
    outcome = look.run(few, replace(network, model=dead), photo, "003.jpg", tmp_path)
    assert outcome.numbers["units"][0]["value"] == 0
    assert outcome.numbers["occlusion"]["lowest_probability"] == pytest.approx(1 / 3)
    assert SimpleNamespace(**outcome.numbers).top[0]["probability"] == pytest.approx(1 / 3)
