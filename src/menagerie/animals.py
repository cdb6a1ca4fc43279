"""Ten animals: nine mammals that differ in the proportions of face and body, and an owl.

A body sits, stands (head at one end), lies, or is out of the picture (portrait); coats are plain, striped, spotted or
patched in any two colours for any species.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from menagerie.faces import DARK, IRISES, LIGHT, Coat, Face, draw_head
from menagerie.outlines import curve, egg, ellipse, petal, shaggy
from menagerie.pen import Paint, Pen
from menagerie.surface import any_colour, apart, mix, pick, tone

COAT_PATTERNS = (None, None, "stripes", "spots", "rosettes", "patches", "mottle", "bands")


@dataclass(frozen=True)
class Species:
    """What sets a mammal apart below the neck."""

    face: Face
    tail: str = "thin"  # thin, bushy, tuft, puff, curl, none
    leg: float = 0.13  # half width
    reach: float = 0.62  # length of the standing leg
    bulk: float = 1.0
    grain: str = "fur"
    shag: float = 0.07
    head: float = 1.0


SPECIES = {
    "cat": Species(
        Face(
            1.0,
            0.86,
            -0.02,
            "pointed",
            0.55,
            0.62,
            (0.34, 0.24, 0.40),
            0.15,
            "triangle",
            0.11,
            (0.42, -0.06, 0.20),
            "slit",
            whiskers=True,
        ),
        tail="thin",
        leg=0.11,
    ),
    "fox": Species(
        Face(
            1.0,
            0.88,
            0.24,
            "pointed",
            0.70,
            0.60,
            (0.27, 0.34, 0.50),
            0.40,
            "oval",
            0.12,
            (0.38, -0.08, 0.14),
            "slit",
            cheeks=0.30,
        ),
        tail="bushy",
        leg=0.10,
        bulk=0.9,
    ),
    "dog": Species(
        Face(
            0.90, 0.95, 0.06, "floppy", 0.85, 0.95, (0.40, 0.38, 0.42), 0.40, "oval", 0.19, (0.36, -0.16, 0.16), "round"
        ),
        tail="thin",
        leg=0.12,
    ),
    "bear": Species(
        Face(
            1.02, 0.92, -0.04, "round", 0.58, 0.80, (0.40, 0.34, 0.40), 0.45, "oval", 0.17, (0.36, -0.14, 0.10), "bead"
        ),
        tail="none",
        leg=0.18,
        reach=0.5,
        bulk=1.2,
        shag=0.10,
    ),
    "rabbit": Species(
        Face(
            0.86,
            0.90,
            -0.05,
            "long",
            1.35,
            0.36,
            (0.34, 0.27, 0.42),
            0.2,
            "triangle",
            0.10,
            (0.50, -0.10, 0.17),
            "bead",
            whiskers=True,
        ),
        tail="puff",
        leg=0.11,
        reach=0.35,
        bulk=0.95,
    ),
    "pig": Species(
        Face(
            1.0, 0.90, -0.06, "pointed", 0.45, 0.85, (0.36, 0.28, 0.30), 0.5, "disc", 0.20, (0.46, -0.22, 0.10), "bead"
        ),
        tail="curl",
        leg=0.13,
        reach=0.42,
        bulk=1.2,
        grain="plaster",
        shag=0.02,
    ),
    "cow": Species(
        Face(
            0.74,
            1.02,
            0.04,
            "side",
            0.70,
            1.05,
            (0.56, 0.36, 0.62),
            0.35,
            "disc",
            0.21,
            (0.50, -0.22, 0.13),
            "bead",
            horns=0.3,
        ),
        tail="tuft",
        leg=0.12,
        bulk=1.15,
        shag=0.03,
    ),
    "sheep": Species(
        Face(
            0.70,
            0.98,
            0.10,
            "side",
            0.80,
            1.25,
            (0.38, 0.30, 0.56),
            0.3,
            "triangle",
            0.13,
            (0.44, -0.14, 0.15),
            "bead",
            mane=0.16,
        ),
        tail="puff",
        leg=0.09,
        reach=0.5,
        bulk=1.2,
        grain="wool",
        shag=0.12,
        head=0.85,
    ),
    "lion": Species(
        Face(
            0.92,
            0.96,
            0.02,
            "round",
            0.42,
            0.75,
            (0.42, 0.34, 0.44),
            0.35,
            "triangle",
            0.17,
            (0.38, -0.14, 0.13),
            "round",
            mane=0.55,
        ),
        tail="tuft",
        leg=0.14,
        bulk=1.05,
        head=0.9,
    ),
}


def mammal(name: str) -> Callable[[Pen], None]:
    """The drawing function of a species."""
    return lambda pen: draw_mammal(pen, SPECIES[name])


def draw_mammal(pen: Pen, species: Species) -> None:
    """Draw an animal of the species in one of four poses; a pen with yaw 0 gets an upright pose with a large head."""
    rng = pen.rng
    coat = choose_coat(rng, species)
    poses = (
        [_draw_portrait, _draw_sitting]
        if pen.yaw == 0
        else [_draw_portrait, _draw_sitting, _draw_standing, _draw_standing, _draw_lying]
    )
    x, y, radius = poses[rng.integers(len(poses))](pen, species, coat)
    radius *= species.head / (1 + 0.6 * species.face.mane)
    if species.grain == "wool":  # a bare face in a woolly hood
        coat = Coat(coat.dark.tone(0.12), coat.light, coat.body, 0.02)
    draw_head(pen, species.face, coat, x, y, radius, pen.yaw)


def choose_coat(rng: np.random.Generator, species: Species) -> Coat:
    """Two colours and a pattern; the same for any species but for the grain."""
    colour = any_colour(rng, 0.8)
    second = apart(rng, colour, 0.9)
    pattern = COAT_PATTERNS[rng.integers(len(COAT_PATTERNS))]
    depth, density = rng.uniform(0.14, 0.34), rng.uniform(0.7, 1.3)
    shift = (float(rng.uniform(0, 256)), float(rng.uniform(0, 256)))
    body = Paint(colour, species.grain, depth, pattern, mix(second, colour, rng.uniform(0, 0.5)), density, shift)
    light = Paint(tone(mix(colour, second, rng.uniform(0, 0.4)), rng.uniform(0.2, 0.6)), species.grain, 0.6 * depth)
    dark = Paint(tone(mix(colour, second, 0.3), -rng.uniform(0.25, 0.55)), species.grain, depth)
    return Coat(body, light, dark, species.shag)


def _draw_tail(pen: Pen, species: Species, coat: Coat, x: float, y: float, side: int) -> None:
    lift = pen.rng.uniform(0.1, 0.8)
    spine = curve(
        np.array(
            [(x, y), (x + 0.3 * side, y - 0.05), (x + 0.5 * side, y - 0.3 * lift), (x + 0.45 * side, y - 0.75 * lift)]
        ),
        4,
        closed=False,
    )
    n = len(spine)
    if species.tail in ("thin", "tuft"):
        pen.limb(spine, np.linspace(0.08, 0.05, n), coat.body.tone(-0.1))
    if species.tail == "tuft":
        pen.fill(shaggy(ellipse(0, 0, 0.12, 0.14) + spine[-1], 0.06, pen.rng), coat.dark)
    if species.tail == "bushy":
        pen.limb(spine, 0.05 + 0.14 * np.sin(np.linspace(0.2, 2.7, n)), coat.body)
        pen.fill(shaggy(ellipse(0, 0, 0.12, 0.15) + spine[-2], 0.07, pen.rng), coat.light)
    if species.tail == "puff":
        pen.fill(shaggy(ellipse(x + 0.05 * side, y - 0.05, 0.16, 0.15), 0.05, pen.rng), coat.light, relief=0.4)
    if species.tail == "curl":
        t = np.linspace(0, 8, 20)
        pen.stroke(
            np.stack([x + side * (0.05 + 0.03 * t * 0.6 + 0.06 * np.cos(t)), y - 0.05 + 0.07 * np.sin(t)], 1),
            0.05,
            coat.body.tone(-0.1),
        )


def _draw_leg(pen: Pen, species: Species, coat: Coat, x: float, top: float, foot: float, shade: float) -> None:
    half = species.leg
    lean = pen.rng.normal(0, 0.06)
    pen.limb(
        [(x, top), (x + 0.5 * lean, (top + foot) / 2), (x + lean, foot - half * 0.8)],
        (half * 1.25, half, half * 0.85),
        coat.body.tone(shade),
    )
    pen.fill(ellipse(x + lean - 0.03, foot - 0.05, half * 1.15, 0.085), coat.dark.tone(shade), relief=0.3)


def _draw_portrait(pen: Pen, species: Species, coat: Coat) -> tuple[float, float, float]:
    wide = 0.72 * species.bulk * pen.rng.uniform(0.85, 1.1)
    pen.fill(
        shaggy(egg(0.08 * np.sin(pen.yaw), 1.02, wide, 0.85, -0.2), species.shag, pen.rng),
        coat.body.tone(-0.1),
        relief=0.4,
    )
    pen.fill(shaggy(ellipse(0, 1.15, wide * 0.5, 0.6), species.shag, pen.rng), coat.light, inside=True, opacity=0.7)
    return 0.0, -0.08, 0.66


def _draw_sitting(pen: Pen, species: Species, coat: Coat) -> tuple[float, float, float]:
    rng, wide = pen.rng, 0.5 * species.bulk * pen.rng.uniform(0.9, 1.12)
    _draw_tail(pen, species, coat, 0.55 * wide, 0.85, 1 if rng.random() < 0.8 else -1)
    for side in (-1, 1):
        pen.fill(ellipse(side * wide * 0.85, 0.72, 0.26, 0.28), coat.body.tone(-0.14), relief=0.4)
        pen.fill(ellipse(side * wide * 1.0, 0.95, 0.22, 0.10), coat.dark, relief=0.3)
    pen.fill(shaggy(egg(0, 0.38, wide, 0.62, -0.25), species.shag, rng), coat.body, relief=0.5)
    pen.fill(shaggy(ellipse(0, 0.35, wide * 0.5, 0.42), species.shag, rng), coat.light, inside=True, opacity=0.85)
    for side in (-1, 1):
        _draw_leg(pen, species, coat, side * 0.2 * species.bulk, 0.35, 1.02, -0.05)
    return 0.0, -0.42, 0.50 * rng.uniform(0.92, 1.1)


def _draw_standing(pen: Pen, species: Species, coat: Coat) -> tuple[float, float, float]:
    rng, bulk = pen.rng, species.bulk * pen.rng.uniform(0.9, 1.1)
    length, foot = rng.uniform(0.62, 0.78), 0.28 + species.reach
    _draw_tail(pen, species, coat, length * 0.85, 0.0, 1)
    for x in (-0.35, 0.42):
        _draw_leg(pen, species, coat, x + 0.14, 0.25, foot - 0.05, -0.3)
    body = [
        (-length, 0.0),
        (-0.4 * length, -0.30 * bulk),
        (0.4 * length, -0.27 * bulk),
        (length, -0.05),
        (0.9 * length, 0.3 * bulk),
        (0, 0.36 * bulk),
        (-0.8 * length, 0.32 * bulk),
    ]
    pen.fill(shaggy(curve(body), species.shag, rng), coat.body, relief=0.55)
    pen.fill(ellipse(0, 0.36 * bulk, length * 0.7, 0.13), coat.light, inside=True, opacity=0.7)
    for x in (-0.48, 0.36):
        _draw_leg(pen, species, coat, x, 0.2, foot, 0.0)
    return -length * 0.95, -0.28 - rng.uniform(0, 0.12), 0.42


def _draw_lying(pen: Pen, species: Species, coat: Coat) -> tuple[float, float, float]:
    rng, bulk = pen.rng, species.bulk
    _draw_tail(pen, species, coat, 0.75, 0.5, 1)
    pen.fill(shaggy(ellipse(0.2, 0.36, 0.78, 0.36 * bulk), species.shag, rng), coat.body, relief=0.55)
    pen.fill(ellipse(0.62, 0.45, 0.3, 0.28 * bulk), coat.body.tone(-0.1), relief=0.4)
    pen.fill(ellipse(0.5, 0.68, 0.24, 0.09), coat.dark, relief=0.3)
    for x in (-0.62, -0.3):
        pen.limb(
            [(x + 0.2, 0.5), (x, 0.64), (x - 0.12, 0.68)], (0.13, species.leg, species.leg * 0.9), coat.body.tone(-0.05)
        )
        pen.fill(ellipse(x - 0.16, 0.68, species.leg * 1.1, 0.08), coat.dark, relief=0.3)
    return -0.42, -0.02, 0.46


def draw_owl(pen: Pen) -> None:
    """An owl on a branch; the beak counts as its nose."""
    rng = pen.rng
    coat = choose_coat(rng, Species(Face(), grain="feather"))
    wide, turn = rng.uniform(0.48, 0.62), pen.yaw
    branch = Paint(pick(rng, "6b4f3a 8a6a4a 54453a a08a6a"), "bark", 0.4)
    if rng.random() < 0.7:
        pen.limb(
            [(-1.0, 0.93), (0, 0.88 + rng.normal(0, 0.03)), (1.0, 0.9 + rng.normal(0, 0.06))],
            (0.09, 0.08, 0.06),
            branch,
        )
    pen.fill(curve([(-0.16, 0.6), (0.16, 0.6), (0.2, 1.1), (-0.2, 1.1)]), coat.dark)
    pen.fill(egg(0, 0.22, wide, 0.72, 0.08), coat.body, relief=0.5)
    pen.fill(
        ellipse(0.06 * np.sin(turn), 0.36, wide * 0.6, 0.5),
        Paint(coat.light.colour, "feather", 0.5, "spots", coat.dark.colour, 1.3),
        inside=True,
    )
    for side in (-1, 1):
        spread = rng.uniform(0.0, 0.12)
        wing = [
            (side * wide * 0.75, -0.25),
            (side * (wide + 0.08 + spread), 0.15),
            (side * (wide * 0.95 + spread), 0.75),
            (side * wide * 0.55, 0.55),
        ]
        pen.fill(
            curve(wing), Paint(coat.body.colour * 0.8, "feather", 0.5, coat.body.pattern, coat.body.second), relief=0.5
        )
        for toe in (-0.06, 0.0, 0.06):
            pen.limb(
                [(side * 0.18 + toe, 0.82), (side * 0.18 + 1.3 * toe, 0.97)],
                (0.035, 0.025),
                pick(rng, "c9a13b d8b866 4a4038"),
            )
    _draw_owl_face(pen, coat, turn)


def _draw_owl_face(pen: Pen, coat: Coat, turn: float) -> None:
    rng, y = pen.rng, -0.48

    def on_face(points: np.ndarray, out: float = 0.0) -> np.ndarray:
        z = np.sqrt(np.maximum(0.02, 0.25 - points[:, 0] ** 2 - points[:, 1] ** 2)) + out
        return np.stack([points[:, 0] * np.cos(turn) + 0.7 * z * np.sin(turn), points[:, 1] + y], 1)

    tufts = rng.random() < 0.65
    for side in (-1, 1):
        if tufts:
            pen.fill(
                [(side * 0.16, y - 0.35), (side * 0.52, y - 0.72), (side * 0.5, y - 0.1)],
                coat.body.tone(-0.2),
                relief=0.3,
            )
    pen.fill(shaggy(ellipse(0, y, 0.56, 0.46), 0.04, rng), coat.body, relief=0.5)
    iris, size = pick(rng, IRISES), rng.uniform(0.13, 0.17)
    for side in (-1, 1):
        x = 0.22 * side
        pen.fill(on_face(shaggy(ellipse(x, 0, 0.25, 0.29, 0.3 * side), 0.03, rng)), coat.light, relief=0.3)
        pen.stroke(on_face(ellipse(x, 0, 0.23, 0.26, 0.3 * side)), 0.03, coat.dark, closed=True, opacity=0.7)
        pen.fill(on_face(ellipse(x, 0, size * 1.12, size * 1.12)), DARK)
        pen.fill(on_face(ellipse(x, 0, size, size)), iris, relief=0.3)
        pen.fill(on_face(ellipse(x, 0, size * 0.55, size * 0.55)), DARK)
        pen.fill(on_face(ellipse(x + 0.3 * size * pen.light[0], -0.35 * size, size * 0.22, size * 0.22)), LIGHT)
        pen.mark("right_eye" if side > 0 else "left_eye", on_face(np.array([[x, 0.0]])), 1.2 * size)
    beak = curve([(-0.07, 0.1), (0, 0.06), (0.07, 0.1), (0.0, 0.3)], 4)
    pen.fill(on_face(beak, 0.15), pick(rng, "d8a33b 8a7a5a 4a4440 c98b4e"), relief=0.5)
    pen.mark("nose", on_face(np.array([[0.0, 0.17]]), 0.15), 0.13)
    pen.fill(petal(0, y - 0.4, np.pi / 2, 0.42, 0.07), coat.body.tone(-0.15), inside=True, opacity=0.6)
