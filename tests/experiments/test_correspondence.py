"""Table 1's measure by hand, its limits, and the part file's errors."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.data.sources.tiny_imagenet import read_tiny_imagenet
from zfnet.experiments import sources
from zfnet.experiments.context import Context
from zfnet.experiments.correspondence.compute import (
    KINDS,
    Face,
    change_signs,
    choose,
    compare,
    disagreement,
    draw_faces,
    run,
    signs,
    summarize,
)
from zfnet.experiments.correspondence.options import CorrespondenceOptions
from zfnet.experiments.correspondence.parts import PARTS, faces, read_parts
from zfnet.experiments.correspondence.stage import CORRESPONDENCE
from zfnet.experiments.sources import OUR_PARTS
from zfnet.experiments.table import Config
from zfnet.networks.checkpoint import trained_network
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network
from zfnet.networks.options import ModelOptions

HEADER = "file,part,x,y,radius\n"
BREEDS = {"Chihuahua", "Yorkshire terrier", "golden retriever", "Labrador retriever", "German shepherd"}


INPUTS = Inputs.of_mean_image(np.full((64, 64, 3), 120.0, np.float32), 50.0)
NAMES = ("cat", "dog")


def network() -> Network:
    model = build("zfnet", 2, 56, width=0.125)
    model.initialize("he", seed=0)
    return trained_network(model.eval(), INPUTS, Classes(NAMES, NAMES))


def store(n: int = 8, shape: tuple[int, int] = (64, 64)) -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
    paths = np.array([f"val/{i}.png" for i in range(n)])
    boxes = tuple(np.array([[8, 8, 55, 55]]) for _ in range(n))
    index = Index(Path("."), paths, np.arange(n) % 2, NAMES, NAMES, boxes)
    return Images(index, pixels, np.full((n, 2), shape))


def part_file(folder: Path, n: int = 8) -> Path:
    places = {"left_eye": (20, 24, 4), "right_eye": (42, 24, 4), "nose": (31, 40, 6)}
    lines = [f"{i}.png,{part},{x + i},{y},{r}\n" for i in range(n) for part, (x, y, r) in places.items()]
    path = folder / "parts.csv"
    path.write_text(HEADER + "".join(lines), encoding="utf-8")
    return path


def test_signs_and_their_disagreement_by_hand() -> None:
    features = torch.tensor([[1.0, 2.0, 0.0, 0.0, 5.0], [0.5, 3.0, 0.0, 1.0, 5.0], [2.0, 3.0, 0.0, 0.0, 5.0 + 1e-6]])
    first, second = signs(features)
    assert first.tolist() == [1, -1, 0, -1, 0]
    assert second.tolist() == [-1, -1, 0, 0, 0]  # a change by rounding is none
    assert disagreement(first, second) == (pytest.approx(2 / 5), pytest.approx(2 / 3))
    assert disagreement(first, first) == (0.0, 0.0)
    assert disagreement(torch.zeros(4), torch.zeros(4)) == (0.0, 0.0)


def test_delta_is_the_mean_over_pairs_for_parts_and_for_each_random_draw() -> None:
    plus, minus, still = [1, 1], [-1, -1], [0, 0]
    changes = [  # rows: left eye, right eye, nose, two random draws
        torch.tensor([plus, plus, plus, plus, still]),
        torch.tensor([plus, minus, plus, plus, still]),
        torch.tensor([plus, minus, [1, -1], still, still]),
    ]
    table = compare(changes)
    assert table["left_eye"][:, 0].tolist() == [0, 0, 0]
    assert table["right_eye"][:, 0].tolist() == [1, 1, 0]
    assert table["nose"][:, 0].tolist() == [0, 0.5, 0.5]
    assert table["random"][:, 0].tolist() == [0, 1, 1, 0, 0, 0]


def test_equal_pictures_with_equal_parts_do_not_disagree(tmp_path: Path) -> None:
    images = store()
    images.pixels[:] = images.pixels[0]
    path = tmp_path / "parts.csv"
    places = ["left_eye,20,24,4", "right_eye,42,24,4", "nose,31,40,6"]
    path.write_text(HEADER + "".join(f"{i}.png,{place}\n" for i in range(8) for place in places))
    config = CorrespondenceOptions(n_images=3, repeats=2, n_random=2)
    numbers = run(config, network(), images, path, tmp_path, seed=0).numbers
    for part in PARTS:
        assert numbers["layer5"][part]["value"] == numbers["layer7"][part]["value"] == 0.0
        assert numbers["nonzero"]["layer5"][part]["value"] == 0.0


def test_the_changes_are_those_of_a_square_in_the_mean_color() -> None:
    model, images = network().module, store()
    face = Face(1, np.array([[10, 12, 18, 22]] * 3), np.array([[0, 0, 55, 55]]))
    covered = images.pixels[1].astype(np.float32)
    covered[16:27, 14:23] = 120.0  # the crop begins at 4, 4
    changed = INPUTS.prepare(covered[None, 4:60, 4:60])
    with torch.inference_mode():
        eps = (model.upto(INPUTS.center(images.frames([1])), "pool5") - model.upto(changed, "pool5")).flatten()
    expected = torch.where(eps.abs() > 1e-5, eps, 0.0).sign()
    changes = change_signs(network(), images, face, (5, 7))[5]
    assert changes.shape[0] == 4 and (changes[0] != expected).float().mean() < 0.01
    assert torch.equal(changes[0], changes[1])


def test_parts_move_from_the_original_image_to_the_crop() -> None:
    images = store(shape=(128, 192))  # half size, 16 px cut off on the left, then 4 px for the crop
    places = {"left_eye": (60.0, 48.0, 8.0), "right_eye": (100.0, 48.0, 8.0), "nose": (80.0, 80.0, 8.0)}
    squares = faces(INPUTS, images, {"0.png": places})[0]
    center = (squares[0, :2] + squares[0, 2:]) / 2
    np.testing.assert_allclose(center, [60 / 2 - 16 - 4, 48 / 2 - 4], atol=0.76)
    np.testing.assert_allclose(squares[:, 2] - squares[:, 0], 8, atol=1)
    outside = {**places, "nose": (20.0, 80.0, 8.0)}
    assert faces(
        INPUTS, images, {"0.png": outside, "1.png": {"nose": (80.0, 80.0, 8.0)}, "val/2.png": places}
    ).keys() == {2}


def test_choices_are_of_one_class_where_possible_and_repeatable() -> None:
    images = store(10)
    first = choose(images, list(range(10)), 4, 6, seed=1)
    labels = images.index.labels[first]
    assert (labels == labels[:, :1]).all() and len(np.unique(labels)) == 2
    assert all(len(set(rows)) == 4 for rows in first.tolist())
    np.testing.assert_array_equal(first, choose(images, list(range(10)), 4, 6, seed=1))
    mixed = images.index.labels[choose(images, list(range(10)), 7, 1, seed=1)]
    assert len(np.unique(mixed)) == 2


def test_the_stage_reports_table_1_and_draws_fig_8(tmp_path: Path) -> None:
    config = CorrespondenceOptions(n_images=3, repeats=3, n_random=2)
    outcome = run(config, network(), store(), part_file(tmp_path), tmp_path, seed=0)
    for layer in (outcome.numbers["layer5"], outcome.numbers["layer7"], outcome.numbers["nonzero"]["layer5"]):
        assert set(layer) == {*PARTS, "random", "difference"}
        assert all(0 < layer[kind]["value"] < 1 for kind in (*PARTS, "random"))
    gaps = [outcome.numbers[layer]["difference"]["value"] for layer in ("layer5", "layer7")]
    assert outcome.numbers["shrinks"]["value"] == pytest.approx(gaps[0] - gaps[1])
    literal, nonzero = outcome.numbers["layer5"]["nose"]["value"], outcome.numbers["nonzero"]["layer5"]["nose"]["value"]
    assert literal < nonzero
    assert outcome.numbers["same_class"] is True and (tmp_path / "correspondence.jpg").exists()


def test_more_repeats_of_the_same_faces_do_not_make_noise_certain() -> None:
    rng, pairs = np.random.default_rng(0), list(combinations(range(6), 2))
    noise = {kind: {pair: rng.random() for pair in pairs} for kind in KINDS}

    def width(repeats: int) -> float:
        chosen = np.stack([np.sort(rng.choice(6, 5, replace=False)) for _ in range(repeats)])
        tables = [
            {kind: np.array([[noise[kind][pair]] * 2 for pair in combinations(rows, 2)]) for kind in KINDS}
            for rows in chosen.tolist()
        ]
        gap = summarize(tables, 0, draw_faces(chosen, 0), 6)["difference"]
        assert gap["low"] < gap["value"] < gap["high"]
        return gap["high"] - gap["low"]

    assert width(400) > 0.7 * width(20) > 0.05


def test_intervals_weigh_pairs_by_how_often_their_faces_were_drawn() -> None:
    weights = draw_faces(np.array([[7, 3, 5], [5, 7, 9]]), seed=1)
    assert weights.shape[1] == 6 and weights.dtype == np.int64
    drawn = np.random.default_rng([1, 23]).multinomial(4, [0.25] * 4, len(weights))  # of 3, 5, 7, 9
    np.testing.assert_array_equal(weights[:, 0], drawn[:, 2] * drawn[:, 0])
    np.testing.assert_array_equal(weights[:, 5], drawn[:, 2] * drawn[:, 3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,part,x,y,radius\n", "line 1: the first line must be"),
        ("", "line 1: the first line must be"),
        (HEADER + "a.png,nose,1,2,3\na.png,tail,1,2,3\n", "line 3: unknown part 'tail'"),
        (HEADER + "a.png,nose,1,2\n", "line 2: 4 values"),
        (HEADER + "a.png,nose,1,two,3\n", "line 2: x, y and radius must be numbers"),
        (HEADER + "a.png,nose,1,2,0\n", "line 2: .*radius above 0"),
        (HEADER + "a.png,nose,nan,2,1\n", "line 2: x and y must be finite"),
        (HEADER + "a.png,nose,1,2,3\na.png,nose,1,2,3\n", "line 3: a.png has two places for nose"),
    ],
)
def test_a_bad_part_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "parts.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_parts(path)


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-8", ",")])
def test_a_part_file_that_a_spreadsheet_saved_is_read(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = tmp_path / "parts.csv"
    lines = [HEADER.strip(), "dög 1.jpg,nose,3,4,2", ""]
    path.write_text("\r\n".join(lines).replace(",", delimiter), encoding=encoding, newline="")
    assert read_parts(path) == {"dög 1.jpg": {"nose": (3.0, 4.0, 2.0)}}


def test_a_missing_part_file_and_too_few_faces_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="correspondence.parts: .*parts.csv cannot be read"):
        read_parts(tmp_path / "parts.csv")
    with pytest.raises(UserError, match="center crop of 2 of the 8 images; 3 are needed"):
        run(CorrespondenceOptions(n_images=3), network(), store(), part_file(tmp_path, 2), tmp_path, seed=0)


def test_our_positions_of_tiny_imagenet_are_faces_the_right_way_up() -> None:
    positions = read_parts(OUR_PARTS / "tiny_imagenet.csv")
    assert len(positions) >= 30 and all(set(places) == set(PARTS) for places in positions.values())
    for file, places in positions.items():
        (left, *_), (right, *_), (nose_x, nose_y, _) = (places[part] for part in PARTS)
        eyes = (places["left_eye"][1] + places["right_eye"][1]) / 2
        assert left < right and nose_y > eyes, file
        assert all(0 <= value <= 63 for x, y, _ in places.values() for value in (x, y)), file


@pytest.mark.real
def test_our_positions_lie_on_five_breeds_of_the_real_tiny_imagenet(real_data: Path) -> None:
    index = read_tiny_imagenet(real_data)[1]
    positions = read_parts(OUR_PARTS / "tiny_imagenet.csv")
    rows = {Path(str(path)).name: row for row, path in enumerate(index.paths)}
    labels = [int(index.labels[rows[file]]) for file in positions]
    names, counts = np.unique([index.names[label] for label in labels], return_counts=True)
    assert {name.split(",")[0] for name in names} == BREEDS and counts.min() >= 5


def context_of(config: Config, tmp_path: Path) -> Context:
    context = Context(config, "correspondence", tmp_path, tmp_path / "no images", lambda stage: None)
    context.__dict__.update(network=network(), images=(store(), store()))
    return context


def test_too_few_faces_of_ours_skip_the_stage_and_too_few_of_a_given_file_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = part_file(tmp_path, 2)
    monkeypatch.setattr(sources, "OUR_PARTS", tmp_path)
    config = Config(correspondence=CorrespondenceOptions(n_images=3))
    config.data.source = "folder"
    context = context_of(config, tmp_path)
    assert "no positions" in CORRESPONDENCE.run(context).headline
    parts.rename(tmp_path / "folder.csv")
    assert "2 of the 8 images; 3 are needed" in CORRESPONDENCE.run(context).headline
    config.correspondence.parts = str(tmp_path / "folder.csv")
    with pytest.raises(UserError, match="3 are needed"):
        CORRESPONDENCE.run(context)
    config.correspondence.n_images = 2
    assert CORRESPONDENCE.run(context).numbers["n_faces"] == 2


def test_what_cannot_be_compared_is_known_before_anything_runs(tmp_path: Path) -> None:
    CORRESPONDENCE.check(context_of(Config(), tmp_path))
    config = Config(correspondence=CorrespondenceOptions(parts=str(tmp_path / "gone.csv")))
    with pytest.raises(UserError, match="correspondence.parts: .*gone.csv cannot be read"):
        CORRESPONDENCE.check(context_of(config, tmp_path))
    with pytest.raises(UserError, match="correspondence: compares layer 5 with a later hidden layer"):
        CORRESPONDENCE.check(context_of(Config(model=ModelOptions(name="krizhevsky-no67")), tmp_path))


def test_a_borrowed_network_sees_the_parts_where_its_own_crop_shows_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs, names = Inputs.of_colors(96, 80, IMAGENET_MEAN, IMAGENET_STD), tuple("abcde")
    module = resnet18(num_classes=5).eval()
    borrowed = Network(module, inputs, Classes(names, names), {5: "layer3", 6: "avgpool"}, {}, "resnet18")
    images, parts = store(), read_parts(part_file(tmp_path))
    ours, theirs = faces(INPUTS, images, parts), faces(inputs, images, parts)
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(theirs[3] + 8, 1.5 * (ours[3] + 4), atol=1.5)  # of 96 px instead of 64
    face = Face(3, theirs[3], np.zeros((0, 4), np.int64))
    changes = change_signs(borrowed, images, face, (5, 6))
    with torch.inference_mode():
        covered = inputs.center(images.frames([3])).clone()
        x0, y0, x1, y1 = theirs[3][0]
        covered[:, :, y0 : y1 + 1, x0 : x1 + 1] = 0
        extractor = create_feature_extractor(module, ["layer3"])
        both = extractor(torch.cat([inputs.center(images.frames([3])), covered]))["layer3"].flatten(1)
    assert (changes[5][0] != signs(both)[0]).float().mean() < 0.01
    options = CorrespondenceOptions(n_images=3, repeats=2, n_random=2)
    numbers = run(options, borrowed, images, tmp_path / "parts.csv", tmp_path, seed=0).numbers
    assert {"layer5", "layer6"} <= set(numbers)
