"""GrabCut images a second: our pool against the loop that people write.

The peer: one process, the image at full size, grabCut handed the whole seed mask, five iterations. Ours: locate.py
in the pool. Both read the same files and get the same maps, in one run, in turn. Faster is worth nothing if the box
is worse, so the note says how well both boxes fit the true ones.

The photographs are drawn unless given: an object of one texture on a ground of another, 500 x 375 px, as ILSVRC's
average; the map is a blurred, speckled spot inside the object.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from zfnet.bench.row import ROUNDS, medians, rate_row, timed
from zfnet.core.machine import n_cores
from zfnet.core.workers import WAITING
from zfnet.data.crops import Frame
from zfnet.data.decode import read_rgb
from zfnet.experiments.localization.boxes import iou, mask_box, whole_box
from zfnet.experiments.localization.locate import ImageBoxes, Methods, Task, locate, whole_map
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.pool import locate_each
from zfnet.experiments.localization.score import ENOUGH
from zfnet.experiments.localization.segment import (
    BACKGROUND,
    NO_RECTANGLE,
    UNDECIDED,
    choose_seeds,
    largest_component,
    smooth,
)

CUT = "grabcut"
SIZE = 256  # px, frame of the maps
HEIGHT, WIDTH = 375, 500
REPEATS = 8  # the pool's run is that much longer: it does as much in a second as several processes do


def rows(quick: bool = False, photos: Sequence[Path] = (), boxes: Sequence[np.ndarray] = ()) -> list[dict]:
    """Rows of `make bench`; ratio > 1 means ours is better. photos, boxes (k, 4): real ones instead of drawn ones."""
    config, rounds = LocalizationOptions(), 1 if quick else ROUNDS
    processes, methods = 2 if quick else n_cores(), Methods({CUT: config}, {})
    with tempfile.TemporaryDirectory() as folder:
        if not photos:
            photos, boxes = draw_photos(Path(folder), 4 if quick else 16)
        tasks = [make_task(row, photo, some) for row, (photo, some) in enumerate(zip(photos, boxes, strict=True))]
        ours, theirs = [locate(task, methods) for task in tasks], [segment_as_peers(task, config) for task in tasks]
        peer, alone, pool = medians(
            lambda: len(tasks) / timed(lambda: [segment_as_peers(task, config) for task in tasks])[1],
            lambda: _rate(tasks, methods, 1),
            lambda: _rate(tasks * (4 if quick else REPEATS), methods, processes),
            rounds=rounds,
            warm_up=0,  # the lines above have warmed up
        )
    note = f"{len(tasks)} photographs, {processes} processes; {_agreement(ours, theirs, boxes)}"
    efficiency = f"{processes} x one process; single images"
    return [
        rate_row("GrabCut, pool against serial full-size loop", pool, peer, "images/s", 10.0, note),
        rate_row("GrabCut, pool efficiency", pool, alone * processes, "images/s", 0.95, efficiency),
    ]


def _rate(tasks: Sequence[Task], methods: Methods, processes: int) -> float:
    """Images a second while every process is at work: the clock starts once each has finished a few."""
    results, skip = locate_each(iter(tasks), methods, processes), 0 if processes == 1 else WAITING * processes
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # as in the pool's processes
    try:
        for _ in range(skip):
            next(results)
        return (len(tasks) - skip) / timed(lambda: list(results))[1]
    finally:
        cv2.setNumThreads(threads)


def _agreement(ours: Sequence[ImageBoxes], theirs: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> str:
    """Errors of both (no instance with IoU of a half), and mean IoU: with the truth, and of one with the other."""
    mine = [np.array(image.boxes[CUT]) for image in ours]
    fits = np.array([
        (iou(own, some).max(), iou(box[None], some).max(), iou(own, box).max())
        for own, box, some in zip(mine, theirs, boxes, strict=True)
    ])  # fmt: skip
    wrong, (our_fit, peer_fit, same) = 100 * (fits < ENOUGH).mean(axis=0), fits.mean(axis=0)
    return (
        f"error {wrong[0]:.1f} % against {wrong[1]:.1f} %, mean IoU with the true boxes {our_fit:.3f} against "
        f"{peer_fit:.3f}, of ours with the peer's {same:.3f}"
    )


def segment_as_peers(task: Task, config: LocalizationOptions) -> np.ndarray:
    """The box (4,) by the usual loop: full size, whole mask, five iterations."""
    image = read_rgb(task.file)
    saliency, inside = whole_map(task.maps[0], image.shape[:2], image.shape[:2])
    seeds = choose_seeds(smooth(saliency, inside, config.smoothing), inside, config)
    mask = np.where(seeds == UNDECIDED, BACKGROUND, seeds).astype(np.uint8)
    cv2.setRNGSeed(task.seed)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, mask, NO_RECTANGLE, *models, 5, cv2.GC_INIT_WITH_MASK)
    largest = largest_component(mask % 2 == 1)
    return mask_box(largest) if largest.any() else whole_box(*image.shape[:2])


def draw_photos(folder: Path, n: int) -> tuple[list[Path], list[np.ndarray]]:
    """n photographs-of-a-kind as JPEG files, and the true box (1, 4) of each."""
    photos, boxes = [], []
    for row in range(n):
        rng = np.random.default_rng([7, row])
        ground, skin = (_texture(rng) for _ in range(2))
        axes = rng.integers((60, 50), (150, 120))
        x, y = rng.integers(axes, (WIDTH - axes[0], HEIGHT - axes[1]))
        shape = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.ellipse(shape, (int(x), int(y)), axes.tolist(), float(rng.uniform(0, 30)), 0, 360, 255, -1)
        image = np.where(shape[..., None] > 0, skin, ground).astype(np.uint8)
        photos.append(folder / f"{row}.jpg")
        cv2.imwrite(str(photos[-1]), cv2.GaussianBlur(image, (0, 0), 1.2))
        boxes.append(mask_box(shape > 0)[None])
    return photos, boxes


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Two colours mixed by smooth noise, (HEIGHT, WIDTH, 3) float32."""
    noise = cv2.GaussianBlur(rng.random((HEIGHT, WIDTH)).astype(np.float32), (0, 0), float(rng.uniform(2, 12)))
    noise = (noise - noise.min()) / np.ptp(noise)
    first, second = rng.uniform(20, 235, (2, 3)).astype(np.float32)
    grain = rng.normal(0, 6, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return np.clip(first + (second - first) * noise[..., None] + grain, 0, 255)


def make_task(row: int, photo: Path, boxes: np.ndarray) -> Task:
    """A stand-in for a network's map: a speckled spot of half the first box's size, a little off its centre."""
    rng = np.random.default_rng([8, row])
    height, width = read_rgb(photo).shape[:2]
    x0, y0, x1, y1 = Frame(height, width, SIZE).to_frame(boxes[:1])[0]
    x, y = rng.uniform(0.4, 0.6, 2) * (x1 - x0, y1 - y0) + (x0, y0)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    spot = np.exp(-(((xx - x) / (0.4 * (x1 - x0))) ** 2) - ((yy - y) / (0.4 * (y1 - y0))) ** 2)
    saliency = (spot + 0.1) * np.abs(rng.standard_normal((SIZE, SIZE)))
    return Task(row, photo, saliency.astype(np.float32)[None], seed=row)
