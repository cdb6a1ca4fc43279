"""Where the parts of faces are: a small CSV file, so that anyone's photographs can be used.

    file,part,x,y,radius
    dog_07.jpg,left_eye,211.5,160,14

Coordinates and radius are pixels of the original image; `file` is a path or a bare name as in the data set.
"""

import math
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.cache.images import Images
from zfnet.data.tables import read_table
from zfnet.networks.boxes import to_crop
from zfnet.networks.inputs import Inputs

PARTS = ("left_eye", "right_eye", "nose")
COLUMNS = ["file", "part", "x", "y", "radius"]

Places = dict[str, tuple[float, float, float]]  # part -> x, y, radius


def read_parts(path: Path) -> dict[str, Places]:
    """file -> part -> (x, y, radius) in original pixels, from any table that `zfnet.data.tables` reads.

    Raises UserError naming the file and line.
    """
    rows = read_table(path, 1, f"a row of {','.join(COLUMNS)}", "correspondence.parts")
    if not rows or list(rows[0].cells) != COLUMNS:
        raise UserError(f"{path}, line 1: the first line must be {','.join(COLUMNS)}")
    parts: dict[str, Places] = {}
    for row in rows[1:]:
        file, part, place = _parse(list(row.cells), row.place)
        if part in parts.setdefault(file, {}):
            raise UserError(f"{row.place}: {file} has two places for {part}; keep one")
        parts[file][part] = place
    return parts


def _parse(row: list[str], where: str) -> tuple[str, str, tuple[float, float, float]]:
    if len(row) != len(COLUMNS):
        raise UserError(f"{where}: {len(row)} values, expected {','.join(COLUMNS)}")
    file, part = row[:2]
    if part not in PARTS:
        raise UserError(f"{where}: unknown part {part!r}; known: {', '.join(PARTS)}")
    try:
        x, y, radius = (float(cell) for cell in row[2:])
    except ValueError as error:
        raise UserError(f"{where}: x, y and radius must be numbers ({error})") from error
    if not all(map(math.isfinite, (x, y, radius))) or radius <= 0:
        raise UserError(f"{where}: x and y must be finite and the radius above 0")
    return file, part, (x, y, radius)


def crop_squares(inputs: Inputs, images: Images, row: int, places: Places) -> np.ndarray | None:
    """The squares x0 y0 x1 y1 (parts, 4) over each of PARTS, int pixels of the center crop (inclusive, clipped).

    None where a part is missing or its center lies outside the crop.
    """
    if set(places) != set(PARTS):
        return None
    x, y, radius = np.array([places[part] for part in PARTS]).T
    boxes = np.stack([x - radius, y - radius, x + radius, y + radius], axis=1)
    boxes = to_crop(inputs, images, row, boxes)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    if (centers < 0).any() or (centers > inputs.crop - 1).any():
        return None
    return np.clip(np.rint(boxes), 0, inputs.crop - 1).astype(np.int64)


def faces(inputs: Inputs, images: Images, parts: dict[str, Places]) -> dict[int, np.ndarray]:
    """row -> squares of the images whose three parts can all be seen in the center crop."""
    squares_of = {}
    for row, path in enumerate(images.index.paths):
        places = parts.get(str(path)) or parts.get(Path(str(path)).name)
        squares = crop_squares(inputs, images, row, places) if places else None
        if squares is not None:
            squares_of[row] = squares
    return squares_of
