"""Stage explain: the picture's parts against the methods themselves, photographs and networks of any kind."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from zfnet.attribution.engine import Target, project
from zfnet.attribution.incremental import Grid, covered_probabilities
from zfnet.core.errors import UserError
from zfnet.experiments.explain import compute, folder
from zfnet.experiments.explain.figure import LABEL, LINE, WIDTH, Sheet, Tile, draw
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.experiments.explain.photo import list_photos, read_photo
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network
from zfnet.pipeline.record import write_result
from zfnet.report.gallery import write_gallery


@pytest.fixture
def network(wrap):
    model = build("zfnet", 3, 32, 0.125)
    model.initialize("he", 0)
    return wrap(model.requires_grad_(False))


@pytest.fixture
def estimated(network, stores):
    return compute.estimate_patterns(network, stores[0], 12, 0)


def input_of(network, photo):
    """The input (1, 3, h, w) of the photograph's center crop."""
    return network.inputs.prepare(network.inputs.photo_pixels(photo)[None])


@pytest.fixture
def photo(picture_folder):
    return cv2.cvtColor(cv2.imread(str(picture_folder / "class_1" / "003.jpg")), cv2.COLOR_BGR2RGB)


@pytest.fixture
def few():
    return replace(ExplainOptions(), places=4)


def test_the_picture_and_its_numbers_come_from_one_forward_pass(network, estimated, photo, few, tmp_path):
    outcome = compute.run(few, network, photo, "003.jpg", tmp_path, estimated)
    probabilities = network.module(input_of(network, photo)).softmax(1)[0].detach()
    ranked = [network.classes.names[k] for k in probabilities.argsort().flip(0)]
    assert [guess["class"] for guess in outcome.numbers["top"]] == ranked
    assert outcome.numbers["top"][0]["probability"] == pytest.approx(float(probabilities.max()), rel=1e-5)
    assert len(outcome.numbers["methods"]) == 8 and "12 training images" in outcome.numbers["patterns"]
    picture = cv2.imread(str(tmp_path / compute.PICTURE))
    assert picture.shape[1] == 1280 and picture.shape[0] > 1400


def test_a_photograph_reaches_the_network_as_its_cached_frame_does(network, stores):
    photo = read_photo(str(stores[1].index.file(2)))
    assert torch.equal(input_of(network, photo), network.inputs.center(stores[1].frames([2])))


def test_the_signals_are_those_of_the_engine(network, estimated, photo):
    x = input_of(network, photo)
    signals, left_out = compute.class_signals(network, x, 1, estimated.patterns)
    assert not left_out
    for method in ("gradient", "deconvnet", "guided", "patternnet", "patternattribution"):
        whole = project(network.module, x, Target(1), None, method, estimated.patterns)
        np.testing.assert_array_equal(signals[method], whole[0].permute(1, 2, 0).numpy())


def test_the_strongest_unit_is_the_maximum_of_its_layer_and_projected_alone(network, photo):
    x = input_of(network, photo)
    units, left_out = compute.chosen_units(network, x, 0, -1)
    assert not left_out
    assert [(unit.number, unit.module) for unit in units] == list(network.feature_maps.items())
    for unit in units:
        activations = network.module.upto(x, unit.module)[0]
        assert unit.value == pytest.approx(float(activations.max()), rel=1e-5)
        assert float(activations[unit.unit, unit.place[0], unit.place[1]]) == pytest.approx(unit.value, rel=1e-5)
        alone = project(network.module, x, Target(unit.unit, unit.place), unit.module)[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(unit.projection, alone, atol=1e-6)


def test_occlusion_equals_covering_the_input_by_hand(network, photo):
    x = input_of(network, photo)
    places = compute.square_places(network.inputs.crop, 0.25, 3)
    probability = covered_probabilities(network.module, x[0], places, batch=2)[..., 2]
    assert places.size == 8 and places.tops.tolist() == [0, 12, 24]
    for i, top in enumerate(places.tops):
        for j, left in enumerate(places.lefts):
            covered = x.clone()
            covered[:, :, top : top + 8, left : left + 8] = 0
            assert probability[i, j] == pytest.approx(float(network.module(covered).softmax(1)[0, 2]), abs=1e-5)


def test_values_of_the_squares_lie_at_their_centres():
    places = Grid(3, np.array([0, 4]), np.array([0, 2, 6]))
    values = np.array([[0.0, 1, 2], [4, 5, 6]])
    over = compute.over_pixels(places, values, 9)
    assert over[1, 1] == 0 and over[5, 7] == 6 and over[1, 3] == 1
    assert over[3, 1] == 2 and over[0, 0] == 0 and over[8, 8] == 6  # halfway; constant beyond the centres


def test_without_patterns_two_methods_are_left_out(network, photo, few, tmp_path):
    outcome = compute.run(few, network, photo, "003.jpg", tmp_path, None)
    assert len(outcome.numbers["methods"]) == 6 and "none" in outcome.numbers["patterns"]


@pytest.mark.parametrize("shape", [(20, 31), (300, 40), (33, 700), (1, 1), (1, 39)])
def test_photographs_of_any_size_fill_the_picture(network, few, shape, tmp_path):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    outcome = compute.run(few, network, photo, "x" * 200, tmp_path, None)
    assert (tmp_path / compute.PICTURE).exists() and len(outcome.numbers["units"]) == 5
    x0, y0, x1, y1 = compute._crop_box(photo, network.inputs)
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


BORROWED = {
    "alexnet": {1: "features.1", 2: "features.4", 5: "features.11"},
    "resnet18": {1: "relu", 2: "layer1", 5: "layer4"},
    "squeezenet1_1": {},
}


@pytest.mark.parametrize("name", BORROWED)
def test_networks_of_others_are_explained(name, photo, few, tmp_path):
    module = getattr(torchvision.models, name)(weights=None, num_classes=7).eval()
    names = tuple(f"class {k}" for k in range(7))
    inputs = Inputs.of_colors(80, 64, IMAGENET_MEAN, IMAGENET_STD)
    network = Network(module, inputs, Classes(names, names), {}, BORROWED[name], name, name)
    outcome = compute.run(replace(few, places=2), network, photo, "003.jpg", tmp_path, None)
    assert outcome.numbers["network"] == name
    assert [unit["layer"] for unit in outcome.numbers["units"]] == list(BORROWED[name].values())
    with torch.no_grad():
        probabilities = module(input_of(network, photo)).double().softmax(1)[0]
    assert outcome.numbers["top"][0]["class"] == names[int(probabilities.argmax())]
    assert outcome.numbers["top"][0]["probability"] == pytest.approx(float(probabilities.max()), rel=1e-4)
    assert cv2.imread(str(tmp_path / compute.PICTURE)).shape[1] == 1280


class Mixed(torch.nn.Module):
    """Two layers of maps, the second with a GELU."""

    def __init__(self):
        super().__init__()
        self.first, self.relu = torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.ReLU()
        self.second, self.gelu = torch.nn.Conv2d(4, 5, 3, stride=2), torch.nn.GELU()
        self.classifier = torch.nn.Linear(5, 3)

    def forward(self, x):
        maps = self.gelu(self.second(self.relu(self.first(x))))
        return self.classifier(maps.mean((2, 3)))


def test_methods_that_refuse_the_network_are_left_out_with_their_reason(photo, few, tmp_path):
    names, inputs = ("a", "b", "c"), Inputs.of_colors(40, 32, IMAGENET_MEAN, IMAGENET_STD)
    maps = {1: "relu", 2: "gelu"}
    network = Network(Mixed().eval(), inputs, Classes(names, names), {}, maps, "mixed", "mixed")
    numbers = compute.run(few, network, photo, "003.jpg", tmp_path, None).numbers
    assert numbers["methods"][:3] == ["gradient saliency", "gradient × input", "occlusion"]
    assert set(numbers["left_out"]) == {"deconvnet", "guided back-propagation", "layer 2"}
    assert all("gelu" in reason for reason in numbers["left_out"].values())
    assert [unit["layer"] for unit in numbers["units"]] == ["relu"]


def test_reasons_stand_below_the_tiles():
    tile = Tile(np.full((10, 10, 3), 50, dtype=np.uint8), "tile", "note")
    photo = np.full((30, 40, 3), 77, dtype=np.uint8)
    sheet = Sheet("a.jpg", "net", photo, (5, 0, 35, 30), [("cat", 0.9)], "cat", [tile] * 4, [(tile, tile)], "units")
    plain, noted = draw(sheet), draw(replace(sheet, notes=("deconvnet is left out",)))
    assert len(noted) - len(plain) == LINE
    first = next(y for y in range(len(plain)) if (plain[y] != noted[y]).any())
    written = noted[first : first + LINE, :300]
    assert (written != written[0, 0]).any()
    np.testing.assert_array_equal(plain[-200:], noted[-200:])  # what follows is moved, not changed


def test_a_signal_that_is_zero_everywhere_is_said_to_be_none(network, photo):
    x = input_of(network, photo)
    signals, _ = compute.class_signals(network, x, 1, None)
    signals["deconvnet"] = np.zeros_like(signals["deconvnet"])
    notes = {tile.label: tile.note for tile in compute.class_tiles(x, signals)}
    assert [label for label, note in notes.items() if note == compute.NO_SIGNAL] == ["deconvnet"]


def test_the_sheet_has_every_tile_in_place():
    def flat(value, side=10):
        return Tile(np.full((side, side, 3), value, dtype=np.uint8), f"tile {value}", "note")

    methods = [flat(10 * n) for n in range(1, 7)]
    units = [(flat(200), flat(100 + n)) for n in range(5)]
    photo = np.full((30, 40, 3), 77, dtype=np.uint8)
    picture = draw(
        Sheet("a.jpg", "net", photo, (5, 0, 35, 30), [("cat", 0.9), ("dog", 0.1)], "cat", methods, units, "units")
    )
    side = (WIDTH - 2 * 20) // 3
    column = picture[:, 40 + side // 2]
    assert (column == 40).all(1).sum() >= side - LABEL  # the fourth method, second row, first column
    for tile in [*methods, *(shown for _, shown in units)]:
        assert (picture == tile.picture[0, 0]).all(2).sum() > 100 * 100


def test_a_sheet_takes_hostile_names():
    tile = Tile(np.zeros((4, 4, 3), dtype=np.uint8), "日本" * 90, "\n\x00")
    photo = np.zeros((5, 5, 3), dtype=np.uint8)
    sheet = Sheet("\x00\n" * 9, "", photo, (0, 0, 5, 5), [("x", 0.0)], "y", [tile], [(tile, tile)], "\x00")
    assert draw(sheet).dtype == np.uint8


def test_a_dead_network_is_drawn_in_grey(network, photo, few, tmp_path):
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.zero_()
    outcome = compute.run(few, network, photo, "003.jpg", tmp_path, None)
    assert outcome.numbers["units"][0]["value"] == 0
    assert outcome.numbers["occlusion"]["lowest_probability"] == pytest.approx(1 / 3)
    assert outcome.numbers["top"][0]["probability"] == pytest.approx(1 / 3)


# ---------------------------------------------------------------- a class, a layer, a map
@pytest.mark.parametrize("target", ["2", "class_2", "Class 2"])
def test_a_class_that_is_asked_for_is_explained(network, photo, few, tmp_path, target):
    asked = compute.explain(replace(few, target=target), network, photo, "003.jpg").numbers
    likeliest = compute.explain(few, network, photo, "003.jpg").numbers
    assert asked["explained"] == network.classes.names[2] and asked["top"] == likeliest["top"]
    x = input_of(network, photo)
    covered = covered_probabilities(network.module, x[0], compute.square_places(32, few.square, 4))[..., 2]
    assert asked["occlusion"]["lowest_probability"] == pytest.approx(float(covered.min()))


def test_a_class_that_the_network_lacks_is_named_with_those_like_it(network, photo, few):
    with pytest.raises(UserError, match=r"target: no class 'clas 1'.*class 1"):
        compute.explain(replace(few, target="clas 1"), network, photo, "003.jpg")


def test_the_strongest_maps_of_a_layer_are_shown(network, photo):
    x = input_of(network, photo)
    units, _ = compute.chosen_units(network, x, 3, -1)
    activations = network.module.upto(x, network.feature_maps[3])[0]
    literal = sorted(((float(plane.max()), k) for k, plane in enumerate(activations)), key=lambda pair: -pair[0])
    assert [unit.unit for unit in units] == [k for _, k in literal[: compute.SHOWN]]
    assert [unit.value for unit in units] == pytest.approx([value for value, _ in literal[: compute.SHOWN]], rel=1e-5)


def test_a_map_is_shown_at_its_strongest_places_that_are_not_neighbors(network, photo):
    x = input_of(network, photo)
    activations = network.module.upto(x, network.feature_maps[1])[0]
    unit = int(activations.flatten(1).sum(1).argmax())
    units, _ = compute.chosen_units(network, x, 1, unit)
    assert {shown.unit for shown in units} == {unit} and len(units) == compute.SHOWN
    assert units[0].value == pytest.approx(float(activations[unit].max()), rel=1e-5)
    for i, first in enumerate(units):
        assert float(activations[unit][first.place]) == pytest.approx(first.value, rel=1e-5)
        for second in units[:i]:
            assert second.value >= first.value
            assert max(abs(a - b) for a, b in zip(first.place, second.place, strict=True)) > 1
    with pytest.raises(UserError, match=r"explain\.unit: layer 1 has maps 0 to"):
        compute.chosen_units(network, x, 1, 10_000)


def test_a_map_that_does_not_fire_is_named(network, photo):
    with torch.no_grad():
        network.module.conv1.weight[0], network.module.conv1.bias[0] = 0, -1
    units, left_out = compute.chosen_units(network, input_of(network, photo), 1, 0)
    assert units == [] and left_out == {"map 0 of layer 1": "fires nowhere in this photograph"}


# ---------------------------------------------------------------- a folder
def test_every_photograph_of_a_folder_is_explained_once(network, few, tmp_path, monkeypatch, capsys):
    photos, out = tmp_path / "photos", tmp_path / "explain" / "out"
    for name in ("a.jpg", "b/a.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            photos / name
        )
    (photos / "broken.jpg").write_bytes(b"no image")
    (photos / "phone.HEIC").write_bytes(b"x")
    listed, passed_over = list_photos(str(photos))
    assert list(listed) == ["a.jpg", "broken.jpg", "b/a.jpg"] and passed_over == ".heic 1"

    outcome = folder.run(few, network, listed, passed_over, out, None)
    assert list(outcome.figures) == ["pictures/a.jpg.png", "pictures/b/a.jpg.png"]
    assert all((out / name).is_file() for name in outcome.figures)
    alone = compute.explain(few, network, read_photo(str(photos / "b" / "a.jpg")), "b/a.jpg")
    assert outcome.numbers["photographs"]["b/a.jpg"] == json.loads(json.dumps(alone.numbers))
    np.testing.assert_array_equal(cv2.imread(str(out / "pictures/b/a.jpg.png"))[..., ::-1], alone.picture)
    said = capsys.readouterr().out
    assert "broken.jpg is not an image" in said and ".heic 1" in said

    explained = []
    explain = folder.explain
    monkeypatch.setattr(folder, "explain", lambda *given: explained.append(given[3]) or explain(*given))
    (out / "pictures" / "a.jpg.png").write_bytes(b"damaged")
    assert folder.run(few, network, listed, passed_over, out, None).numbers == outcome.numbers
    assert explained == ["a.jpg"]

    write_result(out, {"numbers": outcome.numbers, "figures": outcome.figures})
    page = write_gallery(out).read_text(encoding="utf-8")
    assert 'src="pictures/b/a.jpg.png"' in page and "broken.jpg" in page and ".heic 1" in page


def test_a_question_that_no_photograph_can_answer_is_no_unreadable_photograph(network, few, picture_folder, tmp_path):
    photos, _ = list_photos(str(picture_folder))
    with pytest.raises(UserError, match="target: no class 'lion'"):
        folder.run(replace(few, target="lion"), network, photos, "", tmp_path, None)


def test_a_folder_without_photographs_is_refused(tmp_path):
    (tmp_path / "phone.heic").write_bytes(b"x")
    with pytest.raises(UserError, match=r"holds no photograph \(passed over: \.heic 1; save them as JPEG or PNG\)"):
        list_photos(str(tmp_path))
