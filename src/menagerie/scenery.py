"""What is behind and in front of the objects: seven sorts of background, and things that cover a part.

Backgrounds are full of edges and textures of their own (fences, shelves, house fronts, trunks, stones), so that an edge
or a texture alone does not say that an object is there.
"""

from collections.abc import Callable

import numpy as np

from menagerie.faces import LIGHT
from menagerie.outlines import blob, box, circle, curve, ellipse, petal, scalloped, star
from menagerie.pen import Paint, Pen
from menagerie.surface import EARTH, FOLIAGE, SKIES, any_colour, apart, mix, pick, tone

GRAINS = ("plaster", "stone", "cloud", "grass", "leaves", "bark", "wool", "metal", "plain")
ASPHALT = np.array([0.45, 0.45, 0.47], np.float32)
PATTERNS = (
    "bricks",
    "planks",
    "boards",
    "tiles",
    "checks",
    "stripes",
    "bands",
    "dots",
    "spots",
    "mottle",
    "wood",
    "shingles",
)


def scene_pen(shape: tuple[int, int], rng: np.random.Generator, light: np.ndarray) -> Pen:
    """A pen for a whole picture: y from -1 (top) to 1, x from -width / height to width / height."""
    height, width = shape
    matrix = np.array([[height / 2, 0, width / 2], [0, height / 2, height / 2]], float)
    return Pen(shape, matrix, rng, light)


def paint_backdrop(kind: str, shape: tuple[int, int], rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """A background picture (3, h, w), float32 in about 0..1."""
    pen = scene_pen(shape, rng, light)
    BACKDROPS[kind](pen, shape[1] / shape[0])
    return pen.colour


def _shift(rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.uniform(0, 256)), float(rng.uniform(0, 256))


def _grainy(rng: np.random.Generator, colour: np.ndarray, grain: str, depth: float, density: float = 0.8) -> Paint:
    return Paint(colour, grain, depth, density=density * rng.uniform(0.6, 1.6), shift=_shift(rng))


def _sky(pen: Pen, wide: float) -> None:
    rng = pen.rng
    high, low = pick(rng, SKIES), pick(rng, SKIES)
    pen.fill(
        box(-wide - 0.1, -1.1, wide + 0.1, 1.1),
        Paint(high, "cloud", rng.uniform(0.05, 0.3), "mottle", low, 0.25, _shift(rng)),
    )
    ramp = np.linspace(-0.5, 0.5, pen.shape[0], dtype=np.float32)[:, None]
    pen.colour += ramp * (low - high)[:, None, None]
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 4)):
            x, y, size = rng.uniform(-wide, wide), rng.uniform(-0.95, -0.3), rng.uniform(0.15, 0.4)
            pen.fill(scalloped(x, y, size, size * 0.35, 6, 0.35), tone(high, 0.6), relief=0.25, opacity=0.8)


def _ground(pen: Pen, wide: float, horizon: float, paint: Paint) -> None:
    rng = pen.rng
    x = np.linspace(-wide - 0.1, wide + 0.1, 7)
    line = curve(np.stack([x, horizon + rng.uniform(-0.1, 0.1, 7)], 1), 4, closed=False)
    pen.fill(np.concatenate([line, [(wide + 0.1, 1.1), (-wide - 0.1, 1.1)]]), paint)


def paint_meadow(pen: Pen, wide: float) -> None:
    """Sky, hills, grass, bushes, stones, sometimes a fence."""
    rng = pen.rng
    _sky(pen, wide)
    horizon = rng.uniform(-0.4, 0.3)
    hill = pick(rng, EARTH + " " + FOLIAGE)
    _ground(pen, wide, horizon - 0.22, _grainy(rng, mix(hill, pick(rng, SKIES), 0.45), "leaves", 0.2))
    for _ in range(rng.integers(0, 5)):
        x, size = rng.uniform(-wide, wide), rng.uniform(0.12, 0.42)
        pen.fill(
            scalloped(x, horizon - 0.3 * size, size, size * 0.8, 8, 0.25),
            _grainy(rng, pick(rng, FOLIAGE), "leaves", 0.45),
            relief=0.4,
        )
    _ground(pen, wide, horizon, _grainy(rng, pick(rng, EARTH), "grass", rng.uniform(0.2, 0.45)))
    for _ in range(rng.integers(0, 6)):
        x, y, size = rng.uniform(-wide, wide), rng.uniform(horizon + 0.1, 1), rng.uniform(0.05, 0.2)
        pen.fill(blob(rng, x, y, size, size * 0.6), _grainy(rng, any_colour(rng, 0.8), "stone", 0.35), relief=0.5)
    if rng.random() < 0.3:
        _fence(pen, wide, horizon + rng.uniform(-0.1, 0.2))
    for _ in range(rng.integers(0, 14)):
        pen.fill(star(rng.uniform(-wide, wide), rng.uniform(horizon, 1), 0.05, 0.02, 5), any_colour(rng, 0.2))


def _fence(pen: Pen, wide: float, y: float) -> None:
    rng = pen.rng
    colour = any_colour(rng, 0.8)
    wood = Paint(tone(colour, -0.25), None, 0, "wood", colour, 1.0)
    high, step = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.45)
    for rail in (0.25, 0.7):
        pen.fill(box(-wide - 0.1, y - high * rail - 0.035, wide + 0.1, y - high * rail + 0.035), wood.tone(-0.1))
    for x in np.arange(-wide, wide, step) + rng.uniform(0, step):
        pen.fill(
            [(x - 0.045, y), (x - 0.045, y - high), (x, y - high - 0.07), (x + 0.045, y - high), (x + 0.045, y)],
            wood,
            relief=0.3,
        )


def paint_forest(pen: Pen, wide: float) -> None:
    """Trunks before foliage."""
    rng = pen.rng
    leaf = pick(rng, FOLIAGE)
    pen.fill(
        box(-wide - 0.1, -1.1, wide + 0.1, 1.1),
        Paint(
            tone(leaf, -0.45),
            "leaves",
            0.5,
            "mottle",
            tone(leaf, rng.uniform(-0.1, 0.5)),
            rng.uniform(0.4, 0.9),
            _shift(rng),
        ),
    )
    for _ in range(rng.integers(2, 7)):
        x, half = rng.uniform(-wide, wide), rng.uniform(0.04, 0.16)
        lean = rng.normal(0, 0.12)
        pen.limb(
            [(x, 1.1), (x + lean, 0), (x + lean * 1.6, -1.15)],
            (half * 1.2, half, half * 0.8),
            _grainy(rng, pick(rng, "6b4f3a 54453a 8a7a6a d9d0c0 3a3028"), "bark", 0.5),
            relief=0.5,
        )
    _ground(pen, wide, rng.uniform(0.35, 0.9), _grainy(rng, pick(rng, EARTH), "leaves", 0.45))
    for _ in range(rng.integers(2, 8)):
        leafy = petal(
            rng.uniform(-wide, wide),
            rng.uniform(-1, 1),
            rng.uniform(0, 6.3),
            rng.uniform(0.2, 0.5),
            rng.uniform(0.04, 0.13),
        )
        pen.fill(leafy, _grainy(rng, tone(leaf, rng.uniform(-0.3, 0.3)), "grass", 0.3), relief=0.4)


def paint_street(pen: Pen, wide: float) -> None:
    """House fronts with windows, a pavement and a road."""
    rng = pen.rng
    _sky(pen, wide)
    floor, x = rng.uniform(0.1, 0.55), -wide - 0.2
    while x < wide:
        half, top = rng.uniform(0.2, 0.6), rng.uniform(-1.3, -0.2)
        colour = any_colour(rng, 0.7)
        pattern = (None, "bricks", "planks", "tiles")[rng.integers(4)]
        pen.fill(
            box(x, top, x + 2 * half, floor),
            Paint(colour, "plaster", 0.25, pattern, tone(colour, -0.3), rng.uniform(0.4, 0.9), _shift(rng)),
        )
        pane, step = any_colour(rng, 0.8), rng.uniform(0.22, 0.4)
        for wx in np.arange(x + 0.12, x + 2 * half - 0.1, step):
            for wy in np.arange(top + 0.15, floor - 0.15, step * 1.2):
                pen.fill(box(wx, wy, wx + step * 0.45, wy + step * 0.65), tone(pane, -0.3))
        x += 2 * half
    road = any_colour(rng, 0.95)
    _ground(pen, wide, floor, _grainy(rng, mix(road, ASPHALT, 0.6), "plaster", 0.3))
    pen.stroke([(-wide, floor + 0.12), (wide, floor + 0.12)], 0.03, tone(road, 0.4), opacity=0.7)
    for _ in range(rng.integers(0, 4)):
        px = rng.uniform(-wide, wide)
        pen.limb([(px, floor + 0.15), (px, rng.uniform(-0.8, 0.1))], (0.03, 0.025), any_colour(rng, 0.8))


def paint_room(pen: Pen, wide: float) -> None:
    """A papered wall with pictures or shelves over a floor or a table."""
    rng = pen.rng
    wall = any_colour(rng, 0.6)
    paper = PATTERNS[rng.integers(len(PATTERNS))]
    soft = mix(wall, apart(rng, wall, 0.6), rng.uniform(0.1, 0.6))
    pen.fill(
        box(-wide - 0.1, -1.1, wide + 0.1, 1.1),
        Paint(wall, "plaster", 0.12, paper, soft, rng.uniform(0.3, 0.9), _shift(rng)),
    )
    for _ in range(rng.integers(0, 4)):
        x, y, half, high = (
            rng.uniform(-wide, wide),
            rng.uniform(-0.9, 0.1),
            rng.uniform(0.12, 0.35),
            rng.uniform(0.12, 0.35),
        )
        pen.fill(box(x - half, y - high, x + half, y + high), any_colour(rng, 0.7), relief=0.2)
        inner = Paint(
            any_colour(rng, 0.5),
            "cloud",
            0.4,
            PATTERNS[rng.integers(len(PATTERNS))],
            any_colour(rng, 0.5),
            0.6,
            _shift(rng),
        )
        pen.fill(box(x - half + 0.05, y - high + 0.05, x + half - 0.05, y + high - 0.05), inner)
    if rng.random() < 0.35:
        _shelf(pen, wide, rng.uniform(-0.7, 0.1))
    floor = rng.uniform(0.2, 0.75)
    wood = any_colour(rng, 0.85)
    covering = ("wood", "planks", "tiles", "checks", "bands")[rng.integers(5)]
    pen.fill(
        box(-wide - 0.1, floor, wide + 0.1, 1.1),
        Paint(tone(wood, -0.2), "bark", 0.15, covering, wood, rng.uniform(0.4, 1.0), _shift(rng)),
    )
    pen.stroke([(-wide, floor), (wide, floor)], 0.05, tone(wood, -0.5))


def _shelf(pen: Pen, wide: float, y: float) -> None:
    rng = pen.rng
    pen.fill(box(-wide - 0.1, y, wide + 0.1, y + 0.06), any_colour(rng, 0.9))
    x = -wide
    while x < wide:
        half, high = rng.uniform(0.03, 0.08), rng.uniform(0.2, 0.4)
        if rng.random() < 0.75:
            pen.fill(box(x, y - high, x + 2 * half, y), any_colour(rng, 0.4), relief=0.3)
        x += 2 * half + (0.2 if rng.random() < 0.15 else 0.01)


def paint_shore(pen: Pen, wide: float) -> None:
    """Water with ripples under a sky, sometimes a beach."""
    rng = pen.rng
    _sky(pen, wide)
    horizon, water = rng.uniform(-0.2, 0.45), pick(rng, SKIES + " 3d7d7a 4a78b5 2f4b6e")
    if rng.random() < 0.6:
        _ground(pen, wide, horizon - 0.1, _grainy(rng, pick(rng, EARTH + " " + FOLIAGE), "stone", 0.3))
    pen.fill(
        box(-wide - 0.1, horizon, wide + 0.1, 1.1),
        Paint(water, "metal", rng.uniform(0.3, 0.6), density=rng.uniform(0.6, 1.5), shift=_shift(rng)),
    )
    for _ in range(rng.integers(4, 16)):
        x, y = rng.uniform(-wide, wide), rng.uniform(horizon + 0.05, 1)
        pen.stroke(
            curve([(x, y), (x + 0.08, y - 0.02), (x + 0.2, y)], 3, closed=False), 0.02, tone(water, 0.5), opacity=0.6
        )
    if rng.random() < 0.4:
        _ground(
            pen, wide, rng.uniform(0.5, 0.85), _grainy(rng, pick(rng, "d8cfae c9b68c e3cfa9 a58a62"), "plaster", 0.25)
        )


def paint_studio(pen: Pen, wide: float) -> None:
    """A quiet ground in one colour, perhaps with a table edge."""
    rng = pen.rng
    colour = tone(any_colour(rng, 0.6), rng.uniform(0.0, 0.65))
    pen.fill(
        box(-wide - 0.1, -1.1, wide + 0.1, 1.1),
        _grainy(rng, colour, GRAINS[rng.integers(len(GRAINS))], rng.uniform(0.0, 0.15), 0.5),
    )
    if rng.random() < 0.5:
        _ground(pen, wide, rng.uniform(0.3, 0.8), _grainy(rng, tone(colour, rng.uniform(-0.3, 0.4)), "plain", 0.1))


def paint_collage(pen: Pen, wide: float) -> None:
    """Overlapping scraps of texture at all scales: no scene at all."""
    rng = pen.rng
    for k in range(rng.integers(6, 14)):
        a = any_colour(rng, 0.6)
        pattern = PATTERNS[rng.integers(len(PATTERNS))] if rng.random() < 0.6 else None
        paint = Paint(
            a,
            GRAINS[rng.integers(len(GRAINS))],
            rng.uniform(0.1, 0.45),
            pattern,
            mix(a, any_colour(rng, 0.5), rng.uniform(0.3, 1)),
            rng.uniform(0.3, 1.4),
            _shift(rng),
        )
        if k == 0:
            pen.fill(box(-wide - 0.1, -1.1, wide + 0.1, 1.1), paint)
            continue
        x, y, size = rng.uniform(-wide, wide), rng.uniform(-1, 1), rng.uniform(0.15, 0.75)
        shape = (
            blob(rng, x, y, size, size, 0.35),
            ellipse(x, y, size, size * 0.6, rng.uniform(0, 3)),
            box(x - size, y - size * 0.5, x + size * 0.6, y + size),
            star(x, y, size, size * 0.5, int(rng.integers(3, 8))),
        )[rng.integers(4)]
        pen.fill(shape, paint, relief=0.35)


BACKDROPS: dict[str, Callable[[Pen, float], None]] = {
    "meadow": paint_meadow,
    "forest": paint_forest,
    "street": paint_street,
    "room": paint_room,
    "shore": paint_shore,
    "studio": paint_studio,
    "collage": paint_collage,
}


def draw_foreground(pen: Pen, wide: float) -> None:
    """Something near the camera that may cover a part of the object."""
    (_grass, _grass, _twigs, _twigs, _bars, _post, _blur, _edge, _edge)[pen.rng.integers(9)](pen, wide)


def _grass(pen: Pen, wide: float) -> None:
    rng, leaf = pen.rng, pick(pen.rng, FOLIAGE)
    for _ in range(rng.integers(8, 26)):
        x, high, lean = rng.uniform(-wide, wide), rng.uniform(0.3, 0.9), rng.normal(0, 0.2)
        pen.limb(
            [(x, 1.1), (x + 0.3 * lean, 1 - high * 0.6), (x + lean, 1 - high)],
            (0.035, 0.028, 0.004),
            tone(leaf, rng.uniform(-0.35, 0.3)),
        )


def _twigs(pen: Pen, wide: float) -> None:
    rng, side = pen.rng, 1 if pen.rng.random() < 0.5 else -1
    leaf = pick(rng, FOLIAGE)
    y, dip = rng.uniform(-1, 0.6), rng.uniform(0.0, 0.6)
    stem = curve(
        [(side * (wide + 0.1), y), (side * wide * 0.5, y + dip * 0.4), (side * rng.uniform(-0.2, 0.2), y + dip)],
        7,
        closed=False,
    )
    pen.stroke(stem, 0.04, tone(leaf, -0.5))
    for x, y in stem[::2]:
        for lean in (-0.8, 0.8):
            shape = petal(
                x,
                y,
                np.pi / 2 - side * 1.0 + lean + rng.normal(0, 0.3),
                rng.uniform(0.16, 0.34),
                rng.uniform(0.05, 0.09),
            )
            pen.fill(shape, Paint(tone(leaf, rng.uniform(-0.25, 0.25)), "grass", 0.3), relief=0.4)


def _bars(pen: Pen, wide: float) -> None:
    rng, paint = pen.rng, Paint(any_colour(pen.rng, 0.8), "metal", 0.3)
    step, half, lean = rng.uniform(0.5, 1.0), rng.uniform(0.02, 0.05), rng.normal(0, 0.05)
    for x in np.arange(-wide, wide + step, step) + rng.uniform(0, step):
        pen.fill(
            [(x - half, 1.1), (x - half + lean, -1.1), (x + half + lean, -1.1), (x + half, 1.1)], paint, relief=0.4
        )
    y = rng.uniform(-0.9, 0.9)
    pen.fill(box(-wide - 0.1, y - half, wide + 0.1, y + half), paint.tone(-0.1))


def _post(pen: Pen, wide: float) -> None:
    rng = pen.rng
    x, half = rng.uniform(-0.7, 0.7), rng.uniform(0.07, 0.2)
    a = any_colour(rng, 0.7)
    paint = Paint(a, "bark", 0.3, (None, "wood", "bands", "mottle")[rng.integers(4)], tone(a, -0.4), 0.8, _shift(rng))
    pen.limb([(x, 1.1), (x + rng.normal(0, 0.1), rng.uniform(-1.1, 0.2))], (half, half * 0.9), paint, relief=0.5)


def _blur(pen: Pen, wide: float) -> None:
    rng = pen.rng
    for _ in range(rng.integers(2, 7)):
        x, y, size = rng.uniform(-wide, wide), rng.uniform(-1, 1), rng.uniform(0.08, 0.26)
        pen.fill(circle() * size + (x, y), mix(any_colour(rng, 0.3), LIGHT, 0.3), opacity=rng.uniform(0.5, 0.95))


def _edge(pen: Pen, wide: float) -> None:
    """A wall, a table edge or a curtain that comes in from one side."""
    rng = pen.rng
    a = any_colour(rng, 0.7)
    paint = Paint(
        a,
        GRAINS[rng.integers(len(GRAINS))],
        0.25,
        PATTERNS[rng.integers(len(PATTERNS))],
        mix(a, any_colour(rng, 0.6), 0.6),
        0.6,
        _shift(rng),
    )
    depth, slant = rng.uniform(0.25, 0.75), rng.normal(0, 0.15)
    if rng.random() < 0.5:
        pen.fill(
            [(-wide - 0.1, 1.1), (-wide - 0.1, 1.05 - depth), (wide + 0.1, 1.05 - depth + slant), (wide + 0.1, 1.1)],
            paint,
            relief=0.2,
        )
    else:
        side = 1 if rng.random() < 0.5 else -1
        inner = side * (wide - depth)
        pen.fill(
            [(side * (wide + 0.1), -1.1), (inner + slant, -1.1), (inner - slant, 1.1), (side * (wide + 0.1), 1.1)],
            paint,
            relief=0.2,
        )
