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
from zfnet.data.cache.images import ImageStore
from zfnet.data.crops import shrink
from zfnet.data.decode import read_rgb
from zfnet.data.index import make_index
from zfnet.experiments.localization import compute as stage
from zfnet.experiments.localization import measure, tasks
from zfnet.experiments.localization.locate import Found
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.predictions import score_file
from zfnet.experiments.localization.score import Truth
from zfnet.networks.convnet import build

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
def store(tmp_path: Path) -> ImageStore:
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
    mean = np.full((SIZE, SIZE, 3), 100, np.float32)
    return ImageStore(index, pixels, np.array([image.shape[:2] for image in images]), mean, 1.0)


@pytest.fixture
def perfect(store: ImageStore) -> tasks.Saliency:
    def saliency(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return np.stack([store.frame(row).mask(store.index.boxes[row]) for row in rows]).astype(np.float32)

    return saliency


Run = Callable[..., stage.Outcome]


@pytest.fixture
def run(store: ImageStore, perfect: tasks.Saliency, tmp_path: Path) -> Run:
    def call(
        out: str = "out", processes: int = 1, config: LocalizationOptions = CONFIG, saliency=perfect, seed: int = 0
    ):
        model, sources = Brightest(), {"gradient": lambda images: saliency}
        return stage.run(config, model, store, store, sources, tmp_path / out, seed, processes)  # type: ignore[arg-type]

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


def test_the_largest_images_come_first(run: Run, perfect: tasks.Saliency, store: ImageStore) -> None:
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
    assert numbers["differences"]["whole"]["mean_iou"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_maps_that_are_not_finite_stop_the_run(run: Run) -> None:
    with pytest.raises(UserError, match="not finite"):
        run(saliency=lambda rows, classes: np.full((len(rows), SIZE, SIZE), np.nan))


def test_a_data_set_without_boxes_is_refused(store: ImageStore, perfect: tasks.Saliency, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image of .* has a box"):
        sources = {"gradient": lambda images: perfect}
        stage.run(CONFIG, Brightest(), store, store.take([7]), sources, tmp_path / "out", 0, 1)  # type: ignore[arg-type]


def test_a_limited_choice_is_drawn_by_the_seed_among_images_with_boxes(store: ImageStore) -> None:
    rows = tasks.choose_rows(store, 4, seed=1)
    assert len(rows) == 4 and 7 not in rows and (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, tasks.choose_rows(store, 4, seed=1))
    assert any((tasks.choose_rows(store, 4, seed=s) != rows).any() for s in range(2, 6))


@pytest.mark.parametrize("crops", ["ten", "center"])
def test_the_guesses_are_the_likeliest_by_the_averaged_softmax(stores, crops: str) -> None:
    """Image by image and crop by crop."""
    train, _ = stores
    model = build("zfnet", 3, train.crop, 0.125).eval()
    model.initialise("he", 0)
    rows = np.arange(1, 24, 2)
    expected = []
    with torch.no_grad():
        for row in rows:
            views = train.ten_crops([row])[0] if crops == "ten" else train.center([row])
            mean = sum(model(view[None])[0].double().softmax(0) for view in views) / len(views)
            expected.append(sorted(range(3), key=lambda k: -float(mean[k]))[:2])
    assert len({tuple(one) for one in expected}) > 1
    found = stage.guess(model, train, rows, replace(CONFIG, crops=crops, guesses=2, batch=5))
    np.testing.assert_array_equal(found, expected)


def found_in(row: int, cut: list, thresholded: list, fallbacks: list, seconds: float) -> Found:
    return Found(row, (10, 10), {"grabcut": cut, "threshold": thresholded}, {"grabcut": fallbacks}, seconds)


def test_hand_worked_numbers() -> None:
    """Two images of 10 x 10 px; the box for the true class is third in the first, first in the second."""
    found = [
        found_in(0, [[0, 0, 1, 1], [0, 0, 9, 4], [0, 0, 9, 9]], [[0, 0, 9, 9]] * 3, ["", "", "full mask"], 1.0),
        found_in(1, [[5, 5, 9, 9], [0, 0, 9, 9]], [[0, 0, 1, 1]] * 2, ["", ""], 3.0),
    ]
    true = np.array([[0, 0, 9, 9]])
    truth = Truth(np.array([2, 0]), [true, true], np.array([False, False]))
    guesses = np.array([[0, 1], [0, 1]])
    numbers = measure.measure(found, [[0, 1, 2], [0, 1]], guesses, truth, CONFIG, seed=0)
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
    found = [
        found_in(0, [[0, 0, 9, 9]], [[0, 0, 1, 1]], [""], 1.0),
        found_in(1, [[5, 5, 9, 9]], [[0, 0, 9, 9]], [""], 1.0),
    ]
    true = np.array([[0, 0, 9, 9]])
    guesses = np.array([[0], [0]])
    for labels, known in (([-1, -1], 0), ([-1, 0], 1)):
        truth = Truth(np.array(labels), [true, true], np.array([False, False]))
        numbers = measure.measure(found, [[0], [0]], guesses, truth, CONFIG, seed=0)
        assert numbers["n_known"] == known
        assert numbers["grabcut"]["first_error"]["value"] == 50.0
        assert numbers["grabcut"]["first_iou"]["value"] == pytest.approx((1 + 0.25) / 2)
        assert ("top5_error" in numbers["grabcut"]) == ("top5_error" in numbers["classification"]) == bool(known)
        json.dumps(numbers, allow_nan=False)
    assert numbers["grabcut"]["top1_error"]["value"] == 100.0 and numbers["threshold"]["top1_error"]["value"] == 0.0


def test_further_images_are_scored_beside_and_need_no_class(store: ImageStore, perfect, tmp_path: Path) -> None:
    index = replace(store.index, labels=np.full(8, -1))
    further = replace(store, index=index).take(range(7))
    sources = {"gradient": lambda images: perfect}
    (tmp_path / "bad.txt").write_text("2\n")  # of the validation images, not of the further ones
    config, out = replace(CONFIG, blacklist=str(tmp_path / "bad.txt")), tmp_path / "out"
    outcome = stage.run(config, Brightest(), store, store, sources, out, 0, 1, further)  # type: ignore[arg-type]
    assert (outcome.numbers["n_blacklisted"], outcome.numbers["images"]["n_blacklisted"]) == (1, 0)
    assert outcome.numbers["images"]["n_known"] == 0 and outcome.numbers["n_known"] == 7
    assert set(outcome.numbers["images"]["grabcut"]) == {"first_error", "first_iou"}
    assert outcome.numbers["images"]["grabcut"]["first_error"]["value"] == 0.0  # the map is perfect
    assert all((tmp_path / "out" / name).exists() for name in outcome.figures)
