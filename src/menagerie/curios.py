"""Fourteen objects of the Caltech-layout set, none of which occurs in the ILSVRC-layout set."""

import numpy as np

from menagerie.faces import DARK, LIGHT
from menagerie.outlines import box, circle, curve, egg, ellipse, petal, scalloped, star, turned
from menagerie.pen import Paint, Pen
from menagerie.places import glaze
from menagerie.surface import FOLIAGE, any_colour, apart, pick, tone

PATTERNS = (None, "stripes", "bands", "spots", "rosettes", "patches", "checks", "dots", "mottle")


def skin(rng: np.random.Generator, grain: str, natural: float = 0.5) -> Paint:
    """Any colour with any pattern."""
    colour = any_colour(rng, natural)
    return Paint(
        colour,
        grain,
        rng.uniform(0.1, 0.3),
        PATTERNS[rng.integers(len(PATTERNS))],
        apart(rng, colour, natural),
        rng.uniform(0.6, 1.2),
    )


def draw_aeroplane(pen: Pen) -> None:
    """An aeroplane from the side, with wing, tail and a row of windows."""
    rng, paint = pen.rng, skin(pen.rng, "metal")
    fin = rng.uniform(0.35, 0.5)
    pen.fill([(0.62, -0.1), (0.85, -fin), (0.99, -fin), (0.92, 0.0)], paint.tone(-0.1), relief=0.3)
    pen.fill([(-0.05, -0.1), (0.3, -0.42), (0.42, -0.42), (0.25, -0.1)], paint.tone(-0.3))
    pen.fill(
        curve([(-1.0, 0.06), (-0.75, -0.14), (0.3, -0.18), (0.98, -0.1), (0.9, 0.02), (0.3, 0.18), (-0.8, 0.18)], 4),
        paint,
        relief=0.6,
    )
    for x in np.linspace(-0.6, 0.55, int(rng.integers(6, 10))):
        pen.fill(circle(12) * 0.035 + (x, -0.04), tone(DARK, 0.15))
    pen.fill([(-0.92, -0.02), (-0.78, -0.12), (-0.7, -0.1), (-0.74, -0.01)], tone(DARK, 0.25))
    pen.fill([(-0.2, 0.08), (0.22, 0.08), (0.55, rng.uniform(0.4, 0.6)), (0.38, 0.6)], paint.tone(0.12), relief=0.3)
    pen.fill([(0.65, 0.0), (0.85, 0.0), (1.02, 0.2), (0.9, 0.2)], paint.tone(0.05))
    pen.fill(ellipse(0.08, 0.3, 0.15, 0.07), paint.tone(-0.35), relief=0.5)


def draw_anchor(pen: Pen) -> None:
    """An anchor with ring, stock and flukes."""
    rng = pen.rng
    paint = Paint(any_colour(rng, 0.7), "metal", 0.35, "mottle", any_colour(rng, 0.8), 1.2)
    thick, wide = rng.uniform(0.07, 0.11), rng.uniform(0.6, 0.8)
    pen.stroke(circle() * 0.16 + (0, -0.8), thick, paint, closed=True)
    pen.limb([(0, -0.64), (0, 0.85)], (thick, thick * 1.2), paint)
    pen.limb([(-0.45, -0.45), (0.45, -0.45)], (thick * 0.8, thick * 0.8), paint)
    for side in (-1, 1):
        arm = curve([(0, 0.85), (side * wide * 0.65, 0.68), (side * wide, 0.2)], 6, closed=False)
        pen.limb(arm, np.linspace(thick * 1.4, thick * 0.6, len(arm)), paint)
        pen.fill(
            [(side * wide * 1.02, 0.02), (side * (wide + 0.2), 0.38), (side * (wide - 0.24), 0.32)],
            paint.tone(0.1),
            relief=0.3,
        )
    if rng.random() < 0.5:
        rope = curve([(0.1, -0.9), (0.5, -0.6), (0.2, -0.1), (-0.3, 0.1), (-0.2, 0.5), (0.3, 0.6)], 6, closed=False)
        pen.stroke(rope, 0.08, Paint(pick(rng, "d9c3a0 a58a62 c9b68c"), None, 0, "stripes", DARK, 3))


def draw_balloon(pen: Pen) -> None:
    """A hot-air balloon with gores and a basket."""
    rng = pen.rng
    a, b = any_colour(rng, 0.3), any_colour(rng, 0.4)
    pen.stroke([(-0.35, 0.3), (-0.12, 0.78)], 0.03, DARK)
    pen.stroke([(0.35, 0.3), (0.12, 0.78)], 0.03, DARK)
    pen.fill(egg(0, -0.3, 0.66, 0.7, 0.22), tone(a, -0.1), relief=0.5)
    gores = int(rng.integers(3, 6))
    for k in range(-gores, gores + 1, 2):
        wide = 0.66 * np.sin(k / gores * 1.3)
        shape = egg(0, -0.3, 1.0, 0.7, 0.22) * (0.14, 1)
        shape = shape + np.stack(
            [wide * np.sqrt(np.maximum(0, 1 - ((shape[:, 1] + 0.3) / 0.72) ** 2)), 0 * shape[:, 1]], 1
        )
        pen.fill(shape, Paint(b, "plain", 0.2), relief=0.3, inside=True)
    pen.fill(box(-0.6, -0.42, 0.6, -0.26), any_colour(rng, 0.3), inside=True, opacity=float(rng.random() < 0.5))
    pen.fill(
        box(-0.15, 0.75, 0.15, 1.0, 0.04),
        Paint(pick(rng, "8a6a4a a58a62 6b4f3a"), None, 0, "checks", tone(DARK, 0.2), 2),
        relief=0.4,
    )


def draw_butterfly(pen: Pen) -> None:
    """A butterfly, wings spread or half folded."""
    rng = pen.rng
    wing, fold = skin(rng, "plain", 0.3), rng.uniform(0.55, 1.0)
    spot, rim = any_colour(rng, 0.3), tone(wing.colour, -0.6)
    reach, drop = rng.uniform(0.8, 1.0), rng.uniform(0.55, 0.8)
    for side in (-1, 1):
        squeeze = (side * (fold if side > 0 else 1.0), 1)
        for shape in (
            curve([(0.03, -0.1), (reach * 0.5, -0.8), (reach, -0.72), (reach * 0.9, -0.15), (0.4, 0.05)], 5),
            curve([(0.03, 0.0), (0.5, 0.05), (reach * 0.75, 0.3), (0.5, drop), (0.15, 0.5)], 5),
        ):
            middle = shape.mean(0)
            pen.fill(shape * squeeze, rim, relief=0.3)
            pen.fill(((shape - middle) * 0.84 + middle) * squeeze, wing, relief=0.3)
            pen.fill((ellipse(0.08, 0, 0.13, 0.11) + middle) * squeeze, rim)
            pen.fill((ellipse(0.08, 0, 0.09, 0.075) + middle) * squeeze, spot)
        pen.stroke(curve([(0.02 * side, -0.4), (0.12 * side, -0.7), (0.25 * side, -0.8)], 5, closed=False), 0.03, DARK)
    pen.fill(ellipse(0, 0.05, 0.07, 0.45), Paint(tone(any_colour(rng, 0.9), -0.5), "fur", 0.4), relief=0.5)
    pen.fill(circle() * 0.085 + (0, -0.42), DARK, relief=0.5)


def draw_cactus(pen: Pen) -> None:
    """A cactus with arms, in a pot or in the ground."""
    rng = pen.rng
    colour = pick(rng, FOLIAGE)
    paint = Paint(tone(colour, -0.25), "plaster", 0.2, "bands", colour, rng.uniform(1.2, 2.0))
    wide, top = rng.uniform(0.17, 0.28), -rng.uniform(0.75, 0.95)
    for side in (-1, 1) if rng.random() < 0.75 else (1,):
        y, out, up = rng.uniform(-0.15, 0.3), rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.5)
        pen.limb(
            curve([(0, y), (side * out * 0.9, y), (side * out, y - up)], 6, closed=False),
            np.full(12, wide * 0.55),
            paint.tone(-0.05),
        )
    pen.limb([(0, 0.9), (0, 0.2), (0, top)], (wide * 0.9, wide, wide * 0.9), paint, relief=0.6)
    for x, y in rng.uniform((-wide, top), (wide, 0.7), (22, 2)):
        pen.stroke([(x, y), (x + 0.05, y - 0.05)], 0.022, LIGHT, inside=True, opacity=0.8)
    if rng.random() < 0.5:
        pen.fill(scalloped(0, top - 0.1, 0.12, 0.1, 5, 0.4), any_colour(rng, 0.1), relief=0.5)
    if rng.random() < 0.6:
        pot = glaze(rng)
        pen.fill([(-0.42, 0.55), (0.42, 0.55), (0.32, 1.0), (-0.32, 1.0)], pot, relief=0.5)
        pen.fill(box(-0.46, 0.47, 0.46, 0.6, 0.03), pot.tone(0.15), relief=0.3)


def draw_clock(pen: Pen) -> None:
    """A clock: round or square, with marks and hands."""
    rng = pen.rng
    case, dial = skin(rng, "metal"), tone(any_colour(rng, 0.6), rng.uniform(0.2, 0.8))
    ink = DARK if dial.mean() > 0.45 else LIGHT
    outline = circle() * 0.92 if rng.random() < 0.7 else box(-0.82, -0.82, 0.82, 0.82, 0.12)
    if rng.random() < 0.4:
        for side in (-1, 1):
            pen.fill(circle() * 0.2 + (side * 0.5, -0.9), case.tone(-0.1), relief=0.6)
            pen.limb([(side * 0.45, 0.75), (side * 0.65, 1.02)], (0.08, 0.06), case.tone(-0.3))
    pen.fill(outline, case, relief=0.5)
    pen.fill(outline * 0.8, dial, relief=-0.25)
    for hour in range(12):
        reach = turned(np.array([(0.66, 0.0), (0.54 if hour % 3 == 0 else 0.6, 0.0)]), hour * np.pi / 6)
        pen.stroke(reach, 0.07 if hour % 3 == 0 else 0.045, ink)
    for length, thick in ((0.36, 0.055), (0.55, 0.035)):
        pen.limb(turned(np.array([(-0.08, 0.0), (length, 0.0)]), rng.uniform(0, 6.3)), (thick, thick * 0.6), ink)
    pen.fill(circle() * 0.07, case.colour)


def draw_fish(pen: Pen) -> None:
    """A fish: scales, fins, tail, one eye."""
    rng = pen.rng
    paint, fin = skin(rng, "feather", 0.35), any_colour(rng, 0.3)
    high, fins = rng.uniform(0.35, 0.6), Paint(fin, None, 0, "boards", tone(fin, -0.35), 1.5)
    fork = rng.uniform(0.3, 0.5)
    pen.fill(curve([(0.5, 0.0), (1.0, -fork), (0.86, 0.0), (1.0, fork)], 4), fins, relief=0.3)
    pen.fill(curve([(-0.4, -high * 0.6), (0.0, -high - 0.25), (0.5, -high * 0.4)], 5), fins, relief=0.3)
    pen.fill(curve([(0.0, high * 0.7), (0.3, high + 0.2), (0.4, high * 0.4)], 5), fins, relief=0.3)
    pen.fill(
        curve(
            [
                (-0.95, 0.05),
                (-0.5, -high * 0.8),
                (0.1, -high * 0.8),
                (0.62, -0.08),
                (0.62, 0.08),
                (0.1, high * 0.8),
                (-0.5, high * 0.75),
            ],
            5,
        ),
        paint,
        relief=0.6,
    )
    pen.stroke(
        curve([(-0.45, -high * 0.6), (-0.35, 0), (-0.45, high * 0.6)], 5, closed=False),
        0.04,
        paint.tone(-0.4),
        inside=True,
    )
    pen.fill(petal(-0.25, 0.1, 0.3, 0.4, 0.14), fins, relief=0.3)
    pen.fill(circle() * 0.12 + (-0.64, -0.1), LIGHT)
    pen.fill(circle() * 0.075 + (-0.66, -0.1), DARK)
    pen.stroke([(-0.93, 0.1), (-0.76, 0.14)], 0.035, DARK, opacity=0.8)


def draw_guitar(pen: Pen) -> None:
    """A guitar, tilted."""
    rng = pen.rng
    colour = any_colour(rng, 0.7)
    paint = Paint(tone(colour, -0.3), "bark", 0.15, "wood", colour, rng.uniform(0.5, 1.0))
    angle, wide, waist = rng.uniform(-0.6, 0.6), rng.uniform(0.42, 0.52), rng.uniform(0.24, 0.32)

    def at(points: object) -> np.ndarray:
        return turned(np.asarray(points, float), angle)

    body = [
        (0, 0.0),
        (wide * 0.75, 0.05),
        (waist, 0.35),
        (wide, 0.65),
        (0.3, 0.98),
        (-0.3, 0.98),
        (-wide, 0.65),
        (-waist, 0.35),
        (-wide * 0.75, 0.05),
    ]
    pen.fill(at(curve(body, 4)) * 1.05, tone(colour, -0.65))
    pen.fill(at(curve(body, 4)), paint, relief=0.4)
    pen.fill(
        at(box(-0.065, -0.85, 0.065, 0.2)), Paint(tone(DARK, 0.12), None, 0, "planks", tone(DARK, 0.4), 1.5), relief=0.2
    )
    pen.fill(at(box(-0.11, -1.08, 0.11, -0.83, 0.03)), paint.tone(-0.3), relief=0.3)
    pen.fill(at(ellipse(0, 0.38, 0.17, 0.17)), tone(colour, 0.4))
    pen.fill(at(ellipse(0, 0.38, 0.14, 0.14)), DARK)
    pen.fill(at(box(-0.2, 0.72, 0.2, 0.79)), DARK)
    for x in (-0.04, 0.0, 0.04):
        pen.stroke(at([(x, -1.0), (x, 0.75)]), 0.013, LIGHT, opacity=0.8)


def draw_ladybird(pen: Pen) -> None:
    """A ladybird from above: wing cases with spots, head, six legs."""
    rng = pen.rng
    shell = Paint(any_colour(rng, 0.25), "plain", 0.2)
    dot = tone(apart(rng, shell.colour, 0.6), -0.3)
    for side in (-1, 1):
        for y in (-0.25, 0.15, 0.55):
            pen.stroke([(side * 0.5, y), (side * 0.85, y - 0.08), (side * 0.95, y + 0.1)], 0.06, DARK)
        pen.stroke(
            curve([(side * 0.12, -0.7), (side * 0.3, -0.95), (side * 0.42, -0.95)], 4, closed=False), 0.035, DARK
        )
    pen.fill(ellipse(0, -0.6, 0.36, 0.28), DARK, relief=0.5)
    for side in (-1, 1):
        pen.fill(circle() * 0.08 + (side * 0.2, -0.66), LIGHT)
    apart_ = rng.uniform(0.0, 0.12)
    pen.fill(ellipse(0, 0.15, 0.6, 0.65), tone(DARK, 0.1))
    for side in (-1, 1):
        half = ellipse(0, 0.15, 0.68, 0.72)
        half = turned(half[half[:, 0] * side >= -1e-6], -side * apart_)
        order = np.argsort(np.arctan2(half[:, 1] - 0.15, half[:, 0] * side))
        pen.fill(half[order], shell, relief=0.55)
        for x, y in ((0.3, -0.2), (0.42, 0.2), (0.2, 0.5), (0.22, 0.12))[: rng.integers(2, 5)]:
            pen.fill(circle() * rng.uniform(0.09, 0.13) + (side * x, y), dot, inside=True)
    pen.stroke([(0, -0.5), (0, 0.85)], 0.03, DARK)


def draw_lamp(pen: Pen) -> None:
    """A table lamp: shade, stand and foot."""
    rng = pen.rng
    shade, stand = skin(rng, "plain", 0.4), glaze(rng)
    low, high, y = rng.uniform(0.5, 0.68), rng.uniform(0.2, 0.45), rng.uniform(-0.2, 0.0)
    pen.limb([(0, 0.9), (0, y)], (0.05, 0.04), stand.tone(-0.3))
    if rng.random() < 0.6:
        pen.fill(egg(0, 0.5, rng.uniform(0.2, 0.34), 0.4, -0.2), stand, relief=0.7)
    pen.fill(ellipse(0, 0.92, rng.uniform(0.28, 0.4), 0.09), stand.tone(-0.2), relief=0.5)
    pen.fill(ellipse(0, y, low, 0.08), tone(bulb(rng), 0.2))
    pen.fill([(-low, y), (-high, -0.92), (high, -0.92), (low, y)], shade.tone(0.25), relief=0.45)
    pen.stroke([(-low, y), (low, y)], 0.05, shade.tone(-0.3))
    pen.stroke([(-high, -0.92), (high, -0.92)], 0.04, shade.tone(-0.3))


def bulb(rng: np.random.Generator) -> np.ndarray:
    """The colour of a bulb."""
    return pick(rng, "f6e8b8 f2d88a fff4dc")


def draw_mushroom(pen: Pen) -> None:
    """A mushroom or two: cap with spots, gills, stalk."""
    rng = pen.rng
    cap, stalk = skin(rng, "plain", 0.5), Paint(tone(any_colour(rng, 1.0), 0.5), "bark", 0.2)
    wide, high = rng.uniform(0.62, 0.85), rng.uniform(0.5, 0.75)
    foot = rng.uniform(0.16, 0.26)
    pen.limb([(0.0, -0.1), (0.02, 0.4), (0, 0.9)], (foot * 0.8, foot, foot * 1.25), stalk, relief=0.5)
    pen.fill(ellipse(0, 0.0, wide * 0.94, 0.15), Paint(tone(stalk.colour, -0.35), None, 0, "boards", stalk.colour, 2))
    t = np.linspace(0, np.pi, 16)
    dome = np.stack([-wide * np.cos(t), 0.02 - high * np.sin(t)], 1)
    brim = np.stack([wide * np.cos(t), 0.02 + 0.08 * np.sin(t) * -1], 1)
    pen.fill(np.concatenate([dome, brim]), cap, relief=0.6)
    if rng.random() < 0.6:
        for x, y in rng.uniform((-wide * 0.8, -high * 0.85), (wide * 0.8, -0.1), (9, 2)):
            pen.fill(
                ellipse(x, y, rng.uniform(0.05, 0.11), rng.uniform(0.04, 0.08)), tone(cap.colour, 0.7), inside=True
            )
    if rng.random() < 0.5:
        pen.stroke(ellipse(0, 0.28, foot * 1.1, 0.05), 0.05, stalk.tone(-0.25), closed=True)


def draw_starfish(pen: Pen) -> None:
    """A starfish with five to seven arms."""
    rng = pen.rng
    paint, n, turn = skin(rng, "stone", 0.4), int(rng.integers(5, 8)), rng.uniform(0, 6.3)
    inner = rng.uniform(0.3, 0.42)
    arms = star(0, 0, 1.0, inner, n, turn) * rng.uniform(0.9, 1.05, (2 * n, 1))
    pen.fill(curve(arms, 5), paint, relief=0.6)
    bump = tone(paint.colour, 0.5)
    for k in range(n):
        angle = turn - np.pi / 2 + k * 2 * np.pi / n
        for r in (0.2, 0.38, 0.55, 0.72):
            pen.fill(circle(12) * (0.07 - 0.045 * r) + (r * np.cos(angle), r * np.sin(angle)), bump, relief=0.4)
    pen.fill(circle() * 0.08, paint.tone(-0.4))


def draw_tulip(pen: Pen) -> None:
    """A tulip: a cup of petals over long leaves."""
    rng = pen.rng
    green, colour = Paint(pick(rng, FOLIAGE), "grass", 0.3), any_colour(rng, 0.25)
    bend, open_ = rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.25)
    pen.limb(curve([(bend, 1.05), (bend * 0.7, 0.4), (0, -0.1)], 5, closed=False), np.full(10, 0.05), green)
    for side in (-1, 1):
        pen.fill(
            petal(bend, 1.0, -np.pi / 2 + side * rng.uniform(0.2, 0.55), rng.uniform(0.8, 1.1), 0.13),
            green.tone(0.1 * side),
            relief=0.45,
        )
    for lean, shade in ((-0.5, -0.2), (0.5, -0.2), (-0.28 - open_, 0.0), (0.28 + open_, 0.0), (0.0, 0.12)):
        leaf = petal(0, 0.0, -np.pi / 2 + lean, rng.uniform(0.8, 0.95), rng.uniform(0.22, 0.28))
        pen.fill(leaf, Paint(tone(colour, shade), "grass", 0.2), relief=0.5)


def draw_umbrella(pen: Pen) -> None:
    """An open umbrella with panels and a hooked handle."""
    rng = pen.rng
    a, b = skin(rng, "plain", 0.3), any_colour(rng, 0.3)
    handle = Paint(pick(rng, "6b4f3a 3a3634 a8a8a8 8a5a3b"), "metal", 0.2)
    side = 1 if rng.random() < 0.5 else -1
    high = rng.uniform(0.65, 0.85)
    pen.limb([(0, -0.6), (0, 0.75)], (0.035, 0.035), handle)
    pen.stroke(
        curve([(0, 0.72), (side * 0.02, 0.95), (side * 0.2, 0.95), (side * 0.22, 0.8)], 6, closed=False), 0.08, handle
    )
    n = int(rng.integers(4, 7))
    ribs = np.linspace(-1, 1, n + 1)
    for k, (x0, x1) in enumerate(zip(ribs, ribs[1:], strict=False)):
        t = np.linspace(0, 1, 8)
        left = np.stack([x0 * np.sin(t * np.pi / 2), -0.85 + high * (1 - np.cos(t * np.pi / 2))], 1)
        right = np.stack([x1 * np.sin(t * np.pi / 2), -0.85 + high * (1 - np.cos(t * np.pi / 2))], 1)
        hem = [((x0 + x1) / 2, high - 0.85 - 0.08)]
        pen.fill(np.concatenate([left, hem, right[::-1]]), a if k % 2 else Paint(b, "plain", 0.2), relief=0.35)
    pen.stroke([(0, -0.98), (0, -0.84)], 0.04, handle)
