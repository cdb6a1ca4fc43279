"""The boxes of one image, from its saliency maps: the work that a process of the pool does.

The maps live in the store's frame (the central square, short side `size`); the image is read again in full. Both
meet at the *working size*: the image with its short side shrunk to `working_size` px at the most (never enlarged).
The map is resized into the frame's place there; outside the central square nothing is known (see segment.py).
The box goes back to the original image's pixels.

No torch here: a spawned process imports this module and little else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from zfnet.config import LocalizationConfig
from zfnet.data.crops import Frame, resize
from zfnet.data.images import read_rgb
from zfnet.localization.boxes import clip, rescale
from zfnet.localization.segment import Segmentation, segment


@dataclass(frozen=True)
class Task:
    """One image and the maps (k, size, size) of the k classes asked for."""

    row: int
    file: Path
    maps: np.ndarray
    seed: int


@dataclass(frozen=True)
class Found:
    """The k boxes of one image in its own pixels, by GrabCut and by threshold, and what fell back (see segment)."""

    row: int
    shape: tuple[int, int]  # (height, width) of the original image
    boxes: list[list[int]]
    threshold_boxes: list[list[int]]
    fallbacks: list[str]
    seconds: float


def locate(task: Task, config: LocalizationConfig) -> Found:
    """Segment the image once for every map. Deterministic in (task, config)."""
    start = time.perf_counter()
    image = read_rgb(task.file)
    shape = image.shape[:2]
    small = shrink_to(image, config.working_size)
    parts = [segment_in_place(small, shape, saliency, config, task.seed) for saliency in task.maps]
    return Found(
        row=task.row,
        shape=(int(shape[0]), int(shape[1])),
        boxes=[rescale(part.box, small.shape[:2], shape).tolist() for part in parts],
        threshold_boxes=[rescale(part.threshold_box, small.shape[:2], shape).tolist() for part in parts],
        fallbacks=[part.fallback for part in parts],
        seconds=time.perf_counter() - start,
    )


def shrink_to(image: np.ndarray, short_side: int) -> np.ndarray:
    """The image with its short side at most `short_side` px."""
    height, width = image.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)))


def segment_in_place(
    small: np.ndarray, shape: tuple[int, int], saliency: np.ndarray, config: LocalizationConfig, seed: int
) -> Segmentation:
    """Segment the shrunken image of an original of `shape` by a map (size, size) of the original's frame."""
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


def ideal_map(shape: tuple[int, int], boxes: np.ndarray, size: int) -> np.ndarray:
    """The perfect saliency (size, size) of an image of `shape`: 1 in its true boxes (k, 4), 0 elsewhere.

    A sanity check of the whole path: `locate` with this map must find a single box again, as far as the frame
    shows it and the frame's resolution allows.
    """
    saliency = np.zeros((size, size), np.float32)
    corners = np.rint(Frame(*shape, size).to_frame(boxes)).astype(np.int64)
    for x0, y0, x1, y1 in corners:
        saliency[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = 1.0
    return saliency
