"""Pictures made of pictures: mosaics of tiles with labels, heat maps, boxes. All arrays are RGB uint8."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from zfnet.core.files import atomic_write
from zfnet.plots.font import load_font, shorten, text_width

PAPER, INK = (255, 255, 255), (40, 40, 44)
ACCENT, TRUTH = (230, 85, 40), (255, 255, 255)  # predicted box, true box
CUT = 0.995  # quantile at which the contrast of a deconvnet's projections is cut off [NS]


def contrast(x: np.ndarray, quantile: float = 1.0) -> np.ndarray:
    """Signed maps (..., h, w, 3) as pictures: x / (2 max |x|) + 1/2 for each image, zero is mid grey ([K17] Fig. 6).

    quantile: of |x| where it is not 0, that takes the place of the maximum; what exceeds it is cut off. What is not
    finite is gray.
    """
    x = np.asarray(x, dtype=np.float64)
    x = np.where(np.isfinite(x), x, 0.0)
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
    height = scale * max(shape[0] for shape in shapes)
    width = scale * max(shape[1] for shape in shapes)
    rows, columns = len(tiles), max(len(row) for row in tiles)
    size = min(13, max(9, width // 9))  # px of the letters
    left = 10 + math.ceil(max(text_width(label, size) for label in row_labels)) if row_labels else gap
    top = (size + 6 if column_labels else 0) + gap
    canvas = np.full((top + rows * (height + gap), left + columns * (width + gap), 3), background, dtype=np.uint8)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            y, x = top + i * (height + gap), left + j * (width + gap)
            if tile is not None:
                block = enlarge(tile, scale)
                canvas[y : y + block.shape[0], x : x + block.shape[1]] = block
            if i == 0 and column_labels:
                write_text(canvas, shorten(column_labels[j], size, width), (x, top - gap - 5), size)
        if row_labels:
            write_text(canvas, row_labels[i], (4, top + i * (height + gap) + height // 2 + 4), size)
    return canvas


def headed(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture (h, w, 3) below a line of text, (h + 18, w, 3)."""
    canvas = np.full((picture.shape[0] + 18, picture.shape[1], 3), PAPER, dtype=np.uint8)
    canvas[18:] = picture
    write_text(canvas, text, (2, 14))
    return canvas


def heatmap(values: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """(h, w) values as viridis colors (h, w, 3) between `low` and `high` (default: the extremes)."""
    values = np.asarray(values, dtype=np.float64)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    grey = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    image = cv2.applyColorMap(np.round(255 * grey).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def signed_heatmap(values: np.ndarray) -> np.ndarray:
    """(h, w) signed values from blue over white to red, divided by the largest magnitude ([K17] heat maps)."""
    values = np.asarray(values, dtype=np.float64)
    scaled = values / max(float(np.abs(values).max()), 1e-12)
    red, blue = np.array([200.0, 30.0, 30.0]), np.array([30.0, 60.0, 190.0])
    color = np.where(scaled[..., None] >= 0, red, blue)
    return np.round(255 + (color - 255) * np.abs(scaled)[..., None]).astype(np.uint8)


def draw_box(
    image: np.ndarray, box: Sequence[float], color: tuple[int, int, int] = ACCENT, thickness: int = 1
) -> np.ndarray:
    """A copy of `image` with the box x0 y0 x1 y1 (inclusive pixels of this image) outlined."""
    copy = np.ascontiguousarray(image).copy()
    x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
    cv2.rectangle(copy, (x0, y0), (x1, y1), color, thickness)
    return copy


def write_text(
    canvas: np.ndarray, text: str, at: tuple[int, int], size: int = 12, color: tuple[int, int, int] = INK
) -> None:
    """Write one line of `size` px letters on the canvas in place, its baseline starting at (x, y)."""
    line = " ".join(text.split())
    rows = slice(max(at[1] - 2 * size, 0), at[1] + size)
    band = Image.fromarray(canvas[rows])
    ImageDraw.Draw(band).text((at[0], at[1] - rows.start), line, color, load_font(size), anchor="ls")
    canvas[rows] = band


def write(path: Path, image: np.ndarray) -> None:
    """Write an RGB picture atomically, as PNG or JPEG by the suffix. Raises UserError where it cannot be written."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if path.suffix in (".jpg", ".jpeg") else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    done, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image[:, :, ::-1]), options)
    if not done:
        raise ValueError(f"{path}: OpenCV cannot encode this picture")
    with atomic_write(path) as temporary:  # written here, since OpenCV does not say why it wrote nothing
        temporary.write_bytes(encoded.tobytes())
