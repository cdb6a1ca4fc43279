"""Five vehicles: car, van, bus and lorry, from the side or from the front, and a sailing boat.

The four on wheels are one drawing with different roof lines, so that windows, wheels and lamps do not tell them apart.
"""

import numpy as np

from menagerie.faces import DARK, LIGHT
from menagerie.outlines import box, circle, curve, ellipse, turned
from menagerie.pen import Paint, Pen
from menagerie.surface import any_colour, apart, mix, pick, tone

GLASS = "6f8ea3 9db7c4 4a5a66 b8c8cc 38444c c4b8a0"
RUBBER = np.array([0.13, 0.12, 0.13], np.float32)
LAMPS = "f6ecc4 e8c24a f4f4ee c8453b"


def body_paint(rng: np.random.Generator) -> Paint:
    """Lacquer or bare metal, plain or in two colours."""
    colour = any_colour(rng, 0.5)
    pattern = [None, None, None, "bands", "checks", "stripes", "patches", "dots"][rng.integers(8)]
    return Paint(colour, "metal", rng.uniform(0.05, 0.3), pattern, apart(rng, colour, 0.5), rng.uniform(0.4, 1.0))


def draw_car(pen: Pen) -> None:
    """A car: a low body with a cabin on top."""
    if pen.rng.random() < 0.3:
        return _draw_front(pen, 0.78, pen.rng.uniform(0.5, 0.62), 0.45)
    rng = pen.rng
    nose, tail = rng.uniform(-0.5, -0.35), rng.uniform(0.45, 0.95)
    roof, waist = -rng.uniform(0.36, 0.48), -0.06
    cabin = [(nose, waist), (nose + 0.22, roof), (tail - 0.3, roof - 0.02), (tail, waist)]
    body = [
        (-1.0, 0.06),
        (-0.95, waist),
        (nose - 0.05, waist - 0.06),
        (tail, waist - 0.06),
        (0.95, waist + 0.02),
        (1.0, 0.3),
        (-1.0, 0.3),
    ]
    paint = body_paint(rng)
    pen.fill(cabin, paint.tone(-0.08), relief=0.3)
    pen.fill(curve(body, 3), paint, relief=0.45)
    _draw_windows(
        pen,
        [
            (nose + 0.07, waist - 0.03),
            (nose + 0.25, roof + 0.07),
            (tail - 0.32, roof + 0.05),
            (tail - 0.08, waist - 0.03),
        ],
        2,
    )
    _draw_side(pen, paint, 0.3, (-0.58, 0.6), rng.uniform(0.17, 0.22))


def draw_van(pen: Pen) -> None:
    """A van: one box with a slanting front."""
    rng = pen.rng
    if rng.random() < 0.3:
        return _draw_front(pen, 0.66, rng.uniform(0.75, 0.9), 0.5)
    roof, slant = -rng.uniform(0.5, 0.62), rng.uniform(0.25, 0.45)
    paint = body_paint(rng)
    body = [
        (-0.98, 0.0),
        (-0.98 + slant * 0.4, -0.1),
        (-0.95 + slant, roof),
        (0.9, roof),
        (0.97, -0.1),
        (0.97, 0.36),
        (-0.98, 0.36),
    ]
    pen.fill(np.array(body), paint, relief=0.45)
    glazed = rng.uniform(-0.2, 0.9)
    front = -0.86 + slant
    _draw_windows(
        pen,
        [
            (front - slant * 0.45, -0.12),
            (front + 0.02, roof + 0.1),
            (max(glazed, front + 0.35), roof + 0.1),
            (max(glazed, front + 0.35), -0.12),
        ],
        2 if glazed < 0.4 else 4,
    )
    _draw_side(pen, paint, 0.36, (-0.58, 0.58), rng.uniform(0.16, 0.2))


def draw_bus(pen: Pen) -> None:
    """A bus: a long box with a row of windows, sometimes two."""
    rng = pen.rng
    if rng.random() < 0.3:
        return _draw_front(pen, 0.62, rng.uniform(0.95, 1.1), 0.62)
    double = rng.random() < 0.35
    roof = -rng.uniform(0.75, 0.9) if double else -rng.uniform(0.45, 0.58)
    paint = body_paint(rng)
    pen.fill(box(-1.05, roof, 1.05, 0.38, rng.uniform(0.06, 0.16)), paint, relief=0.4)
    pen.fill(box(-1.05, 0.0, 1.05, 0.1), paint.second if paint.second is not None else LIGHT, inside=True, opacity=0.8)
    count = int(rng.integers(4, 7))
    rows = [(roof + 0.08, roof + 0.36)] + ([(roof + 0.5, -0.06)] if double else [])
    for top, bottom in rows:
        _draw_windows(pen, [(-0.98, bottom), (-0.96, top), (0.96, top), (0.96, bottom)], count)
    _draw_side(pen, paint, 0.38, (-0.62, 0.62), 0.16)


def draw_lorry(pen: Pen) -> None:
    """A lorry: a cab and a load behind it."""
    rng = pen.rng
    paint, load = body_paint(rng), body_paint(rng)
    cab, top = rng.uniform(-0.5, -0.35), -rng.uniform(0.5, 0.75)
    cargo = Paint(
        load.colour,
        "metal",
        0.15,
        ["planks", "boards", "bands", "bricks", "tiles"][rng.integers(5)],
        tone(load.colour, 0.35),
        0.8,
    )
    if rng.random() < 0.25:
        pen.fill(ellipse((cab + 1.08) / 2, -0.14, (1.08 - cab) / 2, 0.42), cargo, relief=0.7)
    else:
        pen.fill(box(cab + 0.06, top, 1.08, 0.26), cargo, relief=0.35)
    roof = -rng.uniform(0.35, 0.5)
    slant = rng.uniform(0.0, 0.2)
    pen.fill(
        np.array([(-1.05, 0.36), (-1.05, -0.05), (-1.0 + slant, roof), (cab, roof), (cab, 0.36)]), paint, relief=0.45
    )
    pen.fill(box(cab, 0.24, 1.05, 0.36), DARK)
    _draw_windows(
        pen,
        [(-0.97 + 0.3 * slant, -0.04), (-0.94 + slant, roof + 0.09), (cab - 0.1, roof + 0.09), (cab - 0.1, -0.04)],
        1,
    )
    _draw_side(pen, paint, 0.36, (-0.72, 0.35, 0.75), 0.19)


def _draw_windows(pen: Pen, corners: list[tuple[float, float]], count: int) -> None:
    """A band of windows between four corners (bottom left, top left, top right, bottom right)."""
    glass = pick(pen.rng, GLASS)
    low_left, high_left, high_right, low_right = np.array(corners)
    cuts = np.linspace(0, 1, count + 1)
    for a, b in zip(cuts, cuts[1:], strict=False):
        a, b = a + 0.06 / count, b - 0.06 / count
        low, high = low_right - low_left, high_right - high_left
        pane = np.array([low_left + a * low, high_left + a * high, high_left + b * high, low_left + b * low])
        pen.fill(pane, Paint(glass, "plain", 0.4), relief=-0.15)
        shine = pane.mean(0) + (pane - pane.mean(0)) * (0.25, 0.9)
        pen.fill(shine, LIGHT, opacity=0.35)


def _draw_side(pen: Pen, paint: Paint, floor: float, axles: tuple[float, ...], radius: float) -> None:
    """Sill, wheels, lamps and door lines of a vehicle seen from the side."""
    pen.fill(box(-0.98, floor - 0.07, 0.98, floor), tone(paint.colour, -0.5), inside=True, opacity=0.8)
    pen.fill(ellipse(-0.94, floor - 0.24, 0.06, 0.08), pick(pen.rng, LAMPS), inside=True)
    pen.fill(box(0.9, floor - 0.3, 0.98, floor - 0.16), pick(pen.rng, LAMPS), inside=True)
    for x in pen.rng.uniform(-0.3, 0.4, 2):
        pen.stroke([(x, -0.05), (x, floor - 0.05)], 0.02, tone(paint.colour, -0.5), inside=True, opacity=0.7)
    hub = pick(pen.rng, "d8d8d4 a8a8a8 6a6a6a e8d8b0")
    spokes = int(pen.rng.integers(3, 8))
    for x in axles:
        draw_wheel(pen, x, floor + 0.02, radius, hub, spokes)


def draw_wheel(pen: Pen, x: float, y: float, radius: float, hub: np.ndarray, spokes: int) -> None:
    """A wheel with a tyre and a spoked hub."""
    pen.fill(circle() * radius * 1.18 + (x, y - 0.02), tone(RUBBER, -0.5), inside=True, opacity=0.8)
    pen.fill(circle() * radius + (x, y), Paint(RUBBER, "plaster", 0.4), relief=0.4)
    pen.fill(circle() * radius * 0.62 + (x, y), Paint(hub, "metal", 0.2), relief=0.4)
    turn = pen.rng.uniform(0, 6)
    for spoke in range(spokes):
        pen.fill(
            turned(ellipse(radius * 0.36, 0, radius * 0.15, radius * 0.07), turn + spoke * 2 * np.pi / spokes) + (x, y),
            tone(hub, -0.65),
        )
    pen.fill(circle() * radius * 0.14 + (x, y), tone(hub, -0.3))


def _draw_front(pen: Pen, half: float, height: float, glass_share: float) -> None:
    """A vehicle that comes towards the viewer."""
    rng, paint = pen.rng, body_paint(pen.rng)
    top, floor = 0.45 - 2 * height * 0.75, 0.45
    for side in (-1, 1):
        pen.fill(
            box(side * half * 0.92 - 0.12, floor - 0.15, side * half * 0.92 + 0.12, floor + 0.16, 0.05),
            RUBBER,
            relief=0.3,
        )
        pen.fill(
            ellipse(side * (half + 0.07), top + 0.55 * (floor - top) - 0.1, 0.08, 0.07), paint.tone(-0.3), relief=0.3
        )
    narrow = half * rng.uniform(0.72, 0.95)
    waist = top + glass_share * (floor - top)
    pen.fill(
        curve([(-narrow, top), (narrow, top), (half, waist), (half, floor), (-half, floor), (-half, waist)], 3),
        paint,
        relief=0.5,
    )
    pane = np.array(
        [
            (-half * 0.86, waist - 0.02),
            (-narrow * 0.86, top + 0.1),
            (narrow * 0.86, top + 0.1),
            (half * 0.86, waist - 0.02),
        ]
    )
    pen.fill(pane, Paint(pick(rng, GLASS), "plain", 0.4))
    pen.fill(pane * (0.3, 1) - (0.2 * half, 0), LIGHT, opacity=0.3)
    lamp, low = pick(rng, LAMPS), floor - 0.26 * (floor - waist) - 0.05
    for side in (-1, 1):
        shape = (
            ellipse(side * half * 0.7, low, 0.13, 0.11)
            if rng.random() < 0.6
            else box(side * half * 0.7 - 0.13, low - 0.07, side * half * 0.7 + 0.13, low + 0.07)
        )
        pen.fill(shape, tone(paint.colour, -0.6))
        pen.fill((shape - shape.mean(0)) * 0.75 + shape.mean(0), lamp, relief=0.4)
    grille = Paint(DARK, None, 0, "boards", mix(DARK, LIGHT, 0.6), 1.5)
    pen.fill(box(-half * 0.4, low - 0.08, half * 0.4, low + 0.08, 0.03), grille)
    pen.fill(
        box(-half * 0.98, floor - 0.09, half * 0.98, floor + 0.02, 0.04),
        Paint(mix(paint.colour, LIGHT, 0.4), "metal", 0.2),
        relief=0.4,
    )
    pen.fill(box(-0.14, floor - 0.1, 0.14, floor - 0.01), LIGHT)


def draw_sailboat(pen: Pen) -> None:
    """A sailing boat: a hull, a mast and one to three sails."""
    rng = pen.rng
    hull = body_paint(rng)
    mast, top, deck = rng.uniform(-0.15, 0.15), -rng.uniform(0.85, 1.0), rng.uniform(0.45, 0.58)
    wind = 1 if rng.random() < 0.5 else -1
    pen.limb(
        [(mast, deck + 0.1), (mast, top)], (0.035, 0.02), Paint(pick(rng, "8a6a4a d9c3a0 e8e8e4 5b4636"), "wood", 0.2)
    )
    for side, reach in ((wind, rng.uniform(0.6, 0.8)), (-wind, rng.uniform(0.4, 0.7))):
        if side == wind or rng.random() < 0.8:
            cloth = any_colour(rng, 0.3)
            pattern = [None, "bands", "stripes", "patches", "checks"][rng.integers(5)]
            sail = Paint(tone(cloth, rng.uniform(0, 0.6)), "plain", 0.25, pattern, apart(rng, cloth, 0.3), 0.6)
            foot = deck - rng.uniform(0.05, 0.14)
            belly = rng.uniform(0.05, 0.2)
            edge = curve(
                [
                    (mast + side * 0.05, top + 0.04),
                    (mast + side * (0.5 * reach + belly), 0.1 * deck),
                    (mast + side * reach, foot),
                ],
                8,
                closed=False,
            )
            pen.fill(np.concatenate([edge, [(mast + side * 0.05, foot)]]), sail, relief=0.45)
            pen.stroke(
                [(mast + side * 0.05, foot - 0.25), (mast + side * reach * 0.85, foot - 0.25)],
                0.02,
                sail.tone(-0.3),
                inside=True,
                opacity=0.6,
            )
    bow = rng.uniform(0.15, 0.3)
    pen.fill(
        curve(
            [
                (-0.9, deck - 0.03),
                (0, deck + 0.05),
                (0.9 + 0.5 * bow, deck - 0.08),
                (0.65, deck + 0.34),
                (-0.72, deck + 0.34),
            ],
            4,
        ),
        hull,
        relief=0.5,
    )
    pen.stroke([(-0.85, deck + 0.06), (0.9, deck + 0.04)], 0.05, tone(hull.colour, 0.5), inside=True)
    if rng.random() < 0.5:
        for x in (-0.4, -0.15, 0.1):
            pen.fill(circle(12) * 0.05 + (x, deck + 0.16), tone(hull.colour, -0.6))
    if rng.random() < 0.6:
        pen.fill(
            np.array([(mast, top - 0.02), (mast + 0.22 * wind, top + 0.05), (mast, top + 0.12)]), any_colour(rng, 0.2)
        )
