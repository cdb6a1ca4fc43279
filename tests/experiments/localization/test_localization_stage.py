from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.data.crops import shrink
from zfnet.data.decode import read_rgb
from zfnet.data.index import make_index
from zfnet.data.options import DataOptions
from zfnet.experiments.context import Context
from zfnet.experiments.localization import compute as stage
from zfnet.experiments.localization import measure, tasks
from zfnet.experiments.localization.locate import ImageBoxes
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.predictions import score_file
from zfnet.experiments.localization.score import Truth
from zfnet.experiments.localization.stage import LOCALIZATION
from zfnet.experiments.table import Config
from zfnet.networks.convnet import build
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network
from zfnet.networks.options import NetworkOptions
from zfnet.pipeline.options import PathsOptions

SIZE, CLASSES = 32, ("ant", "bee", "cow")
CONFIG = LocalizationOptions(working_size=48, n_shown=3, batch=4)
COLOURS = ((200, 60, 60), (60, 60, 200), (210, 210, 60))


class Brightest(nn.Module):
    """Scores (b, 3): the mean of each colour channel, so that the likeliest class is the reddest, greenest, bluest."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) * self.scale


@pytest.fixture
def store(tmp_path: Path) -> Images:
    rng, rows, boxes = np.random.default_rng(0), [], []
    for number in range(8):
        height, width = (60, 60 + 10 * (number % 3))
        side = int(rng.integers(20, 32))
        x0, y0 = int(rng.integers(10, 28)), int(rng.integers(4, 24))
        image = np.tile(np.array([90, 110, 90]), (height, width, 1))
        image[y0 : y0 + side, x0 : x0 + side] = COLOURS[number % 3]
        image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        name = f"val_{number + 1:08d}.png"
        assert cv2.imwrite(str(tmp_path / name), image[:, :, ::-1])
        rows.append((name, number % 3))
        boxes.append(np.array([[x0, y0, x0 + side - 1, y0 + side - 1]]))
    boxes[7] = np.zeros((0, 4), dtype=np.int64)  # the last has no box
    index = make_index(tmp_path, rows, CLASSES, boxes=boxes)
    images = [read_rgb(index.file(row)) for row in range(8)]
    pixels = np.stack([shrink(image, SIZE) for image in images])
    return Images(index, pixels, np.array([image.shape[:2] for image in images]))


INPUTS = Inputs.of_mean_image(np.full((SIZE, SIZE, 3), 100, np.float32), 1.0)
NETWORK = Network(Brightest().eval(), INPUTS, Classes(CLASSES, CLASSES), {}, title="the brightest color")


@pytest.fixture
def perfect(store: Images) -> tasks.Saliency:
    def saliency(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return np.stack([store.frame(row).mask(store.index.boxes[row]) for row in rows]).astype(np.float32)

    return saliency


Run = Callable[..., stage.Outcome]


@pytest.fixture
def run(store: Images, perfect: tasks.Saliency, tmp_path: Path) -> Run:
    def call(
        out: str = "out", processes: int = 1, config: LocalizationOptions = CONFIG, saliency=perfect, seed: int = 0
    ):
        sources = {"gradient": lambda images: saliency}
        return stage.run(config, NETWORK, store, store, sources, tmp_path / out, seed, processes)

    return call


def steady(numbers: dict) -> dict:
    return {key: value for key, value in numbers.items() if key != "seconds_per_image"}


def test_perfect_saliency_localises_and_all_classes_are_guessed(run: Run) -> None:
    numbers = run().numbers
    assert numbers["n_images"] == 7 and numbers["n_without_boxes"] == 1 and numbers["n_guesses"] == 3
    assert numbers["grabcut"]["top5_error"]["value"] == 0.0  # three classes, three guesses
    assert numbers["grabcut"]["mean_iou"]["value"] > 0.85
    assert numbers["whole"]["known_error"]["value"] == 100.0
    assert numbers["differences"]["whole"]["known_error"]["value"] == -100.0
    assert numbers["fallbacks"] == {"flat saliency": 0, "empty mask": 0, "full mask": 0}
    json.dumps(numbers, allow_nan=False)


def test_the_true_class_is_asked_for_even_when_it_is_not_guessed(run: Run) -> None:
    numbers = run(config=replace(CONFIG, guesses=1)).numbers
    wrong = numbers["classification"]["top1_error"]["value"]
    assert 0 < wrong < 100  # otherwise this shows nothing
    assert numbers["n_boxes"] == 7 + round(7 * wrong / 100)
    assert numbers["grabcut"]["known_error"]["value"] == 0.0


def test_two_processes_find_what_one_finds(run: Run, tmp_path: Path) -> None:
    assert steady(run("one").numbers) == steady(run("two", processes=2).numbers)
    for name in ("predictions.txt", "truth.txt", "images.txt", "localization.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


class Stopped(Exception):
    pass


def interrupted(saliency: tasks.Saliency, after: int) -> tasks.Saliency:
    calls = []

    def call(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        calls.append(int(rows[0]))
        if len(calls) > after:
            raise Stopped
        return saliency(rows, classes)

    return call


def test_an_interrupted_run_goes_on_and_ends_the_same(run: Run, perfect: tasks.Saliency, tmp_path: Path) -> None:
    whole = run("whole")
    with pytest.raises(Stopped):
        run("stopped", saliency=interrupted(perfect, 4))
    partial = tmp_path / "stopped" / "partial.jsonl"
    assert len(partial.read_text().splitlines()) == 1 + 4
    key, *lines = partial.read_text().splitlines(keepends=True)
    damaged = [key, "\0" * 30 + "\n", '{"row": 6}\n', *lines, '{"row": 6, "sha']  # the last cut off in the middle
    partial.write_text("".join(damaged))
    asked: list[int] = []
    resumed = run("stopped", saliency=lambda rows, classes: asked.append(int(rows[0])) or perfect(rows, classes))
    assert len(asked) == (7 - 4) + CONFIG.n_shown  # three images were left; then the picture
    assert steady(resumed.numbers) == steady(whole.numbers)
    asked.clear()
    run("stopped", saliency=lambda rows, classes: asked.append(int(rows[0])) or perfect(rows, classes))
    assert len(asked) == CONFIG.n_shown  # all boxes are read again; only the picture needs maps
    for name in ("predictions.txt", "localization.png"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_remains_of_other_work_are_not_taken(run: Run, perfect: tasks.Saliency, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run("stopped", saliency=interrupted(perfect, 4))
    asked: list[int] = []
    changed = replace(CONFIG, smoothing=0.05)
    run("stopped", config=changed, saliency=lambda rows, classes: asked.append(0) or perfect(rows, classes))
    assert len(asked) == 7 + CONFIG.n_shown


def test_the_largest_images_come_first(run: Run, perfect: tasks.Saliency, store: Images) -> None:
    asked: list[int] = []
    run(saliency=lambda rows, classes: asked.append(int(rows[0])) or perfect(rows, classes))
    areas = store.shapes[asked[:7]].prod(1)
    assert (np.diff(areas) <= 0).all() and areas[0] > areas[-1]


def test_the_prediction_file_scores_as_the_stage_does(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("2\n5\n")
    numbers = run(config=replace(CONFIG, blacklist=str(tmp_path / "bad.txt"), guesses=2)).numbers
    assert numbers["n_blacklisted"] == 2
    out = tmp_path / "out"
    filed = score_file(out / "predictions.txt", out / "truth.txt", out / "blacklist.txt")
    assert filed["top5_error"] == numbers["grabcut"]["top5_error"]
    assert filed["top1_error"] == numbers["grabcut"]["top1_error"]
    assert filed["top5_class_error"] == numbers["classification"]["top5_error"]


def test_a_blacklist_of_other_images_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("2000\n")
    with pytest.raises(UserError, match=r"localization\.blacklist"):
        run(config=replace(CONFIG, blacklist=str(tmp_path / "bad.txt")))


def test_a_blacklist_of_all_images_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("".join(f"{number}\n" for number in range(1, 1000)))
    with pytest.raises(UserError, match=r"localization\.blacklist: .* names all of these 7 images"):
        run(config=replace(CONFIG, blacklist=str(tmp_path / "bad.txt")))


def test_flat_maps_are_counted_and_score_as_the_whole_image(run: Run) -> None:
    numbers = run(saliency=lambda rows, classes: np.zeros((len(rows), SIZE, SIZE))).numbers
    assert numbers["fallbacks"]["flat saliency"] == numbers["n_boxes"] == 21
    assert numbers["grabcut"]["mean_iou"] == numbers["whole"]["mean_iou"]
    difference = numbers["differences"]["whole"]["mean_iou"]
    assert difference["value"] == difference["low"] == difference["high"] == 0.0


def test_maps_that_are_not_finite_stop_the_run(run: Run) -> None:
    with pytest.raises(UserError, match="not finite"):
        run(saliency=lambda rows, classes: np.full((len(rows), SIZE, SIZE), np.nan))


def test_a_data_set_without_boxes_is_refused(store: Images, perfect: tasks.Saliency, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image of .* has a box"):
        sources = {"gradient": lambda images: perfect}
        stage.run(CONFIG, NETWORK, store, store.take([7]), sources, tmp_path / "out", 0, 1)


def test_a_limited_choice_is_drawn_by_the_seed_among_images_with_boxes(store: Images) -> None:
    rows = tasks.choose_rows(store, 4, seed=1)
    assert len(rows) == 4 and 7 not in rows and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, tasks.choose_rows(store, 4, seed=1))
    assert any((tasks.choose_rows(store, 4, seed=s) != rows).any() for s in range(2, 6))


@pytest.mark.parametrize("crops", ["ten", "center"])
def test_the_guesses_are_the_most_probable_by_the_averaged_softmax(stores, wrap, crops: str) -> None:
    """Image by image and crop by crop."""
    train, _ = stores
    model = build("zfnet", 3, 32, 0.125)
    model.initialize("he", 0)
    network = wrap(model)
    rows = np.arange(1, 24, 2)
    expected = []
    with torch.no_grad():
        for row in rows:
            frames = train.frames([row])
            views = network.inputs.ten_crops(frames)[0] if crops == "ten" else network.inputs.center(frames)
            mean = sum(model(view[None])[0].double().softmax(0) for view in views) / len(views)
            expected.append(sorted(range(3), key=lambda k: -float(mean[k]))[:2])
    assert len({tuple(guesses) for guesses in expected}) > 1
    guesses = stage.guess(network, train, rows, replace(CONFIG, crops=crops, guesses=2, batch=5))
    np.testing.assert_array_equal(guesses, expected)


def boxes_in(row: int, cut: list, thresholded: list, fallbacks: list, seconds: float) -> ImageBoxes:
    return ImageBoxes(row, (10, 10), {"grabcut": cut, "threshold": thresholded}, {"grabcut": fallbacks}, seconds)


def test_hand_worked_numbers() -> None:
    """Two images of 10 x 10 px; the box for the true class is third in the first, first in the second."""
    located = [
        boxes_in(0, [[0, 0, 1, 1], [0, 0, 9, 4], [0, 0, 9, 9]], [[0, 0, 9, 9]] * 3, ["", "", "full mask"], 1.0),
        boxes_in(1, [[5, 5, 9, 9], [0, 0, 9, 9]], [[0, 0, 1, 1]] * 2, ["", ""], 3.0),
    ]
    true = np.array([[0, 0, 9, 9]])
    truth = Truth(np.array([2, 0]), [true, true], np.array([False, False]))
    guesses = np.array([[0, 1], [0, 1]])
    numbers = measure.measure(located, [[0, 1, 2], [0, 1]], guesses, truth, CONFIG, seed=0)
    assert numbers["classification"]["top5_error"]["value"] == 50.0
    assert numbers["grabcut"]["top5_error"]["value"] == 100.0
    assert numbers["grabcut"]["known_error"]["value"] == 50.0
    assert numbers["grabcut"]["mean_iou"]["value"] == pytest.approx((1.0 + 0.25) / 2)
    assert numbers["threshold"]["known_error"]["value"] == 50.0
    assert numbers["whole"]["top5_error"]["value"] == 50.0  # the class of the first image is not guessed
    assert numbers["centre"]["mean_iou"]["value"] == pytest.approx(0.49)
    assert numbers["fallbacks"]["full mask"] == 1 and numbers["n_boxes"] == 5
    assert numbers["seconds_per_image"] == 2.0
    assert numbers["grabcut"]["first_error"]["value"] == 100.0  # boxes [0 0 1 1] and [5 5 9 9]
    assert numbers["svz13"] == numbers["grabcut"]  # the same settings


def test_of_an_unknown_class_only_the_box_of_the_likeliest_class_counts() -> None:
    located = [
        boxes_in(0, [[0, 0, 9, 9]], [[0, 0, 1, 1]], [""], 1.0),
        boxes_in(1, [[5, 5, 9, 9]], [[0, 0, 9, 9]], [""], 1.0),
    ]
    true = np.array([[0, 0, 9, 9]])
    guesses = np.array([[0], [0]])
    for labels, known in (([-1, -1], 0), ([-1, 0], 1)):
        truth = Truth(np.array(labels), [true, true], np.array([False, False]))
        numbers = measure.measure(located, [[0], [0]], guesses, truth, CONFIG, seed=0)
        assert numbers["n_known"] == known
        assert numbers["grabcut"]["first_error"]["value"] == 50.0
        assert numbers["grabcut"]["first_iou"]["value"] == pytest.approx((1 + 0.25) / 2)
        assert ("top5_error" in numbers["grabcut"]) == ("top5_error" in numbers["classification"]) == bool(known)
        json.dumps(numbers, allow_nan=False)
    assert numbers["grabcut"]["top1_error"]["value"] == 100.0 and numbers["threshold"]["top1_error"]["value"] == 0.0


def test_further_images_are_scored_beside_and_need_no_class(store: Images, perfect, tmp_path: Path) -> None:
    index = replace(store.index, labels=np.full(8, -1))
    further = replace(store, index=index).take(range(7))
    sources = {"gradient": lambda images: perfect}
    (tmp_path / "bad.txt").write_text("2\n")  # of the validation images, not of the further ones
    config, out = replace(CONFIG, blacklist=str(tmp_path / "bad.txt")), tmp_path / "out"
    outcome = stage.run(config, NETWORK, store, store, sources, out, 0, 1, further)
    assert (outcome.numbers["n_blacklisted"], outcome.numbers["images"]["n_blacklisted"]) == (1, 0)
    assert outcome.numbers["images"]["n_known"] == 0 and outcome.numbers["n_known"] == 7
    assert set(outcome.numbers["images"]["grabcut"]) == {"first_error", "first_iou"}
    assert outcome.numbers["images"]["grabcut"]["first_error"]["value"] == 0.0  # the map is perfect
    assert all((tmp_path / "out" / name).exists() for name in outcome.figures)


class Padded(nn.Module):
    """Brightest among seven outputs: the colors are outputs 5, 2 and 0; the others are never likely."""

    def __init__(self) -> None:
        super().__init__()
        self.colors = Brightest()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.full((len(x), 7), -1e4)
        scores[:, [5, 2, 0]] = self.colors(x)
        return scores


def padded(ids: tuple[str, ...]) -> Network:
    inputs = Inputs(40, 35, INPUTS.mean[:1, :1], INPUTS.std)  # another frame than the images have
    return Network(Padded().eval(), inputs, Classes(ids, tuple(f"a {name}" for name in ids)), {}, title="padded")


def test_a_network_of_other_classes_is_scored_by_its_own_outputs(store, perfect, tmp_path: Path) -> None:
    """The same answers, in another order among more classes: the same numbers."""
    sources = {"gradient": lambda images: perfect}
    config = replace(CONFIG, guesses=2, crops="center")
    same = Network(Brightest().eval(), padded(CLASSES).inputs, NETWORK.classes, {})
    few = stage.run(config, same, store, store, sources, tmp_path / "few", 0, 1).numbers
    many_classes = padded(("cow", "x", "bee", "y", "z", "ant", "q"))
    many = stage.run(config, many_classes, store, store, sources, tmp_path / "many", 0, 1).numbers
    assert steady(few) == steady(many) and few["classification"]["top1_error"]["value"] < 100
    lines = (tmp_path / "many/truth.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines[:3]] == [6, 3, 1]  # outputs, counted from 1


def test_images_of_a_class_that_the_network_does_not_know_are_counted_apart(store, perfect, tmp_path: Path) -> None:
    sources = {"gradient": lambda images: perfect}
    numbers = stage.run(CONFIG, padded(("cow", "x", "b", "y", "z", "ant", "q")), store, store, sources, tmp_path, 0, 1)
    known = sum(label != 1 for label in store.index.labels[:7])
    assert numbers.numbers["n_known"] == known < numbers.numbers["n_images"] == 7
    assert len((tmp_path / "predictions.txt").read_text().splitlines()) == known
    nothing = stage.run(CONFIG, padded(tuple("tuvwxyz")), store, store, sources, tmp_path / "none", 0, 1)
    assert nothing.numbers["n_known"] == 0 and nothing.headline.startswith("localization error of the first guess")


def context_of(config: Config, tmp_path: Path) -> Context:
    return Context(config, "localization", tmp_path / "out", tmp_path / "no images", lambda stage: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "gone"}, r"localization\.images: no folder gone; see data/README"),
        ({"blacklist": "gone.txt"}, r"localization\.blacklist: no file gone\.txt"),
        ({"compare": ["guided"]}, r"localization\.compare: .* localization\.tune"),
        (
            {"saliency": "pattern_attribution"},
            r"localization\.saliency: .* the images that vgg16 was",
        ),
        ({"compare": ["pattern_attribution"], "tune": 5}, r"localization\.compare: .*; choose from gradient, guided"),
    ],
)
def test_what_cannot_be_done_is_known_before_anything_runs(options: dict, message: str, tmp_path: Path) -> None:
    config = Config(localization=replace(CONFIG, **options), network=NetworkOptions("vgg16"))
    with pytest.raises(UserError, match=message):
        LOCALIZATION.check(context_of(config, tmp_path))


def test_patterns_of_our_networks_and_of_imagenets_are_estimated(tmp_path: Path) -> None:
    localization = replace(CONFIG, saliency="pattern_attribution")
    LOCALIZATION.check(context_of(Config(localization=localization), tmp_path))
    imagenet = Config(localization=localization, network=NetworkOptions("vgg16"), data=DataOptions(source="imagenet"))
    LOCALIZATION.check(context_of(imagenet, tmp_path))
    folder = NetworkOptions(str(tmp_path))
    LOCALIZATION.check(context_of(Config(localization=localization, network=folder), tmp_path))


def test_the_stage_reads_further_images_by_the_networks_classes(store: Images, tmp_path: Path) -> None:
    """Two images of a class that the dataset lacks and the network knows, and one that nobody knows."""
    boxed, rng = tmp_path / "boxed", np.random.default_rng(0)
    for wnid in ("q", "unheard"):
        (boxed / "val" / wnid).mkdir(parents=True)
        (boxed / "Annotations").mkdir(exist_ok=True)
        for i in range(2 if wnid == "q" else 1):
            picture = rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)
            cv2.imwrite(str(boxed / "val" / wnid / f"{wnid}_{i}.png"), picture)
            corners = "<xmin>11</xmin><ymin>6</ymin><xmax>40</xmax><ymax>35</ymax>"
            size = "<size><width>60</width><height>50</height><depth>3</depth></size>"
            text = f"<annotation>{size}<object><name>{wnid}</name><bndbox>{corners}</bndbox></object></annotation>"
            (boxed / "Annotations" / f"{wnid}_{i}.xml").write_text(text)
    options = replace(CONFIG, images=str(boxed), saliency="occlusion", n_images=2, crops="center")
    config = Config(localization=options, paths=PathsOptions(data=str(tmp_path)), data=DataOptions(size=SIZE))
    context = context_of(config, tmp_path)
    context.__dict__.update(network=padded(("cow", "x", "bee", "y", "z", "ant", "q")), images=(store, store))
    numbers = LOCALIZATION.run(context).numbers
    assert (numbers["images"]["n_images"], numbers["images"]["n_known"], numbers["n_images"]) == (3, 2, 2)
    assert [line.split()[0] for line in (tmp_path / "out/images/truth.txt").read_text().splitlines()] == ["7", "7"]
