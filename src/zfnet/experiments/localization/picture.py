"""The picture of [SVZ13] Fig. 3 for our images: image, saliency, seeds, segmentation, box against the true box."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from zfnet.data.crops import resize
from zfnet.data.decode import read_rgb
from zfnet.experiments.localization.boxes import rescale
from zfnet.experiments.localization.locate import Task, segment_in_place, whole_map, working_copy
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.segment import BACKGROUND, FOREGROUND, HARD_BACKGROUND, HARD_FOREGROUND
from zfnet.plots.grid import ACCENT, INK, TRUTH, draw_box, fit, heatmap, mosaic

SIDE = 168  # px of a tile
COLUMNS = ("image", "saliency", "seeds", "segmentation", "box (true: white)")
SEED_COLORS = {
    HARD_FOREGROUND: ACCENT,
    FOREGROUND: (250, 170, 130),
    BACKGROUND: (120, 160, 215),
    HARD_BACKGROUND: (40, 80, 160),
}


@dataclass(frozen=True)
class Example:
    """One row: the task (one map), its true boxes (k, 4), and what to write beside it."""

    task: Task
    true_boxes: np.ndarray
    label: str


def draw(examples: Sequence[Example], options: LocalizationOptions) -> np.ndarray:
    """The mosaic (H, W, 3) of the examples, one a row."""
    tiles = [_draw_row(example, options) for example in examples]
    return mosaic(tiles, gap=3, row_labels=[example.label for example in examples], column_labels=COLUMNS)


def _draw_row(example: Example, options: LocalizationOptions) -> list[np.ndarray | None]:
    image = read_rgb(example.task.file, example.task.upright)
    shape, small = image.shape[:2], working_copy(image, options)
    saliency = example.task.maps[0]
    part = segment_in_place(small, shape, saliency, options, example.task.seed)
    shown, inside = whole_map(saliency, small.shape[:2], shape)
    shown, bright = np.where(inside, shown, shown[inside].min()), float(np.quantile(shown[inside], 0.99))
    return [
        fit(small, SIDE),
        fit(heatmap(shown, high=bright), SIDE),
        fit(_paint_seeds(small, part.seeds), SIDE, smooth=False),
        fit(_fade_background(small, part.mask), SIDE),
        _draw_boxes(image, part.box, small.shape[:2], example.true_boxes),
    ]


def _paint_seeds(image: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    for code, color in SEED_COLORS.items():
        gray[seeds == code] = 0.25 * gray[seeds == code] + 0.75 * np.array(color, np.float32)
    return gray.round().astype(np.uint8)


def _fade_background(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    faded = 255 - (255 - image.astype(np.float32)) * np.where(mask, 1.0, 0.15)[..., None]
    return faded.round().astype(np.uint8)


def _draw_boxes(image: np.ndarray, box: np.ndarray, working: tuple[int, int], true: np.ndarray) -> np.ndarray:
    factor = SIDE / max(image.shape[:2])
    to = max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor))
    tile = resize(image, *to)
    for true_box in rescale(np.asarray(true).reshape(-1, 4), image.shape[:2], to).tolist():
        tile = draw_box(draw_box(tile, true_box, INK, 3), true_box, TRUTH, 1)  # white on any ground
    return fit(draw_box(tile, rescale(box, working, to).tolist(), ACCENT, 2), SIDE)
