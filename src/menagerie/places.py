"""Buildings, plants and household things of the ILSVRC-layout set: three of each."""

import numpy as np

from menagerie.faces import DARK, LIGHT
from menagerie.outlines import blob, box, circle, curve, ellipse, petal, scalloped, shaggy, star
from menagerie.pen import Paint, Pen
from menagerie.surface import FOLIAGE, any_colour, apart, mix, pick, tone

WALLS = ("bricks", "planks", "boards", "tiles", None, None, "mottle")
ROOFS = ("shingles", "tiles", "boards", "planks")
WINDOWS = "3a4650 5a7080 f2d88a 2e3238 8fa8b4 e8b85a"


def wall_paint(rng: np.random.Generator) -> Paint:
    """Bricks, boards, tiles or plaster in any colour."""
    colour = any_colour(rng, 0.65)
    pattern = WALLS[rng.integers(len(WALLS))]
    second, colour = colour, tone(colour, 0.3 if rng.random() < 0.5 else -0.35)
    return Paint(colour, "plaster", rng.uniform(0.1, 0.25), pattern, second, rng.uniform(0.7, 1.2))


def roof_paint(rng: np.random.Generator) -> Paint:
    """Shingles, tiles, boards in any colour."""
    colour = any_colour(rng, 0.55)
    return Paint(tone(colour, -0.45), "plaster", 0.2, ROOFS[rng.integers(4)], colour, rng.uniform(0.8, 1.3))


def draw_window(
    pen: Pen, x: float, y: float, half: float, high: float, glass: np.ndarray, frame: np.ndarray, arched: bool
) -> None:
    """A window with a frame and glazing bars."""
    pane = box(x - half, y - high, x + half, y + high)
    if arched:
        pane = np.concatenate(
            [
                pane[2:],
                np.stack(
                    [x - half * np.cos(np.linspace(0, np.pi, 9)), y - high - half * np.sin(np.linspace(0, np.pi, 9))], 1
                ),
            ]
        )
    pen.fill((pane - pane.mean(0)) * 1.28 + pane.mean(0), frame)
    pen.fill(pane, Paint(glass, "plain", 0.3))
    pen.stroke([(x, y - high), (x, y + high)], 0.022, frame)
    pen.stroke([(x - half, y), (x + half, y)], 0.022, frame)


def draw_house(pen: Pen) -> None:
    """A house: walls, a gable or hipped roof, a door, windows, perhaps a chimney and a side wall."""
    rng = pen.rng
    wall, roof, frame, glass = wall_paint(rng), roof_paint(rng), tone(any_colour(rng, 0.6), 0.45), pick(rng, WINDOWS)
    half, eaves, base, ridge = rng.uniform(0.5, 0.75), rng.uniform(-0.3, 0.0), 0.75, -rng.uniform(0.7, 0.95)
    side = rng.uniform(0.2, 0.45) if rng.random() < 0.6 else 0.0
    if rng.random() < 0.6:
        x = rng.uniform(-0.3, 0.4) * half
        pen.fill(
            box(x, ridge - 0.08, x + 0.18, eaves),
            Paint(pick(rng, "a8562f 8a7a6a 6d6f75"), None, 0, "bricks", tone(wall.colour, -0.3)),
            relief=0.3,
        )
    if side:
        pen.fill(
            [(half, eaves), (half + side, eaves + 0.06), (half + side, base - 0.1), (half, base)], wall.tone(-0.35)
        )
        pen.fill(
            [(0.0, ridge), (side + 0.1, ridge + 0.03), (half + side + 0.07, eaves + 0.1), (half + 0.05, eaves + 0.04)],
            roof.tone(-0.2),
        )
    pen.fill(box(-half, eaves, half, base), wall, relief=0.2)
    flat = rng.uniform(0.0, 0.35) * half * (0 if side else 1)
    pen.fill(
        [(-half, eaves + 0.02), (-flat, ridge + 0.05), (flat, ridge + 0.05), (half, eaves + 0.02)],
        wall if side else roof,
        relief=0.25,
    )
    if side:
        pen.stroke([(-half - 0.08, eaves + 0.06), (0, ridge), (half + 0.08, eaves + 0.06)], 0.09, roof)
    door = rng.uniform(-0.3, 0.3) * half
    pen.fill(box(door - 0.12, base - 0.42, door + 0.12, base), frame)
    pen.fill(box(door - 0.09, base - 0.39, door + 0.09, base), Paint(any_colour(rng, 0.5), "wood", 0.3))
    for x in (-0.62, 0.62):
        draw_window(pen, x * half, base - 0.32, 0.11, 0.12, glass, frame, False)
    if eaves < -0.1 or side:
        for x in (-0.55, 0.0, 0.55) if eaves < -0.1 else (0.0,):
            draw_window(pen, x * half, eaves + 0.12 if eaves < -0.1 else eaves - 0.1, 0.09, 0.1, glass, frame, False)


def draw_church(pen: Pen) -> None:
    """A church: a nave and a tower with a spire or a dome."""
    rng = pen.rng
    wall, roof, glass = wall_paint(rng), roof_paint(rng), pick(rng, WINDOWS)
    frame = tone(wall.colour, -0.4 if rng.random() < 0.5 else 0.5)
    tower, width, top, base = -rng.uniform(0.35, 0.6), rng.uniform(0.2, 0.28), -rng.uniform(0.15, 0.4), 0.8
    nave_end, nave_top = rng.uniform(0.6, 0.95), rng.uniform(0.05, 0.2)
    pen.fill(
        [
            (tower, nave_top),
            (tower + 0.2, nave_top - 0.35),
            (nave_end - 0.15, nave_top - 0.35),
            (nave_end + 0.05, nave_top + 0.02),
        ],
        roof,
        relief=0.2,
    )
    pen.fill(box(tower, nave_top, nave_end, base), wall.tone(-0.12), relief=0.15)
    for x in np.linspace(tower + width + 0.2, nave_end - 0.16, 3):
        draw_window(pen, x, 0.46, 0.07, 0.14, glass, frame, True)
    pen.fill(box(tower - width, top, tower + width, base), wall, relief=0.3)
    peak = top - rng.uniform(0.4, 0.6)
    if rng.random() < 0.7:
        pen.fill([(tower - width * 1.15, top), (tower, peak), (tower + width * 1.15, top)], roof, relief=0.3)
    else:
        pen.fill(
            curve(
                [
                    (tower - width, top),
                    (tower - width * 1.1, top - 0.16),
                    (tower, peak),
                    (tower + width * 1.1, top - 0.16),
                    (tower + width, top),
                ],
                4,
            ),
            roof,
            relief=0.6,
        )
    pen.stroke([(tower, peak - 0.16), (tower, peak + 0.02)], 0.035, DARK)
    pen.stroke([(tower - 0.06, peak - 0.1), (tower + 0.06, peak - 0.1)], 0.035, DARK)
    draw_window(pen, tower, top + 0.2, 0.07, 0.1, glass, frame, True)
    pen.fill(circle() * 0.11 + (tower, top + 0.5), frame)
    pen.fill(circle() * 0.08 + (tower, top + 0.5), glass)
    pen.fill(star(tower, top + 0.5, 0.08, 0.03, 6), frame)
    draw_window(pen, tower, base - 0.12, 0.09, 0.12, any_colour(rng, 0.8), frame, True)


def draw_tower(pen: Pen) -> None:
    """A block of flats or offices: a tall wall with a grid of windows, seen over a corner or from the front."""
    rng = pen.rng
    wall, glass = wall_paint(rng), pick(rng, WINDOWS)
    half, top, base = rng.uniform(0.3, 0.48), -rng.uniform(0.8, 1.0), 0.9
    side = rng.uniform(0.15, 0.35) if rng.random() < 0.6 else 0.0
    x0 = -half - side / 2
    if side:
        pen.fill(
            [
                (half - side / 2, top),
                (half + side / 2, top + 0.09),
                (half + side / 2, base - 0.08),
                (half - side / 2, base),
            ],
            wall.tone(-0.4),
        )
    pen.fill(box(x0, top, half - side / 2, base), wall, relief=0.2)
    rows, columns = int(rng.integers(5, 9)), int(rng.integers(3, 6))
    lit, dark = pick(rng, "f2d88a e8b85a f0ead8 b8d0dc"), tone(glass, -0.3)
    fill_x, fill_y = rng.uniform(0.28, 0.46), rng.uniform(0.25, 0.42)
    step_x, step_y = 2 * half / columns, (base - top - 0.2) / rows
    for row in range(rows):
        for column in range(columns):
            x, y = x0 + (column + 0.5) * step_x, top + 0.1 + (row + 0.5) * step_y
            pen.fill(
                box(x - fill_x * step_x, y - fill_y * step_y, x + fill_x * step_x, y + fill_y * step_y),
                lit if rng.random() < 0.25 else dark,
            )
        if side:
            y = top + 0.16 + (row + 0.5) * step_y
            pen.fill(
                [
                    (half - side * 0.35, y - fill_y * step_y),
                    (half + side * 0.35, y - fill_y * step_y + 0.03),
                    (half + side * 0.35, y + fill_y * step_y),
                    (half - side * 0.35, y + fill_y * step_y),
                ],
                dark,
            )
    pen.fill(box(x0 - 0.04, top - 0.05, half - side / 2 + 0.04, top + 0.03), wall.tone(-0.25))
    if rng.random() < 0.5:
        pen.stroke([(0, top - 0.2), (0, top)], 0.03, DARK)
    pen.fill(box(-0.1 - side / 2, base - 0.16, 0.1 - side / 2, base), dark)


def draw_daisy(pen: Pen) -> None:
    """A daisy-like flower: petals around a button, seen from some angle, on a leafy stem."""
    rng = pen.rng
    stem = Paint(pick(rng, FOLIAGE), "grass", 0.3)
    tilt, y, size = rng.uniform(0.5, 1.0), -rng.uniform(0.2, 0.4), rng.uniform(0.5, 0.65)
    bend = rng.uniform(-0.3, 0.3)
    pen.limb(
        curve([(bend, 1.05), (bend * 0.9, 0.5), (0, y)], 5, closed=False),
        (0.045, 0.045, 0.042, 0.042, 0.04, 0.04, 0.04, 0.04, 0.04, 0.035),
        stem,
    )
    for side in (-1, 1):
        pen.fill(
            petal(
                bend * 0.8,
                rng.uniform(0.5, 0.85),
                -np.pi / 2 + side * rng.uniform(0.5, 1.1),
                rng.uniform(0.35, 0.6),
                0.11,
            ),
            stem.tone(rng.uniform(-0.2, 0.2)),
            relief=0.4,
        )
    colour = any_colour(rng, 0.3)
    colour = tone(colour, rng.uniform(0, 0.6))
    count, wide, start = int(rng.integers(8, 19)), rng.uniform(1.4, 2.4), rng.uniform(0, 6)
    for ring, reach in ((0, 1.0), (1, 0.8)) if rng.random() < 0.6 else ((0, 1.0),):
        for k in range(count):
            angle = start + (k + 0.5 * ring) * 2 * np.pi / count
            leaf = petal(0, 0, angle, size * reach * rng.uniform(0.88, 1.08), size * wide / count) * (1, tilt) + (0, y)
            pen.fill(leaf, tone(colour, rng.uniform(-0.16, 0.1) + 0.1 * ring), relief=0.35)
    button = any_colour(rng, 0.6)
    pen.fill(
        ellipse(0, y, size * 0.3, size * 0.3 * tilt),
        Paint(tone(button, -0.3), "wool", 0.4, "dots", button, 2.5),
        relief=0.6,
    )


def draw_oak(pen: Pen) -> None:
    """A broad-leaved tree: trunk, branches and a crown of clumps, sometimes with fruit."""
    rng = pen.rng
    bark = Paint(pick(rng, "6b4f3a 54453a 8a7a6a 7a5a3a a89a8a"), "bark", 0.45)
    foot, crown = rng.uniform(0.09, 0.15), rng.uniform(-0.35, -0.1)
    pen.limb([(0, 1.0), (rng.normal(0, 0.04), 0.4), (0, crown)], (foot * 1.5, foot, foot * 0.7), bark)
    for side in (-1, 1):
        pen.limb([(0, 0.4), (side * 0.25, 0.1), (side * 0.45, -0.15)], (foot * 0.6, foot * 0.5, 0.03), bark.tone(-0.1))
    leaf = pick(rng, FOLIAGE)
    wide, high = rng.uniform(0.55, 0.85), rng.uniform(0.45, 0.65)
    clumps = sorted(rng.uniform((-1, -1), (1, 1), (int(rng.integers(6, 10)), 2)), key=lambda p: p[1])
    for x, y in clumps:
        size = rng.uniform(0.24, 0.36)
        paint = Paint(tone(leaf, rng.uniform(-0.25, 0.2)), "leaves", 0.45, density=rng.uniform(0.8, 1.3))
        pen.fill(
            scalloped(x * wide * 0.75, crown + y * high * 0.7, size * 1.2, size, int(rng.integers(7, 11)), 0.22),
            paint,
            relief=0.55,
        )
    if rng.random() < 0.35:
        fruit = any_colour(rng, 0.2)
        for x, y in rng.uniform((-wide * 0.8, crown - high * 0.7), (wide * 0.8, crown + high * 0.7), (9, 2)):
            pen.fill(circle(12) * 0.055 + (x, y), fruit, relief=0.5, inside=True)


def draw_fir(pen: Pen) -> None:
    """A conifer: tiers of needles, sometimes with snow or cones."""
    rng = pen.rng
    pen.fill(box(-0.08, 0.6, 0.08, 1.0), Paint(pick(rng, "6b4f3a 54453a 8a7a6a"), "bark", 0.45), relief=0.4)
    needles = Paint(pick(rng, FOLIAGE), "grass", 0.45, density=rng.uniform(0.8, 1.4))
    tiers, wide = int(rng.integers(3, 6)), rng.uniform(0.45, 0.75)
    snow = rng.random() < 0.25
    for tier in range(tiers):
        low = 0.75 - 1.45 * tier / tiers
        half = wide * (1 - 0.72 * tier / tiers)
        high = 1.45 / tiers * 1.55
        teeth = np.linspace(half, -half, 11)
        hem = np.stack(
            [teeth, low + 0.07 * (np.arange(11) % 2) + rng.uniform(-0.02, 0.02, 11) - 0.1 * np.abs(teeth / half)], 1
        )
        pen.fill(np.concatenate([[(0, low - high)], hem]), needles.tone(0.1 * (tier / tiers) - 0.1), relief=0.45)
        if snow:
            pen.fill(
                blob(rng, rng.uniform(-0.3, 0.3) * half, low - 0.3 * high, half * 0.6, 0.07),
                LIGHT,
                inside=True,
                relief=0.3,
            )
    if rng.random() < 0.35:
        bauble = any_colour(rng, 0.1)
        for y in rng.uniform(-0.5, 0.65, 8):
            pen.fill(
                circle(12) * 0.045 + (rng.uniform(-0.5, 0.5) * wide * (y + 0.8), y), bauble, inside=True, relief=0.5
            )


def glaze(rng: np.random.Generator) -> Paint:
    """Pottery: glaze with a pattern."""
    colour = any_colour(rng, 0.5)
    pattern = [None, None, "dots", "bands", "spots", "checks", "stripes", "patches"][rng.integers(8)]
    return Paint(colour, "plain", 0.2, pattern, apart(rng, colour, 0.4), rng.uniform(0.6, 1.2))


def draw_teapot(pen: Pen) -> None:
    """A teapot: belly, spout, handle, lid."""
    rng, paint = pen.rng, glaze(pen.rng)
    wide, high = rng.uniform(0.5, 0.62), rng.uniform(0.38, 0.55)
    pen.stroke(ellipse(wide + 0.05, 0.1, 0.28, 0.3), 0.1, paint.tone(-0.15), closed=True)
    reach = rng.uniform(0.3, 0.42)
    spout = curve([(-wide * 0.7, 0.35), (-wide - 0.12, 0.15), (-wide - reach, -0.25)], 5, closed=False)
    pen.limb(spout, np.linspace(0.18, 0.06, len(spout)), paint.tone(-0.1))
    pen.fill(box(-wide * 0.6, 0.2 + high * 0.85, wide * 0.6, 0.28 + high), paint.tone(-0.35))
    pen.fill(ellipse(0, 0.2, wide, high), paint, relief=0.75)
    pen.fill(ellipse(0, 0.2 - high * 0.86, wide * 0.55, 0.13), paint.tone(-0.3))
    pen.fill(ellipse(0, 0.16 - high * 0.9, wide * 0.5, 0.13), paint.tone(0.1), relief=0.5)
    pen.fill(circle() * 0.085 + (0, 0.0 - high * 0.95), paint.tone(-0.2), relief=0.7)
    pen.fill(ellipse(0.3 * pen.light[0], 0.2 + 0.45 * high * pen.light[1], 0.1, 0.06, 0.6), LIGHT, opacity=0.7)


def draw_mug(pen: Pen) -> None:
    """A mug: a cylinder with a handle, sometimes steaming."""
    rng, paint = pen.rng, glaze(pen.rng)
    half, high, taper = rng.uniform(0.42, 0.55), rng.uniform(0.5, 0.7), rng.uniform(0.75, 1.05)
    open_ = rng.uniform(0.07, 0.2)
    pen.stroke(ellipse(half * 0.95, 0.1, 0.32, 0.34 * high / 0.6), 0.12, paint.tone(-0.15), closed=True)
    t = np.linspace(0, np.pi, 12)
    base = np.stack([half * taper * np.cos(t), high + open_ * np.sin(t)], 1)
    rim = np.stack([-half * np.cos(t), -high - 0.0 * t], 1)
    pen.fill(np.concatenate([base, rim]), paint, relief=0.7)
    pen.fill(ellipse(0, -high, half, open_), paint.tone(0.35))
    pen.fill(ellipse(0, -high + 0.02, half * 0.88, open_ * 0.8), tone(any_colour(rng, 0.9), -0.45))
    if rng.random() < 0.4:
        for x in (-0.15, 0.15):
            wisp = curve([(x, -high - 0.1), (x + 0.08, -high - 0.25), (x - 0.04, -high - 0.4)], 5, closed=False)
            pen.stroke(wisp, 0.05, LIGHT, opacity=0.45)
    pen.fill(box(-half * 0.7, -high * 0.6, -half * 0.55, high * 0.7, 0.05), LIGHT, opacity=0.4)


def draw_chair(pen: Pen) -> None:
    """A chair: four legs, a seat and a back of slats, rungs or cloth."""
    rng = pen.rng
    colour = any_colour(rng, 0.7)
    wood = Paint(tone(colour, -0.3), "bark", 0.2, "wood", colour, rng.uniform(0.6, 1.2))
    half, seat, depth, top = (
        rng.uniform(0.36, 0.5),
        rng.uniform(0.1, 0.25),
        rng.uniform(0.12, 0.25),
        -rng.uniform(0.7, 0.95),
    )
    skew = rng.uniform(-0.2, 0.2)
    thick = rng.uniform(0.04, 0.07)
    for x in (-half, half):
        pen.limb(
            [(x + skew, top), (x + skew, seat), (x * 0.95 + skew, 0.78)], (thick, thick, thick * 0.8), wood.tone(-0.2)
        )
    if rng.random() < 0.5:
        for y in np.linspace(top + 0.1, seat - 0.25, int(rng.integers(2, 5))):
            pen.fill(box(-half + skew, y - 0.06, half + skew, y + 0.06, 0.03), wood, relief=0.4)
    elif rng.random() < 0.5:
        for x in np.linspace(-half * 0.7, half * 0.7, int(rng.integers(3, 6))):
            pen.limb([(x + skew, top + 0.05), (x + skew, seat - depth)], (0.045, 0.045), wood)
        pen.fill(box(-half - 0.04 + skew, top - 0.05, half + 0.04 + skew, top + 0.1, 0.05), wood, relief=0.4)
    else:
        pen.fill(box(-half - 0.05 + skew, top, half + 0.05 + skew, seat - 0.1, 0.12), glaze(rng), relief=0.5)
    cushion = glaze(rng) if rng.random() < 0.5 else wood
    pen.fill(
        [
            (-half + skew, seat - depth),
            (half + skew, seat - depth),
            (half * 1.1, seat + depth),
            (-half * 1.1, seat + depth),
        ],
        cushion,
        relief=0.3,
    )
    pen.fill(box(-half * 1.1, seat + depth, half * 1.1, seat + depth + 0.09), wood.tone(-0.3))
    for x in (-half, half):
        pen.limb([(x * 1.02, seat + depth + 0.05), (x * 1.06, 1.0)], (thick, thick * 0.8), wood)
    pen.stroke([(-half, 0.7), (half, 0.7)], 0.05, mix(wood.colour, DARK, 0.2))
    if rng.random() < 0.2:
        pen.fill(shaggy(ellipse(0, seat, half * 0.5, 0.12), 0.03, rng), any_colour(rng, 0.3), relief=0.4)
