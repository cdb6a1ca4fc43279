"""One picture: background, objects, things in front, and the camera.

Everything is drawn at twice the size and shrunk by area. The box of an object is the tight extent of the pixels where
it is seen, that is, of its mask after whatever stands before it: inclusive pixel corners x0 y0 x1 y1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from menagerie.catalogue import DRAWERS, HAUNTS
from menagerie.pen import Pen
from menagerie.scenery import BACKDROPS, draw_foreground, paint_backdrop, scene_pen

OVERSAMPLING = 2
HAUNT_WEIGHT = 2.0  # of a usual background, 1 for any other: the background says a little about the class


@dataclass(frozen=True)
class Actor:
    """An object to draw: where (final pixels), how large (half its extent), and how it is held."""

    kind: str
    x: float
    y: float
    size: float
    turn: float = 0.0  # radians in the picture
    yaw: float = 0.5  # radians out of the picture; 0 is frontal
    mirrored: bool = False
    stretch: float = 1.0
    shear: float = 0.0


@dataclass(frozen=True)
class Instance:
    """An object as it came out: box (4,), its visible pixels, their share of all, and parts -> x, y, radius."""

    kind: str
    box: np.ndarray
    mask: np.ndarray
    visible: float
    parts: dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Picture:
    """pixels (h, w, 3) uint8 RGB and the instances that can be seen."""

    pixels: np.ndarray
    instances: tuple[Instance, ...]


def choose_shape(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width: short side 72..96, aspect up to 4:3 either way."""
    short = int(rng.integers(72, 97))
    long = round(short * rng.choice([1.0, rng.uniform(1, 4 / 3), 4 / 3]))
    return (short, long) if rng.random() < 0.7 else (long, short)


def choose_backdrop(rng: np.random.Generator, kind: str) -> str:
    """A background, a little more often one where the class is at home."""
    names = list(BACKDROPS)
    weights = np.array([HAUNT_WEIGHT if name in HAUNTS.get(kind, ()) else 1.0 for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def compose(
    rng: np.random.Generator,
    shape: tuple[int, int],
    actors: Sequence[Actor],
    backdrop: str,
    bystanders: Sequence[Actor] = (),
    covered: bool = False,
) -> Picture:
    """Draw the picture; later actors stand before earlier ones, `bystanders` behind all, blurred and not recorded."""
    large = (shape[0] * OVERSAMPLING, shape[1] * OVERSAMPLING)
    angle = rng.uniform(-np.pi * 0.95, -np.pi * 0.05)
    light = np.array([np.cos(angle), np.sin(angle)], np.float32)
    canvas = paint_backdrop(backdrop, large, rng, light)
    for actor in bystanders:
        _lay(canvas, draw_actor(actor, large, rng, light), rng)
    canvas = _defocus(canvas, rng)
    pens = [draw_actor(actor, large, rng, light) for actor in actors]
    for pen in pens:
        _lay(canvas, pen, rng)
    front = scene_pen(large, rng, light)
    if covered:
        draw_foreground(front, shape[1] / shape[0])
        _soften(front, rng)
        canvas *= 1 - front.alpha
        canvas += front.colour
    found = observe(actors, pens, front.alpha, shape)
    return Picture(photograph(canvas, shape, rng), found)


def draw_actor(actor: Actor, shape: tuple[int, int], rng: np.random.Generator, light: np.ndarray) -> Pen:
    """The object on a transparent layer of the large canvas."""
    c, s = np.cos(actor.turn), np.sin(actor.turn)
    form = np.array([[actor.stretch, actor.shear], [0, 1 / actor.stretch]]) @ np.diag(
        [-1.0 if actor.mirrored else 1.0, 1.0]
    )
    linear = np.array([[c, -s], [s, c]]) @ form * (actor.size * OVERSAMPLING)
    centre = (np.array([actor.x, actor.y]) + 0.5) * OVERSAMPLING - 0.5
    pen = Pen(shape, np.column_stack([linear, centre]), rng, light, actor.yaw, relief=rng.uniform(0.6, 1.4))
    DRAWERS[actor.kind](pen)
    return pen


def _lay(canvas: np.ndarray, pen: Pen, rng: np.random.Generator) -> None:
    """Put an object on the canvas with its shadow and the fall-off of the light over it."""
    height, width = pen.shape
    _cast_shadow(canvas, pen, rng.uniform(0.15, 0.6))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * pen.light[0]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * pen.light[1]
    level = 1 + np.float32(rng.uniform(0.0, 0.35)) * (x + y)
    canvas *= 1 - pen.alpha
    canvas += pen.colour * level


def _cast_shadow(canvas: np.ndarray, pen: Pen, strength: float) -> None:
    """Darken the canvas where the object's flattened, slanted outline falls, and softly around the object."""
    height, width = pen.shape
    small = np.asarray(cv2.resize(pen.alpha, (width // 4, height // 4), interpolation=cv2.INTER_AREA))
    rows = np.flatnonzero(small.max(1) > 0.3)
    if len(rows) == 0:
        return
    foot, slant = float(rows[-1]), float(-pen.light[0])
    fall = np.array([[1, -0.6 * slant, 0.6 * slant * foot], [0, 0.28, foot * 0.72 + 0.5]], np.float32)
    shade = np.maximum(cv2.warpAffine(small, fall, (width // 4, height // 4)), 0.5 * small)
    soft = cv2.resize(cv2.GaussianBlur(shade, (0, 0), 1.6), (width, height), interpolation=cv2.INTER_LINEAR)
    canvas *= 1 - np.float32(strength) * soft


def _defocus(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        return blur(canvas, rng.uniform(0.8, 2.6))
    return canvas


def _soften(front: Pen, rng: np.random.Generator) -> None:
    if rng.random() < 0.6:
        sigma = rng.uniform(0.8, 2.2)
        front.colour = blur(front.colour, sigma)
        front.alpha = cv2.GaussianBlur(front.alpha, (0, 0), sigma)


def observe(
    actors: Sequence[Actor], pens: Sequence[Pen], cover: np.ndarray, shape: tuple[int, int]
) -> tuple[Instance, ...]:
    """What can be seen of each actor, in their order; those that cannot be seen at all are left out."""
    found = []
    clear: np.ndarray = 1 - cover
    for actor, pen in zip(reversed(actors), reversed(pens), strict=True):
        seen = cv2.resize(pen.alpha * clear, shape[::-1], interpolation=cv2.INTER_AREA)
        mask = seen > 0.5
        if mask.any():
            visible = float((pen.alpha * clear).sum() / pen.alpha.sum())
            found.append(Instance(actor.kind, tight_box(mask), mask, visible, _see_parts(pen, clear)))
        clear = clear * (1 - pen.alpha)
    return tuple(reversed(found))


def tight_box(mask: np.ndarray) -> np.ndarray:
    """x0 y0 x1 y1 of the True pixels, inclusive, int64."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([xs[0], ys[0], xs[-1], ys[-1]], np.int64)


def _see_parts(pen: Pen, clear: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """The parts that are inside the picture and in view, in final pixels; left is left in the picture."""
    height, width = pen.shape
    marks = dict(pen.marks)
    if marks and marks["left_eye"][0] > marks["right_eye"][0]:
        marks["left_eye"], marks["right_eye"] = marks["right_eye"], marks["left_eye"]
    seen = {}
    for part, (x, y, radius) in marks.items():
        reach = np.ceil(radius)
        inside = reach <= x < width - reach and reach <= y < height - reach
        around = np.s_[int(y - reach) : int(y + reach) + 1, int(x - reach) : int(x + reach) + 1]
        if inside and clear[around].min() > 0.8:
            seen[part] = ((x + 0.5) / OVERSAMPLING - 0.5, (y + 0.5) / OVERSAMPLING - 0.5, radius / OVERSAMPLING)
    return seen


def photograph(canvas: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Shrink; colour temperature, exposure, gamma, vignette, blur and sensor noise; (h, w, 3) uint8."""
    height, width = shape
    image = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in canvas])
    image = np.clip(image, 0, 1.2)
    if rng.random() < 0.3:
        image = blur(image, rng.uniform(0.3, 0.8))
    warmth = rng.normal(0, 0.06)
    gain = np.array([[[1 + warmth]], [[1.0]], [[1 - warmth]]], np.float32) * np.float32(rng.uniform(0.75, 1.15))
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    falloff = 1 - np.float32(rng.uniform(0, 0.3)) * (x**2 + y**2) / 2 + np.float32(rng.normal(0, 0.08)) * x
    image = image * falloff * gain
    grey = image.mean(0)
    saturation = 0.0 if rng.random() < 0.02 else rng.uniform(0.65, 1.2)
    image = grey + np.float32(saturation) * (image - grey)
    image = np.clip(image, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.18)))
    image += np.float32(rng.uniform(0.004, 0.03)) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.ascontiguousarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of each plane."""
    return np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in planes])
