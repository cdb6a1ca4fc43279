"""Where the boxes of an annotation meet the picture as it is read.

An annotation records the size of the picture that its tool showed. Where that is not the size of the picture as read,
its boxes are of another picture:

- sides swapped, and EXIF turns the file by a quarter: the tool took the other orientation; the boxes are turned;
- the same aspect within a pixel: the file was resized after it was annotated; the boxes are scaled;
- anything else, or a box that lies wholly outside of the picture: an error that names the file.

Boxes that reach out by more than the pixel in which conventions differ (VOC counts from 1) are cut at the border. A
half turn (EXIF 3) and a mirrored file (2, 4) keep the size, so that their boxes are taken as of the picture as read.
"""

from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError

Size = tuple[int, int]  # width, height in px; (0, 0): unknown

_INVERSE = {6: 8, 8: 6}  # of EXIF's quarter turns; the mirrored ones, 5 and 7, are their own


def fit_boxes(
    boxes: np.ndarray, annotated: Size, shape: tuple[int, ...], file: Path, upright: bool
) -> tuple[np.ndarray, str]:
    """(boxes (k, 4) of the picture in `file` as read, what was done to them: "" or a participle).

    annotated: the size that the annotation records; shape: (height, width, ...) of the picture, read `upright` or as
    stored. Raises UserError naming `file` where they do not belong together.
    """
    if not len(boxes):
        return boxes, ""
    picture = (shape[1], shape[0])
    changes: list[str] = []
    if min(annotated) > 0 and annotated != picture:
        boxes, changes = _from_other_size(boxes, annotated, picture, file, upright)
    low, high = boxes[:, :2], boxes[:, 2:]
    if (low > picture).any() or (high < 0).any():
        x0, y0, x1, y1 = boxes[((low > picture) | (high < 0)).any(1)][0]
        raise UserError(
            f"{file}: a box ({x0} {y0} {x1} {y1}) lies outside of the picture of {_text(picture)}; "
            "annotate it again, or remove its box file"
        )
    if (low < -1).any() or (high > picture).any():
        last = np.subtract(picture, 1)
        boxes, changes = np.clip(boxes, 0, np.tile(last, 2)), [*changes, "cut at the border"]
    return boxes, " and ".join(changes)


def _from_other_size(
    boxes: np.ndarray, annotated: Size, picture: Size, file: Path, upright: bool
) -> tuple[np.ndarray, list[str]]:
    from zfnet.data.decode import read_orientation  # with OpenCV, which listing the stages does without

    sideways = (picture[1], picture[0])
    orientation = read_orientation(file)
    is_turned = orientation >= 5 and (annotated == sideways or not _same_aspect(annotated, picture))
    target = sideways if is_turned else picture
    if not _same_aspect(annotated, target):
        raise UserError(
            f"{file}: has {_text(picture)}, and its boxes were drawn on a picture of {_text(annotated)}; "
            "annotate it again, or remove its box file"
        )
    changes = []
    if annotated != target:
        boxes = _scale(boxes, annotated, target)
        changes.append("scaled")
    if is_turned:
        boxes = _turn(boxes, target, orientation if upright else _INVERSE.get(orientation, orientation))
        changes.append("turned")
    return boxes, changes


def _same_aspect(one: Size, other: Size) -> bool:
    """Whether a resize of one gives the other, whose sides may be off by a pixel of the smaller."""
    (small_w, small_h), (large_w, large_h) = sorted((one, other))
    return abs(small_w * large_h - small_h * large_w) <= max(large_w, large_h)


def _scale(boxes: np.ndarray, annotated: Size, target: Size) -> np.ndarray:
    factor = np.tile(np.array(target) / annotated, 2)
    corner = np.array([0, 0, 1, 1])  # inclusive corners: x1 + 1 is the edge of the last pixel
    return np.rint((boxes + corner) * factor - corner).astype(np.int64)


def _turn(boxes: np.ndarray, size: Size, orientation: int) -> np.ndarray:
    """Boxes of a picture of `size` after one of the four quarter turns of EXIF (5 to 8)."""
    x0, y0, x1, y1 = boxes.T
    width, height = size
    if orientation in (6, 7):
        y0, y1 = height - 1 - y1, height - 1 - y0
    if orientation in (7, 8):
        x0, x1 = width - 1 - x1, width - 1 - x0
    return np.stack([y0, x0, y1, x1], axis=1)


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]} px"
