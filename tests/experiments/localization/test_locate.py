from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from zfnet.data.crops import Frame, shrink
from zfnet.experiments.localization.boxes import iou
from zfnet.experiments.localization.locate import Methods, Task, frame_place, locate, whole_map, working_shape
from zfnet.experiments.localization.options import LocalizationOptions

CONFIG = LocalizationOptions()
BOTH = Methods({"cut": CONFIG}, {"threshold": CONFIG})


def ideal_map(shape: tuple[int, int], box: list[int]) -> np.ndarray:
    """The perfect saliency of an image of `shape`: 1 in its true box, 0 elsewhere, in a frame of 64 px."""
    return Frame(*shape, 64).mask(np.array([box])).astype(np.float32)


def photo(folder: Path, height: int, width: int, box: list[int]) -> Path:
    image = np.tile(np.array([60, 150, 60]), (height, width, 1))
    x0, y0, x1, y1 = box
    image[y0 : y1 + 1, x0 : x1 + 1] = (60, 60, 190)
    image = np.clip(image + np.random.default_rng(0).normal(0, 10, image.shape), 0, 255).astype(np.uint8)
    path = folder / "photo.png"
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("working_size", [64, 256])
@pytest.mark.parametrize(("height", "width", "box"), [(120, 180, [60, 20, 119, 79]), (90, 60, [10, 30, 44, 69])])
def test_a_perfect_map_finds_the_box_again(
    tmp_path: Path, height: int, width: int, box: list[int], working_size: int
) -> None:
    maps = ideal_map((height, width), box)[None]
    task = Task(0, photo(tmp_path, height, width, box), maps, seed=0)
    config = replace(CONFIG, working_size=working_size)
    located = locate(task, Methods({"cut": config}, {"threshold": config}))
    assert located.shape == (height, width) and located.fallbacks == {"cut": [""]}
    assert iou(np.array(located.boxes["cut"]), np.array([box]))[0, 0] > 0.9
    assert iou(np.array(located.boxes["threshold"]), np.array([box]))[0, 0] > 0.75


def test_colour_carries_the_box_beyond_the_frame(tmp_path: Path) -> None:
    box = [5, 30, 150, 60]  # of 200 x 100 px the frame shows columns 50 to 149
    maps = ideal_map((100, 200), box)[None]
    located = locate(Task(0, photo(tmp_path, 100, 200, box), maps, seed=0), BOTH)
    assert located.boxes["threshold"][0][0] >= 50
    assert located.boxes["cut"][0][0] <= 10


def test_each_map_gets_its_own_box(tmp_path: Path) -> None:
    box = [20, 20, 49, 49]
    maps = np.stack([ideal_map((100, 100), box), np.zeros((64, 64), np.float32)])
    located = locate(Task(4, photo(tmp_path, 100, 100, box), maps, seed=0), BOTH)
    assert located.row == 4 and located.fallbacks["cut"] == ["", "flat saliency"]
    assert located.boxes["cut"][1] == [0, 0, 99, 99]


@pytest.mark.parametrize(("shape", "size"), [((375, 500), 256), ((500, 375), 64), ((64, 64), 64), ((33, 47), 64)])
def test_the_frame_lies_where_the_store_cut_it(shape: tuple[int, int], size: int) -> None:
    """Paint a ramp, cut its frame as the store does, and find its corner values at the place again."""
    ramp = np.zeros((*shape, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 250, shape[1])[None]
    ramp[..., 1] = np.linspace(0, 250, shape[0])[:, None]
    x0, y0, x1, y1 = frame_place(shape, shape, size)
    frame = shrink(ramp, size).astype(int)
    step = 250 / min(shape) * max(1, min(shape) / size)
    for corner, place in (((0, 0), (y0, x0)), ((-1, -1), (y1, x1))):
        np.testing.assert_allclose(frame[corner], ramp[place], atol=1.5 * step)


def test_a_map_is_placed_within_its_frame_and_keeps_its_range() -> None:
    saliency = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    for working in ((48, 96), (120, 240)):
        whole, inside = whole_map(saliency, working, (100, 200))
        assert whole.shape == inside.shape == working
        assert inside.mean() == pytest.approx(0.5, abs=0.02) and (whole[~inside] == 0).all()
        assert whole.min() >= 0 and whole.max() <= saliency.max() + 1e-6


@pytest.mark.parametrize(
    ("shape", "least", "expected"),
    [((40, 60), 0, (40, 60)), ((400, 600), 0, (256, 384)), ((40, 60), 80, (80, 120)), ((100, 90), 80, (100, 90))],
)
def test_pictures_shrink_to_the_working_size_and_grow_only_when_asked(
    shape: tuple[int, int], least: int, expected: tuple[int, int]
) -> None:
    assert working_shape(shape, replace(CONFIG, least_size=least)) == expected


def test_an_enlarged_picture_gives_boxes_in_its_own_pixels(tmp_path: Path) -> None:
    box = [12, 8, 39, 33]
    maps = ideal_map((48, 60), box)[None]
    enlarged = replace(CONFIG, least_size=150)
    located = locate(Task(0, photo(tmp_path, 48, 60, box), maps, seed=0), Methods({"cut": enlarged}, {"thr": enlarged}))
    assert all(iou(np.array(located.boxes[name]), np.array([box]))[0, 0] > 0.8 for name in ("cut", "thr"))


def test_each_method_finds_what_it_finds_alone(tmp_path: Path) -> None:
    box = [20, 20, 49, 49]
    task = Task(4, photo(tmp_path, 100, 100, box), np.random.default_rng(0).random((2, 64, 64), np.float32), seed=3)
    cuts = {"a": CONFIG, "b": replace(CONFIG, foreground=0.7, clamp="all", iterations=2)}
    together = locate(task, Methods(cuts, {"t": CONFIG}))
    for name, config in cuts.items():
        alone = locate(task, Methods({name: config}, {}))
        assert alone.boxes[name] == together.boxes[name] and alone.fallbacks[name] == together.fallbacks[name]
