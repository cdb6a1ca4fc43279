"""Pictures made of pictures: mosaics of tiles with labels, heat maps, boxes. All arrays are RGB uint8."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from zfnet.core.files import atomic_write

PAPER, INK = (255, 255, 255), (40, 40, 44)
ACCENT, TRUTH = (230, 85, 40), (255, 255, 255)  # predicted box, true box
SPELLED = str.maketrans({"×": "x", "–": "-", "—": "-", "’": "'", "ß": "ss", "ø": "o", "æ": "ae", "ł": "l"})
_FONT = cv2.FONT_HERSHEY_SIMPLEX


CUT = 0.995  # quantile at which the contrast of a deconvnet's projections is cut off [NS]


def contrast(x: np.ndarray, quantile: float = 1.0) -> np.ndarray:
    """Signed maps (..., h, w, 3) as pictures: x / (2 max |x|) + 1/2 for each image, zero is mid grey ([K17] Fig. 6).

    quantile: of |x| where it is not 0, that takes the place of the maximum; what exceeds it is cut off.
    """
    x = np.asarray(x, dtype=np.float64)
    size = np.abs(x).reshape(*x.shape[:-3], -1)
    peak = size.max(-1)
    if quantile < 1:
        peak = np.nanquantile(np.where((size > 0) | (peak[..., None] == 0), size, np.nan), quantile, axis=-1)
    peak = peak[..., None, None, None]
    return np.round(255 * np.clip(x / np.where(peak > 0, 2 * peak, 1) + 0.5, 0, 1)).astype(np.uint8)


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Each pixel as a `scale` x `scale` block, so that small pictures stay sharp."""
    return np.kron(image, np.ones((scale, scale, 1), dtype=np.uint8)) if scale > 1 else image


def fit(image: np.ndarray, side: int, smooth: bool = True) -> np.ndarray:
    """The picture in a `side` x `side` square, its proportions kept, centred on paper white."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    grows = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else grows)
    square = np.full((side, side, 3), PAPER, dtype=np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = resized
    return square


def mosaic(
    tiles: Sequence[Sequence[np.ndarray | None]],
    scale: int = 1,
    gap: int = 2,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    background: tuple[int, int, int] = PAPER,
) -> np.ndarray:
    """Rows of tiles as one picture (H, W, 3). All tiles have the shape of the largest; None leaves a hole."""
    shapes = [tile.shape[:2] for row in tiles for tile in row if tile is not None]
    height, width = (scale * max(side) for side in zip(*shapes, strict=True))
    rows, columns = len(tiles), max(len(row) for row in tiles)
    size = min(0.45, max(0.3, width / 260))
    left = _label_width(row_labels, size) if row_labels else gap
    top = (_label_height(size) if column_labels else 0) + gap
    canvas = np.full((top + rows * (height + gap), left + columns * (width + gap), 3), background, dtype=np.uint8)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            y, x = top + i * (height + gap), left + j * (width + gap)
            if tile is not None:
                block = enlarge(tile, scale)
                canvas[y : y + block.shape[0], x : x + block.shape[1]] = block
            if i == 0 and column_labels:
                write_text(canvas, _shorten(column_labels[j], width, size), (x, top - gap - 5), size)
        if row_labels:
            write_text(canvas, row_labels[i], (4, top + i * (height + gap) + height // 2 + 4), size)
    return canvas


def heatmap(
    values: np.ndarray, low: float | None = None, high: float | None = None, size: int | None = None
) -> np.ndarray:
    """(h, w) values as viridis colours between `low` and `high` (default: the extremes), enlarged to `size` px."""
    values = np.asarray(values, dtype=np.float64)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    image = cv2.applyColorMap(np.round(255 * grey).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return fit(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), size, smooth=False) if size else image[:, :, ::-1].copy()


def signed_heatmap(values: np.ndarray) -> np.ndarray:
    """(h, w) signed values from blue over white to red, divided by the largest magnitude ([K17] heat maps)."""
    values = np.asarray(values, dtype=np.float64)
    scaled = values / max(float(np.abs(values).max()), 1e-12)
    red, blue = np.array([200.0, 30.0, 30.0]), np.array([30.0, 60.0, 190.0])
    colour = np.where(scaled[..., None] >= 0, red, blue)
    return np.round(255 + (colour - 255) * np.abs(scaled)[..., None]).astype(np.uint8)


def draw_box(
    image: np.ndarray, box: Sequence[float], colour: tuple[int, int, int] = ACCENT, thickness: int = 1
) -> np.ndarray:
    """A copy of `image` with the box x0 y0 x1 y1 (inclusive pixels of this image) outlined."""
    copy = np.ascontiguousarray(image).copy()
    x0, y0, x1, y1 = (int(round(value)) for value in box)
    cv2.rectangle(copy, (x0, y0), (x1, y1), colour, thickness)
    return copy


def write_text(
    canvas: np.ndarray, text: str, at: tuple[int, int], size: float = 0.4, colour: tuple[int, int, int] = INK
) -> None:
    """Write `text` on the canvas in place, its baseline starting at (x, y)."""
    cv2.putText(canvas, spelled(text), at, _FONT, size, colour, 1, cv2.LINE_AA)


def spelled(text: str, beyond: str = "") -> str:
    """The text in ASCII and the letters `beyond` it that a font has: accents dropped, what has no like as "?"."""
    taken_apart = unicodedata.normalize("NFKD", text.translate(SPELLED))
    kept = "".join(letter for letter in taken_apart if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() or letter in beyond else "?" for letter in kept)


def write(path: Path, image: np.ndarray) -> None:
    """Write an RGB picture atomically, as PNG or JPEG by the suffix. Raises UserError where it cannot be written."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if path.suffix in (".jpg", ".jpeg") else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    done, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image[:, :, ::-1]), options)
    if not done:
        raise ValueError(f"{path}: OpenCV cannot encode this picture")
    with atomic_write(path) as temporary:  # written here, since OpenCV does not say why it wrote nothing
        temporary.write_bytes(encoded.tobytes())


def _label_width(labels: Sequence[str], size: float) -> int:
    return 10 + max(cv2.getTextSize(label, _FONT, size, 1)[0][0] for label in labels)


def _label_height(size: float) -> int:
    return cv2.getTextSize("Ag", _FONT, size, 1)[0][1] + 9


def _shorten(text: str, width: int, size: float) -> str:
    while len(text) > 3 and cv2.getTextSize(text, _FONT, size, 1)[0][0] > width:
        text = text[:-2].rstrip() + "."
    return text
