"""Outlines: closed or open rows of points (n, 2), in object units, y down."""

from functools import cache

import numpy as np


@cache
def circle(n: int = 28) -> np.ndarray:
    """The unit circle."""
    angle = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points rotated clockwise (y is down) about the origin; radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(points) @ np.array([[c, s], [-s, c]])


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> np.ndarray:
    """An ellipse about (x, y)."""
    return turned(circle() * (rx, ry), turn) + (x, y)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> np.ndarray:
    """A rectangle, perhaps with round corners."""
    if radius <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    radius = min(radius, abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    ring = circle(24)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    half = np.array([(x1 - x0) / 2 - radius, (y1 - y0) / 2 - radius])
    return centre + np.sign(np.where(np.abs(ring) < 1e-9, 1e-9, ring)) * half + radius * ring


def egg(x: float, y: float, rx: float, ry: float, taper: float) -> np.ndarray:
    """An ellipse that is narrower below (taper > 0) or above (taper < 0)."""
    ring = circle(36)
    return np.stack([x + rx * ring[:, 0] * (1 - taper * ring[:, 1]), y + ry * ring[:, 1]], 1)


def curve(points: object, n: int = 6, closed: bool = True) -> np.ndarray:
    """A smooth curve through points (Catmull-Rom), n points a span."""
    p = np.asarray(points, float)
    if closed:
        a, b, c, d = np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)
    else:
        padded = np.concatenate([p[:1], p, p[-1:]])
        a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, n, endpoint=closed is False)[:, None, None]
    spans = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return spans.transpose(1, 0, 2).reshape(-1, 2)


def shaggy(outline: np.ndarray, amount: float, rng: np.random.Generator, per_edge: int = 2) -> np.ndarray:
    """The outline with tufts: every second point pushed outwards from the middle by up to `amount`."""
    closed = np.concatenate([outline, outline[:1]])
    at = np.arange(len(outline) * per_edge) / per_edge
    dense = np.stack([np.interp(at, np.arange(len(closed)), closed[:, i]) for i in (0, 1)], 1)
    out = dense - dense.mean(0)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    push = rng.uniform(-0.25, 1.0, len(dense)) * amount
    push[::2] *= -0.3
    return dense + out * push[:, None]


def blob(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, rough: float = 0.15) -> np.ndarray:
    """A smooth irregular round shape."""
    ring = circle(9) * (1 + rng.uniform(-rough, rough, (9, 1)))
    return curve(ring * (rx, ry) + (x, y), 4)


def scalloped(x: float, y: float, rx: float, ry: float, n: int, depth: float) -> np.ndarray:
    """A cloud-like outline of n bumps."""
    angle = np.arange(8 * n) * (2 * np.pi / (8 * n))
    radius = 1 + depth * np.abs(np.sin(angle * n / 2))
    return np.stack([x + rx * radius * np.cos(angle), y + ry * radius * np.sin(angle)], 1)


def star(x: float, y: float, outer: float, inner: float, n: int, turn: float = 0.0) -> np.ndarray:
    """A star of n points."""
    ring = circle(2 * n) * np.where(np.arange(2 * n) % 2, inner, outer)[:, None]
    return turned(ring, turn - np.pi / 2) + (x, y)


def petal(x: float, y: float, angle: float, length: float, width: float) -> np.ndarray:
    """A petal or leaf that grows from (x, y)."""
    along = np.linspace(0, 1, 8)
    half = width * np.sin(np.pi * along**0.8)
    sides = np.concatenate([np.stack([along * length, half], 1), np.stack([along * length, -half], 1)[::-1]])
    return turned(sides, angle) + (x, y)
