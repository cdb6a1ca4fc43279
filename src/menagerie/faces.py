"""Faces of mammals: a head that turns, with ears, muzzle, two eyes and a nose.

The head is half an ellipsoid; a feature at (x, y) of the face plane lies at depth z = sqrt(1 - x^2 - y^2) and moves
with the turn of the head (yaw): x' = x cos(yaw) + z sin(yaw), y' = y. What the species have in common is code, what
sets them apart is a row of `Face`; species share ears, muzzles and coats, so that none of these gives the class away.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from menagerie.outlines import circle, curve, egg, ellipse, petal, shaggy
from menagerie.pen import Paint, Pen
from menagerie.surface import mix, pick, tone

DARK = np.array([0.09, 0.07, 0.07], np.float32)
LIGHT = np.array([0.97, 0.96, 0.93], np.float32)
PINK = np.array([0.80, 0.52, 0.50], np.float32)
IRISES = "c9a13b 7fa35a 5b8db0 6b4428 3f2a1e a8702f 8a9a4a 3a2a22"


@dataclass(frozen=True)
class Face:
    """Proportions of a species' face, in head radii."""

    width: float = 1.0
    height: float = 0.92
    taper: float = 0.05  # > 0: narrow chin
    ears: str = "pointed"  # pointed, round, floppy, long, side, none
    ear_size: float = 0.6
    ear_angle: float = 0.65  # radians from upright
    muzzle: tuple[float, float, float] = (0.42, 0.30, 0.42)  # half width, half height, y
    snout: float = 0.25  # how far it stands out
    nose: str = "triangle"  # triangle, oval, disc
    nose_size: float = 0.15
    eye: tuple[float, float, float] = (0.40, -0.10, 0.17)  # x, y, radius
    pupil: str = "round"  # round, slit, bead
    mane: float = 0.0
    horns: float = 0.0
    whiskers: bool = False
    cheeks: float = 0.0


@dataclass(frozen=True)
class Coat:
    """The paints of one animal."""

    body: Paint
    light: Paint  # muzzle, belly
    dark: Paint  # feet, inner ears
    shag: float  # length of the tufts of its outline, in head radii


def draw_head(pen: Pen, face: Face, coat: Coat, x: float, y: float, radius: float, turn: float) -> None:
    """Draw the head about (x, y), `radius` units large, turned by pen.yaw; marks left_eye, right_eye and nose."""
    rng = pen.rng
    tilt = rng.normal(0, 0.07)
    c, s = np.cos(tilt), np.sin(tilt)

    def on(points: object) -> np.ndarray:
        """From head radii to object units."""
        p = np.asarray(points, float)
        return np.stack([x + radius * (c * p[:, 0] - s * p[:, 1]), y + radius * (s * p[:, 0] + c * p[:, 1])], 1)

    def on_face(points: object, out: float = 0.0) -> np.ndarray:
        """The same, for points of the face plane: they turn with the head."""
        p = np.asarray(points, float)
        z = np.sqrt(np.maximum(0.02, 1 - (p[:, 0] / face.width) ** 2 - (p[:, 1] / face.height) ** 2)) + out
        return on(np.stack([p[:, 0] * np.cos(turn) + 0.85 * z * np.sin(turn), p[:, 1]], 1))

    if face.mane:
        _draw_mane(pen, face, coat, on)
    for side in (-1, 1):
        _draw_ear(pen, face, coat, on, side, np.cos(turn) + 0.12 * side * np.sin(turn))
    if face.horns:
        _draw_horns(pen, face, on, turn)
    head = egg(0, 0, face.width, face.height, face.taper)
    pen.fill(on(shaggy(head, coat.shag, rng)), coat.body, relief=0.5)
    _draw_blaze(pen, face, coat, on_face)
    if face.cheeks:
        for side in (-1, 1):
            pen.fill(
                on_face(shaggy(ellipse(0.62 * side * face.width, 0.38, 0.34, face.cheeks), 0.1, rng)),
                coat.light,
                inside=True,
            )
    _draw_muzzle(pen, face, coat, on_face)
    _draw_eyes(pen, face, on_face, radius, turn)
    _draw_nose(pen, face, coat, on_face, radius)


def _draw_mane(pen: Pen, face: Face, coat: Coat, on: Callable) -> None:
    for grow, shade in ((1.0, -0.3), (0.78, -0.08)):
        ring = circle() * (1 + face.mane * grow)
        pen.fill(on(shaggy(ring + (0, 0.08), 0.22, pen.rng, 3)), coat.dark.tone(0.12 + shade), relief=0.4)


def _draw_ear(pen: Pen, face: Face, coat: Coat, on: Callable, side: int, squeeze: float) -> None:
    size, angle = face.ear_size * pen.rng.uniform(0.9, 1.1), face.ear_angle + pen.rng.normal(0, 0.08)
    out = 0.85 * (1 + 0.5 * face.mane)
    root = np.array([np.sin(angle) * face.width, -np.cos(angle) * face.height]) * out
    if face.ears == "pointed":
        tip = (np.sin(angle * 0.85) * (1 + size), -np.cos(angle * 0.85) * (1 + size))
        wide = 0.42 * size + 0.14
        across = np.array([np.cos(angle), np.sin(angle)]) * wide
        outer = np.array([root - across, np.array(tip) - 0.03, np.array(tip) + 0.03, root + across])
    elif face.ears == "round":
        outer = ellipse(root[0] * 1.08, root[1] * 1.08, size * 0.52, size * 0.52)
    elif face.ears == "long":
        outer = petal(root[0] * 0.7, root[1] * 0.8, -np.pi / 2 + angle * 0.45, size, size * 0.19)
    elif face.ears == "side":
        outer = petal(root[0] * 0.95, root[1], angle - np.pi / 2 + 0.35, size, size * 0.27)
    else:  # floppy
        end = root + np.array([0.38, 0.95]) * size
        middle = root + np.array([0.52, 0.25]) * size
        outer = curve([root - (0.15, -0.1), middle, end, root + np.array([0.02, 0.75]) * size], 5)
    flip = np.array([side * squeeze, 1.0])
    centre = outer.mean(0)
    inner = centre + (outer - centre) * 0.58
    pen.fill(on(shaggy(outer * flip, 0.6 * coat.shag, pen.rng)), coat.body.tone(-0.12), relief=0.45)
    if face.ears != "floppy":
        pen.fill(on(inner * flip), Paint(mix(PINK, coat.dark.colour, 0.45), "fur", 0.2), relief=-0.3)


def _draw_horns(pen: Pen, face: Face, on: Callable, turn: float) -> None:
    paint = Paint(pick(pen.rng, "d9cdb0 8a7a60 efe6d0 5a5048"), "metal", 0.2)
    for side in (-1, 1):
        spine = np.array([(0.42, -0.72), (0.85, -0.95), (1.0, -1.0 - face.horns)]) * (side * np.cos(turn), 1)
        pen.limb(on(curve(spine, 4, closed=False)), np.linspace(0.13, 0.03, 8) * 0.5, paint)


def _draw_blaze(pen: Pen, face: Face, coat: Coat, on_face: Callable) -> None:
    """Markings any species may have: a light stripe, patches about the eyes, or none."""
    kind = pen.rng.integers(4)
    if kind == 0:
        width = pen.rng.uniform(0.08, 0.22)
        pen.fill(
            on_face(curve([(-width * 0.5, -0.85), (width * 0.5, -0.85), (width, 0.3), (-width, 0.3)])),
            coat.light,
            inside=True,
            opacity=0.9,
        )
    elif kind == 1:
        for side in (-1, 1):
            patch = ellipse(face.eye[0] * side, face.eye[1], face.eye[2] * 1.9, face.eye[2] * 2.1, 0.4 * side)
            pen.fill(on_face(patch), coat.dark if pen.rng.random() < 0.6 else coat.light, inside=True, opacity=0.85)


def _draw_muzzle(pen: Pen, face: Face, coat: Coat, on_face: Callable) -> None:
    wide, high, y = face.muzzle
    light = coat.light
    pen.fill(
        on_face(shaggy(ellipse(0, y + 0.06, wide * 1.06, high * 1.08), 0.4 * coat.shag, pen.rng), face.snout),
        light.tone(-0.25),
        inside=True,
        opacity=0.5,
    )
    pen.fill(on_face(shaggy(ellipse(0, y, wide, high), 0.5 * coat.shag, pen.rng), face.snout), light, relief=0.4)
    mouth = curve(
        [
            (-0.55 * wide, y + 0.45 * high),
            (-0.2 * wide, y + 0.6 * high),
            (0, y + 0.3 * high),
            (0.2 * wide, y + 0.6 * high),
            (0.55 * wide, y + 0.45 * high),
        ],
        4,
        closed=False,
    )
    pen.stroke(on_face(mouth, face.snout), 0.035, DARK, opacity=0.8)
    pen.stroke(on_face([(0, y - 0.2 * high), (0, y + 0.35 * high)], face.snout), 0.035, DARK, opacity=0.7)
    if face.whiskers:
        for side in (-1, 1):
            for slope in (-0.14, 0.0, 0.16):
                end = side * pen.rng.uniform(0.95, 1.3)
                pen.stroke(
                    on_face([(0.3 * side, y + slope * 0.4), (end, y + slope * 1.4)], 0.1), 0.018, LIGHT, opacity=0.7
                )


def _draw_eyes(pen: Pen, face: Face, on_face: Callable, radius: float, turn: float) -> None:
    x, y, size = face.eye
    iris = pick(pen.rng, IRISES)
    size *= pen.rng.uniform(0.9, 1.15)
    squint = pen.rng.uniform(0.75, 1.0)
    look, glance = pen.rng.normal(0, 0.10, 2)
    for side in (-1, 1):

        def ring(scale: float, dx: float = 0.0, dy: float = 0.0, narrow: float = 1.0, side: int = side) -> np.ndarray:
            return on_face(ellipse(x * side + dx * size, y + dy * size, scale * size * narrow, scale * size * squint))

        pen.fill(ring(1.25), DARK, opacity=0.9)
        if face.pupil == "bead":
            pen.fill(ring(1.0), tone(iris, -0.65), relief=0.4)
        else:
            pen.fill(ring(1.02), LIGHT if face.pupil == "round" else iris)
            pen.fill(ring(0.82, look, glance), iris, relief=0.3)
            pen.fill(ring(0.5, look, glance, 0.45 if face.pupil == "slit" else 1.0), DARK)
        pen.fill(ring(0.25, 0.3 * pen.light[0] + look, 0.3 * pen.light[1] - 0.1), LIGHT)
        pen.mark("right_eye" if side > 0 else "left_eye", ring(1.0).mean(0, keepdims=True), 1.25 * size * radius)


def _draw_nose(pen: Pen, face: Face, coat: Coat, on_face: Callable, radius: float) -> None:
    _, high, y = face.muzzle
    size = face.nose_size * pen.rng.uniform(0.9, 1.15)
    at = y - 0.35 * high
    out = face.snout + 0.08
    paint = mix(PINK, DARK, pen.rng.choice([0.1, 0.5, 0.85, 0.95]))
    if face.nose == "triangle":
        shape = curve(
            [(-size, at - 0.5 * size), (0, at - 0.75 * size), (size, at - 0.5 * size), (0, at + 0.75 * size)], 4
        )
    elif face.nose == "oval":
        shape = ellipse(0, at, size * 1.1, size * 0.8)
    else:
        at = y
        shape = ellipse(0, at, size * 1.5, size * 1.15)
        paint = mix(PINK, coat.dark.colour, 0.25)
    pen.fill(on_face(shape, out), paint, relief=0.5)
    if face.nose == "disc":
        for side in (-1, 1):
            pen.fill(on_face(ellipse(0.6 * size * side, at, 0.26 * size, 0.48 * size), out), tone(paint, -0.6))
    else:
        pen.fill(on_face(ellipse(-0.3 * size, at - 0.3 * size, 0.3 * size, 0.16 * size), out), LIGHT, opacity=0.6)
    pen.mark("nose", on_face([(0, at)], out), 1.3 * size * (1.3 if face.nose == "disc" else 1.0) * radius)
