from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch import nn

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.data.crops import shrink
from zfnet.data.index import make_index
from zfnet.experiments.localization import compute as stage
from zfnet.experiments.localization import tuning
from zfnet.experiments.localization.boxes import center_box, iou
from zfnet.experiments.localization.locate import Methods, Task, locate
from zfnet.experiments.localization.options import GridOptions, LocalizationOptions
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network

SIZE = 32
GRID = GridOptions(
    seeds=["quantile"],
    foreground=[0.95, 0.7],
    background=[0.3],
    clamp=["all"],
    smoothing=[0.03],
    least_size=[0],
    threshold=[0.2, 0.6],
    threshold_smoothing=[0.06],
    centre=[0.3, 0.5],
)
CONFIG = LocalizationOptions(tune=5, grid=GRID, n_shown=1, working_size=48)
NAMES = ("a", "b", "c")
INPUTS = Inputs.of_mean_image(np.full((SIZE, SIZE, 3), 100, np.float32), 1.0)
COLORS = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # no parameters: its scores are the colors
NETWORK = Network(COLORS.eval(), INPUTS, Classes(NAMES, NAMES), {}, title="colors")


@pytest.fixture
def store(tmp_path: Path) -> Images:
    """Red squares of half the sides on noisy green, at the centre but for a pixel or two."""
    rng, images, boxes = np.random.default_rng(0), [], []
    for number in range(6):
        image = np.tile(np.array([90, 130, 90]), (40, 40, 1))
        x, y = rng.integers(8, 13, 2)
        image[y : y + 20, x : x + 20] = (200, 60, 60)
        images.append(np.clip(image + rng.normal(0, 15, image.shape), 0, 255).astype(np.uint8))
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), images[-1][..., ::-1])
        boxes.append(np.array([[x, y, x + 19, y + 19]]))
    index = make_index(tmp_path, [(f"{i}.png", i % 3) for i in range(6)], NAMES, boxes=boxes)
    pixels, shapes = np.stack([shrink(image, SIZE) for image in images]), np.full((6, 2), 40)
    return Images(index, pixels, shapes)


@pytest.fixture
def source(store: Images) -> Callable:
    """Speckled maps of the object, different for each row."""

    def maps(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        noise = [np.random.default_rng(row).random((SIZE, SIZE)) + 0.2 for row in rows]
        objects = [store.frame(row).mask(store.index.boxes[row]) + np.float32(0.2) for row in rows]
        return np.stack([a * b for a, b in zip(noise, objects, strict=True)])

    return lambda images: maps


def tune(store: Images, source: Callable, out: Path, config: LocalizationOptions = CONFIG, processes: int = 1):
    return tuning.tune(config, NETWORK, store, source, "gradient", out, 0, processes)


def test_own_values_come_first_and_every_combination_once() -> None:
    tried = tuning.choices(CONFIG, "grabcut")
    assert tried[0] == {axis: getattr(CONFIG, axis) for axis in tuning.AXES["grabcut"]}
    assert [row["foreground"] for row in tried[1:]] == [0.95, 0.7]
    grid = replace(GRID, seeds=["quantile", "range"], range_foreground=[0.4, 0.5], range_background=[0.1])
    both = tuning.choices(replace(CONFIG, grid=grid), "grabcut")
    of_range = [row for row in both if row["seeds"] == "range"]
    assert both[:3] == tried and [row["range_foreground"] for row in of_range] == [0.4, 0.5]
    assert all(row["foreground"] == CONFIG.foreground for row in of_range)  # which seeds=range does not read
    assert tuning.choices(replace(CONFIG, centre=0.3), "centre") == [{"centre": 0.3}, {"centre": 0.5}]


def test_the_grid_holds_the_error_of_each_setting_alone(store: Images, source: Callable, tmp_path: Path) -> None:
    chosen, numbers = tune(store, source, tmp_path)
    rows = tuning.choose_rows(store, 5, 0)
    true = [store.index.boxes[row] for row in rows]
    for row in numbers["centre"]["grid"]:
        expected = [iou(center_box(40, 40, row["centre"])[None], boxes)[0, 0] for boxes in true]
        assert row["error"] == 100 * np.mean(np.array(expected) < 0.5)
        assert row["mean_iou"] == pytest.approx(np.mean(expected))
    setting = numbers["grabcut"]["grid"][2]
    config = replace(CONFIG, **{key: setting[key] for key in tuning.AXES["grabcut"]})
    overlaps = []
    for row, boxes in zip(rows, true, strict=True):
        seed = int(np.random.default_rng([0, row]).integers(2**31))
        maps = source(store)(np.array([row]), np.array([0])).astype(np.float32)
        located = locate(Task(int(row), store.index.file(row), maps, seed), Methods({"x": config}, {}))
        overlaps.append(iou(np.array(located.boxes["x"]), boxes)[0, 0])
    assert setting["mean_iou"] == pytest.approx(np.mean(overlaps))
    for method in tuning.AXES:
        best = min(numbers[method]["grid"], key=lambda row: (row["error"], -row["mean_iou"]))
        assert numbers[method]["chosen"] == {key: best[key] for key in tuning.AXES[method]}
        assert numbers[method]["known_error"]["value"] == best["error"]
        assert all(getattr(chosen, key) == best[key] for key in tuning.AXES[method])
    json.dumps(numbers, allow_nan=False)


def test_nothing_but_the_tuned_values_changes_and_the_papers_come_back(store, source, tmp_path: Path) -> None:
    chosen, _ = tune(store, source, tmp_path, replace(CONFIG, guesses=2))
    kept = {axis: getattr(CONFIG, axis) for axes in tuning.AXES.values() for axis in axes}
    assert replace(chosen, **kept) == replace(CONFIG, guesses=2)
    paper = tuning.published(
        replace(CONFIG, seeds="range", foreground=0.7, clamp="all", iterations=4, least_size=99, working_size=48)
    )
    assert (paper.seeds, paper.working_size) == ("quantile", 256)
    assert (paper.foreground, paper.background, paper.clamp, paper.iterations) == (0.95, 0.30, "extreme", 1)
    assert (paper.least_size, paper.grid, paper.tune) == (0, GRID, 5)


def test_a_choice_made_before_is_read_again(store: Images, source: Callable, tmp_path: Path) -> None:
    first = tune(store, source, tmp_path)

    def never(images: Images) -> Callable:
        return lambda rows, classes: pytest.fail("the maps were made before")

    assert tune(store, never, tmp_path) == first
    with pytest.raises(pytest.fail.Exception):  # other work: another grid
        tune(store, never, tmp_path, replace(CONFIG, grid=replace(GRID, foreground=[0.8])))


def test_the_stage_scores_both_rows_and_compares_sources(store: Images, source: Callable, tmp_path: Path) -> None:
    def flat(images: Images) -> Callable:
        return lambda rows, classes: np.ones((len(rows), SIZE, SIZE))

    config = replace(CONFIG, compare=["guided"])
    sources = {"gradient": source, "guided": flat}
    numbers = stage.run(config, NETWORK, store, store, sources, tmp_path, 0, 1).numbers
    assert set(numbers["sources"]) == {"gradient", "guided"}
    assert numbers["sources"]["guided"]["grabcut"]["known_error"]["value"] == 100.0  # whole images
    chosen = numbers["tuning"]["grabcut"]
    assert numbers["sources"]["gradient"]["grabcut"]["known_error"] == chosen["known_error"]
    assert {"grabcut", "svz13", "threshold", "centre", "whole"} <= set(numbers)
    assert numbers["centre"]["known_error"]["value"] == 0.0  # half the sides: as the objects


def test_validation_images_that_choose_are_not_scored(store: Images, source: Callable, tmp_path: Path) -> None:
    config = replace(CONFIG, tune=4, tune_on="val")
    numbers = stage.run(config, NETWORK, store.take([0]), store, {"gradient": source}, tmp_path, 0, 1).numbers
    used = tuning.tuning_rows(config, NETWORK, store, 0)
    scored = (tmp_path / "images.txt").read_text().split()
    assert sorted([*scored, *(str(store.index.paths[row]) for row in used)]) == [f"{i}.png" for i in range(6)]
    assert (numbers["n_images"], numbers["tuning"]["n_images"]) == (2, 4)
    assert numbers["n_without_boxes"] == 0 and {"svz13", "threshold", "centre"} <= set(numbers["differences"])
    one = stage.run(replace(config, n_images=1), NETWORK, store, store, {"gradient": source}, tmp_path, 0, 1)
    assert one.numbers["n_images"] == 1 and (tmp_path / "images.txt").read_text().strip() in scored
    with pytest.raises(UserError, match=r"localization\.tune: 6 images choose, and none is left"):
        stage.run(replace(config, tune=50), NETWORK, store, store, {"gradient": source}, tmp_path, 0, 1)


def test_sources_are_compared_only_where_settings_are_chosen(store: Images, source: Callable, tmp_path) -> None:
    config = replace(CONFIG, tune=0, compare=["guided"])
    with pytest.raises(UserError, match=r"localization\.compare: .* localization\.tune"):
        stage.run(config, NETWORK, store, store, {"gradient": source}, tmp_path, 0, 1)


def test_images_whose_class_the_network_does_not_know_choose_nothing(store, source, tmp_path: Path) -> None:
    """Rows 1 and 4 are of class b, the only one that this network knows; its output is the third."""
    asked: list[tuple[int, int]] = []

    def watched(images: Images) -> Callable:
        return lambda rows, classes: asked.extend(zip(rows, classes, strict=True)) or source(images)(rows, classes)

    network = replace(NETWORK, classes=Classes(("x", "y", "b"), ("x", "y", "b")))
    _, numbers = tuning.tune(replace(CONFIG, tune=50), network, store, watched, "gradient", tmp_path, 0, 1)
    assert sorted(asked) == [(1, 2), (4, 2)] and numbers["n_images"] == 2
    unknown = replace(NETWORK, classes=Classes(("x", "y", "z"), ("x", "y", "z")))
    with pytest.raises(UserError, match=r"localization\.tune: colors knows the class of no training image with a box"):
        tuning.tune(CONFIG, unknown, store, source, "gradient", tmp_path, 0, 1)
