"""A pen that draws one object on a transparent layer, in the object's own units.

An object is drawn around (0, 0), x to the right and y down, about -1..1 in both; `matrix` (2, 3) takes its units to
pixels. Shapes are antialiased polygons laid over each other (premultiplied alpha; planes (3, h, w), on which numpy is
several times faster than on interleaved colours). A shape may be given `relief`: it is then lit as if it bulged towards
the viewer, light = 1 + relief * <normal, light>, the normal being the gradient of its blurred outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from menagerie import surface

RELIEF_CELLS = 24  # the relief is smooth: computed on a coarse grid and enlarged
RELIEF_BORDER = 6
SUBPIXEL = 4  # bits of cv2's fixed-point coordinates

Points = Sequence[Sequence[float]] | np.ndarray


@dataclass(frozen=True)
class Paint:
    """A colour, perhaps with a pattern in a second colour, perhaps with grain; densities are per object unit."""

    colour: np.ndarray
    grain: str | None = None
    depth: float = 0.25  # of the grain
    pattern: str | None = None
    second: np.ndarray | None = None
    density: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def tone(self, amount: float) -> Paint:
        """The same paint, lighter (amount > 0) or darker."""
        second = None if self.second is None else surface.tone(self.second, amount)
        return Paint(
            surface.tone(self.colour, amount), self.grain, self.depth, self.pattern, second, self.density, self.shift
        )

    def spread(self, to_units: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
        """The paint on a rectangle of pixels: (3, height, width), or (3, 1, 1) where it is one flat colour."""
        colour = self.colour[:, None, None]
        if self.grain is None and self.pattern is None:
            return colour
        to_tile = to_units * (surface.TILE / 2 * self.density)
        to_tile[:, 2] += to_tile[:, :2] @ (left, top) + self.shift
        if self.pattern is not None and self.second is not None:
            share = surface.sample(self.pattern, to_tile, width, height)
            colour = colour + share * (self.second[:, None, None] - colour)
        if self.grain is not None:
            colour = colour * (1 + self.depth * surface.sample(self.grain, to_tile, width, height))
        return colour


@dataclass
class Pen:
    """A transparent layer and the place, lighting and turn of the object drawn on it."""

    shape: tuple[int, int]  # height, width
    matrix: np.ndarray  # (2, 3) object units -> pixels
    rng: np.random.Generator
    light: np.ndarray  # (2,) unit vector in the picture, towards the light
    yaw: float = 0.0  # radians: how far the object is turned away from the viewer
    relief: float = 1.0
    marks: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # part -> x, y, radius in pixels

    def __post_init__(self) -> None:
        self.colour: np.ndarray = np.zeros((3, *self.shape), np.float32)
        self.alpha: np.ndarray = np.zeros(self.shape, np.float32)
        self.to_units = cv2.invertAffineTransform(self.matrix)
        self.scale = float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def place(self, points: Points) -> np.ndarray:
        """Pixels of points given in object units, (n, 2)."""
        return np.asarray(points, float) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def mark(self, part: str, at: Points, radius: float) -> None:
        """Remember where a part is: `at` (1, 2) and its radius in object units."""
        ((x, y),) = self.place(at)
        self.marks[part] = (float(x), float(y), radius * self.scale)

    def fill(
        self,
        outline: Points,
        paint: Paint | np.ndarray,
        relief: float = 0.0,
        inside: bool = False,
        opacity: float = 1.0,
    ) -> None:
        """Fill a closed outline; `inside` keeps to what has been drawn already."""
        pixels = self.place(outline)
        window = self._window(pixels, 1)
        if window is None:
            return
        left, top, right, bottom = window
        mask = np.zeros((bottom - top, right - left), np.uint8)
        fixed = np.rint((pixels - (left, top)) * (1 << SUBPIXEL)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SUBPIXEL)
        self._lay(mask, left, top, paint, relief, inside, opacity)

    def stroke(
        self,
        points: Points,
        width: float,
        paint: Paint | np.ndarray,
        closed: bool = False,
        inside: bool = False,
        opacity: float = 1.0,
    ) -> None:
        """Draw a line of the given width (object units)."""
        pixels = self.place(points)
        thick = width * self.scale
        window = self._window(pixels, int(thick) + 2)
        if window is None:
            return
        left, top, right, bottom = window
        mask = np.zeros((bottom - top, right - left), np.uint8)
        fixed = np.rint((pixels - (left, top)) * (1 << SUBPIXEL)).astype(np.int32)
        cv2.polylines(mask, [fixed], closed, 255, max(1, round(thick)), cv2.LINE_AA, SUBPIXEL)
        self._lay(mask, left, top, paint, 0.0, inside, opacity * min(1.0, thick))

    def limb(
        self, points: Points, widths: Sequence[float] | np.ndarray, paint: Paint | np.ndarray, relief: float = 0.35
    ) -> None:
        """Fill a bent band whose width changes along it, with a round end."""
        centre = np.asarray(points, float)
        along = np.gradient(centre, axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        normal = np.stack([-along[:, 1], along[:, 0]], 1) * np.asarray(widths, float)[:, None]
        turn = np.linspace(-np.pi / 2, np.pi / 2, 7)[1:-1, None]
        cap = centre[-1] + widths[-1] * (np.cos(turn) * along[-1] - np.sin(turn) * normal[-1] / max(widths[-1], 1e-9))
        self.fill(np.concatenate([centre + normal, cap, (centre - normal)[::-1]]), paint, relief)

    def _window(self, pixels: np.ndarray, margin: int) -> tuple[int, int, int, int] | None:
        height, width = self.shape
        low, high = np.floor(pixels.min(0)).astype(int) - margin, np.ceil(pixels.max(0)).astype(int) + margin + 1
        left, top, right, bottom = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
        return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None

    def _lay(
        self,
        mask: np.ndarray,
        left: int,
        top: int,
        paint: Paint | np.ndarray,
        relief: float,
        inside: bool,
        opacity: float,
    ) -> None:
        height, width = mask.shape
        window = np.s_[top : top + height, left : left + width]
        cover = mask.astype(np.float32) * np.float32(opacity / 255)
        if inside:
            cover *= self.alpha[window]
        flat = paint if isinstance(paint, Paint) else Paint(paint)
        colour = flat.spread(self.to_units, left, top, width, height)
        if relief:
            colour = colour * (1 + np.float32(relief * self.relief) * bulge(mask, self.light))
        under = self.colour[:, top : top + height, left : left + width]
        under += cover * (colour - under)
        self.alpha[window] += cover * (1 - self.alpha[window])


def bulge(mask: np.ndarray, light: np.ndarray) -> np.ndarray:
    """<normal, light> of the pillow that stands on a mask, about -1..1, same shape as the mask."""
    height, width = mask.shape
    coarse = cv2.resize(mask, (RELIEF_CELLS, RELIEF_CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)
    border = RELIEF_BORDER
    coarse = cv2.copyMakeBorder(
        coarse / max(coarse.max(), 1e-6), border, border, border, border, cv2.BORDER_CONSTANT, value=0
    )
    soft = cv2.GaussianBlur(coarse, (0, 0), 3.2)
    slope = light[0] * cv2.Sobel(soft, cv2.CV_32F, 1, 0) + light[1] * cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    return cv2.resize(-slope[border:-border, border:-border], (width, height), interpolation=cv2.INTER_LINEAR)
