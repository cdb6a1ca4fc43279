"""Colours and surface textures.

A texture is a periodic 256 x 256 tile, made once per process from a fixed seed and then sampled at any place, scale and
rotation by an affine warp: cheap, and independent of how pictures are spread over processes. Two sorts:

- grains, zero-mean in about -1..1, multiply a colour (fur, bark, metal, plaster, ...);
- patterns, 0..1, mix two colours (stripes, spots, patches, bricks, planks, ...).

Colours are RGB float32 in 0..1. Every class draws from the same two palettes, so that colour does not name the class.
"""

from functools import cache

import cv2
import numpy as np

TILE = 256  # pixels; one unit of an object spans TILE / 2 of them at density 1

NATURAL = "c98b4e 8a5a3b 5b4636 d9c3a0 a7a29b 6d6f75 efe6d8 3a3634 b5651d cbb28a 94765a 7d8a96 a8562f e3cfa9"
VIVID = "c8453b e0883a e8c24a 5f9e5c 3d7d7a 4a78b5 7a5fa3 d67f9e 2f4b6e 9fbf8f c9d4dc 8fb8d0 b33f62 f0d9a8"
FOLIAGE = "4f7a3a 6b8f45 8a9f4a 3c6446 a5a04a c28a3a b5562f 5f8f6e 7d9a6a d3a9b4 9a7f4a dfe3e0"
SKIES = "8fb8de b9d3e8 d6e2ea e8d3b8 e9b89a 9aa7b5 c4cdd4 6f93c0 d9c7d6 f0e2c8"
EARTH = "7f9a55 9aa860 6f8a4a b8a76a a58a62 8c7458 c9b68c d8cfae 76826a e4e6e6"


def rgb(code: str) -> np.ndarray:
    """The colour of a six-digit hex code, (3,) float32 in 0..1."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255


@cache
def palette(codes: str) -> np.ndarray:
    """The colours of a string of hex codes, (n, 3)."""
    return np.stack([rgb(code) for code in codes.split()])


def pick(rng: np.random.Generator, codes: str) -> np.ndarray:
    """A colour of the palette, a little off."""
    colours = palette(codes)
    colour = colours[rng.integers(len(colours))]
    tint = rng.uniform(-0.035, 0.035, 3).astype(np.float32)
    return np.clip(colour * np.float32(rng.uniform(0.85, 1.12)) + tint, 0.03, 0.97)


def any_colour(rng: np.random.Generator, natural: float) -> np.ndarray:
    """A colour of the natural palette with the given probability, else a vivid one."""
    return pick(rng, NATURAL if rng.random() < natural else VIVID)


def tone(colour: np.ndarray, amount: float) -> np.ndarray:
    """The colour mixed with white (amount > 0) or black (amount < 0)."""
    target = np.float32(1.0 if amount > 0 else 0.0)
    return colour + np.float32(abs(amount)) * (target - colour)


def mix(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """The first colour with a share of the second."""
    return first + np.float32(share) * (second - first)


def apart(rng: np.random.Generator, colour: np.ndarray, natural: float) -> np.ndarray:
    """A colour whose lightness differs visibly from the given one."""
    other = any_colour(rng, natural)
    gap = float(other.mean() - colour.mean())
    if abs(gap) > 0.18:
        return other
    return tone(other, -0.4 if colour.mean() > 0.5 else 0.45)


def _noise(seed: int, x_period: float, y_period: float, octave: float = 0.5) -> np.ndarray:
    """Periodic Gaussian noise with most power near the given periods (tile pixels); unit variance."""
    rng = np.random.default_rng([7919, seed])
    fx = np.abs(np.fft.fftfreq(TILE))[None, :] * x_period
    fy = np.abs(np.fft.fftfreq(TILE))[:, None] * y_period
    radius = np.maximum(np.hypot(fx, fy), 1e-6)
    gain = np.exp(-(np.log(radius) ** 2) / (2 * octave**2))
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((TILE, TILE))) * gain).real
    return field / field.std()


def _grain(*layers: np.ndarray) -> np.ndarray:
    field = sum(layers)
    return np.clip(field / (2.2 * np.std(field)), -1, 1)


def _step(field: np.ndarray, softness: float = 0.15) -> np.ndarray:
    return np.clip(0.5 + field / (2 * softness), 0, 1)


def _axes() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:TILE, 0:TILE] / TILE
    return x, y


def _courses(rows: int, columns: int, joint: float, shift: float) -> np.ndarray:
    """Bricks, planks or tiles: 0 in the joints, a level of its own (0.55..1) in each brick."""
    x, y = _axes()
    row = np.floor(y * rows).astype(int)
    along = (x + shift * (row % 2) / columns) % 1.0
    column = np.floor(along * columns).astype(int)
    level = np.random.default_rng([7919, rows, columns]).uniform(0.55, 1.0, (rows, columns))[row, column]
    u, v = (along * columns) % 1, (y * rows) % 1
    inside = (u > joint * columns / rows) & (v > joint)
    return level * inside


def _scallops(rows: int) -> np.ndarray:
    x, y = _axes()
    row = np.floor(y * rows)
    u = (x * rows + 0.5 * (row % 2)) % 1 - 0.5
    v = (y * rows) % 1
    return np.clip(1.25 - np.hypot(u * 1.5, v), 0.15, 1)


def _checks(count: int) -> np.ndarray:
    x, y = _axes()
    return 0.5 * ((x * count % 1) > 0.5) + 0.5 * ((y * count % 1) > 0.5)


def _bands(count: int, wobble: float, seed: int) -> np.ndarray:
    x, _ = _axes()
    return np.sin(2 * np.pi * (count * x + wobble * _noise(seed, 110, 110)))


_MAKERS = {
    "fur": lambda: _grain(_noise(1, 7, 34), 0.8 * _noise(2, 40, 50)),
    "wool": lambda: _grain(_noise(3, 16, 16, 0.25), 0.4 * _noise(4, 6, 6)),
    "feather": lambda: _grain(_scallops(14) * 3 - 2, 0.3 * _noise(5, 8, 20)),
    "bark": lambda: _grain(_noise(6, 9, 60), 0.6 * _noise(7, 30, 40)),
    "metal": lambda: _grain(_noise(8, 160, 12), 0.4 * _noise(9, 90, 5)),
    "plaster": lambda: _grain(_noise(10, 8, 8), 0.8 * _noise(11, 70, 70)),
    "leaves": lambda: _grain(_noise(12, 18, 13, 0.3), 0.8 * _noise(13, 50, 50)),
    "grass": lambda: _grain(_noise(14, 5, 22), 0.7 * _noise(15, 60, 40)),
    "cloud": lambda: _grain(_noise(16, 150, 90, 0.6), 0.4 * _noise(17, 50, 40)),
    "stone": lambda: _grain(_noise(18, 28, 24), 0.6 * _noise(19, 9, 9)),
    "plain": lambda: _grain(_noise(20, 100, 100)),
    "stripes": lambda: _step(_bands(9, 0.16, 21), 0.4),
    "bands": lambda: _step(_bands(4, 0.10, 22), 0.3),
    "spots": lambda: _step(_noise(23, 26, 26, 0.2) - 0.85, 0.2),
    "rosettes": lambda: _step(0.35 - np.abs(_noise(24, 34, 34, 0.2) - 0.9), 0.15),
    "patches": lambda: _step(_noise(25, 110, 110, 0.35) - 0.15, 0.12),
    "mottle": lambda: np.clip(0.5 + 0.3 * _noise(26, 40, 40), 0, 1),
    "bricks": lambda: _courses(14, 7, 0.16, 0.5),
    "planks": lambda: _courses(10, 2, 0.10, 0.5),
    "boards": lambda: _courses(2, 10, 0.02, 0.0).T,
    "tiles": lambda: _courses(8, 8, 0.09, 0.0),
    "shingles": lambda: _scallops(12),
    "checks": lambda: _checks(8),
    "wood": lambda: np.clip(0.5 + 0.35 * _bands(7, 0.35, 27) + 0.15 * _noise(28, 5, 60), 0, 1),
    "dots": lambda: _step(0.28 - np.hypot(*[(a * 10) % 1 - 0.5 for a in _axes()]), 0.08),
}


@cache
def tile(name: str) -> np.ndarray:
    """The texture called `name`, (256, 256) float32, periodic."""
    return np.ascontiguousarray(_MAKERS[name](), np.float32)


def sample(name: str, to_tile: np.ndarray, width: int, height: int) -> np.ndarray:
    """The texture seen through an affine map (2, 3) from picture pixels to tile pixels, (height, width)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(tile(name), to_tile, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)
