"""The boxes of one image, from its saliency maps: the work that a process of the pool does.

The maps are in the cached frame (the central square, short side `size`); the image is read again in full. Both
meet at the *working size*: the image with its short side shrunk to `working_size` px at the most, and enlarged to
`least_size` px where it is smaller.
The map is resized into the frame's place there; outside the central square nothing is known (see segment.py).
The box goes back to the original image's pixels.

No torch here: a spawned process imports this module and little else.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from zfnet.data.crops import Frame, resize
from zfnet.data.decode import read_rgb
from zfnet.experiments.localization.boxes import clip, rescale
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.segment import Segmentation, segment, threshold_box


@dataclass(frozen=True)
class Task:
    """One image and the maps (k, size, size) of the k classes asked for."""

    row: int
    file: Path
    maps: np.ndarray
    seed: int
    upright: bool = False  # as in Index


@dataclass(frozen=True)
class Methods:
    """How boxes are made of a map, name -> settings: by a cut, and by a threshold alone."""

    cuts: Mapping[str, LocalizationOptions]
    thresholds: Mapping[str, LocalizationOptions]


@dataclass(frozen=True)
class ImageBoxes:
    """The k boxes of one image in its own pixels by each method, and what fell back in each cut (see segment)."""

    row: int
    shape: tuple[int, int]  # (height, width) of the original image
    boxes: dict[str, list[list[int]]]
    fallbacks: dict[str, list[str]]
    seconds: float


def locate(task: Task, methods: Methods) -> ImageBoxes:
    """The boxes of every map by every method. Deterministic in (task, methods)."""
    start = time.perf_counter()
    image = read_rgb(task.file, task.upright)
    height, width = image.shape[:2]
    boxes: dict[str, list[list[int]]] = {}
    fallbacks: dict[str, list[str]] = {}
    for name, config in methods.cuts.items():
        small = working_copy(image, config)
        parts = [segment_in_place(small, (height, width), saliency, config, task.seed) for saliency in task.maps]
        boxes[name] = [rescale(part.box, small.shape[:2], (height, width)).tolist() for part in parts]
        fallbacks[name] = [part.fallback for part in parts]
    for name, config in methods.thresholds.items():
        size = working_shape((height, width), config)
        places = [threshold_box(*whole_map(saliency, size, (height, width)), config) for saliency in task.maps]
        boxes[name] = [rescale(box, size, (height, width)).tolist() for box in places]
    return ImageBoxes(task.row, (height, width), boxes, fallbacks, time.perf_counter() - start)


def working_copy(image: np.ndarray, config: LocalizationOptions) -> np.ndarray:
    """The image at the size at which it is segmented."""
    return resize(image, *working_shape(image.shape[:2], config))


def working_shape(shape: tuple[int, ...], config: LocalizationOptions) -> tuple[int, int]:
    """(height, width) with the short side at most `working_size` px, and at least `least_size`."""
    side = max(min(min(shape), config.working_size), config.least_size)
    scale = side / min(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def segment_in_place(
    small: np.ndarray, shape: tuple[int, int], saliency: np.ndarray, config: LocalizationOptions, seed: int
) -> Segmentation:
    """Segment the working copy of an original of `shape` by a map (size, size) of the original's frame."""
    whole, inside = whole_map(saliency, small.shape[:2], shape)
    return segment(small, whole, inside, config, seed)


def whole_map(saliency: np.ndarray, working: tuple[int, int], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The map (size, size) at its place in the image of shape `working`, 0 around it, and where it is known."""
    x0, y0, x1, y1 = frame_place(working, shape, saliency.shape[0])
    whole, inside = np.zeros(working, np.float32), np.zeros(working, bool)
    place = slice(y0, y1 + 1), slice(x0, x1 + 1)
    width, height = x1 - x0 + 1, y1 - y0 + 1
    shrinks = max(width, height) < len(saliency)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR  # neither leaves the map's range
    whole[place] = cv2.resize(np.asarray(saliency, np.float32), (int(width), int(height)), interpolation=method)
    inside[place] = True
    return whole, inside


def frame_place(working: tuple[int, int], shape: tuple[int, int], size: int) -> np.ndarray:
    """Where the frame of an original of `shape` lies in its copy of shape `working`: box (4,), clipped to it."""
    square = np.array([[0, 0, size - 1, size - 1]])
    original = np.rint(Frame(*shape, size).from_frame(square)[0]).astype(np.int64)
    return rescale(clip(original, *shape), shape, working)
