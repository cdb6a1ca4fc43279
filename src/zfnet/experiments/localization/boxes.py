"""Boxes and their overlap, in the one convention of the package.

A box is x0 y0 x1 y1: INCLUSIVE pixel corners, counted from 0, in the original image. A box from column 3 to column 3
is one pixel wide, so widths are x1 - x0 + 1, as in the ILSVRC devkit (and in VOC). Float boxes are refused nowhere,
but everything made here is int64.

Devkit (eval_localization), with the +1 of inclusive corners:

    iw = min(x1) - max(x0) + 1,   ih likewise;   iou = iw ih / (area + area' - iw ih)   if iw > 0 and ih > 0

The devkit writes -1 for boxes that do not meet; here that is 0, which the rule "iou >= 0.5" cannot tell apart.
"""

import numpy as np


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union (n, k) of boxes (n, 4) with others (k, 4).

    Boxes may reach outside the image: nothing is clipped here, as in the devkit. An inside-out box meets nothing.
    """
    a = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1  # (n, k, 2)
    meet = np.where((sides > 0).all(-1), sides.prod(-1), 0.0)
    union = _area(a) + _area(b) - meet
    return np.divide(meet, union, out=np.zeros_like(meet), where=meet > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[..., 2:] - boxes[..., :2] + 1, 0, None).prod(-1)


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes (..., 4) with every corner moved into the image; a box wholly outside becomes a line of its border."""
    limit = np.array([width - 1, height - 1, width - 1, height - 1])
    return np.clip(np.asarray(boxes, dtype=np.int64), 0, limit)


def whole_box(height: int, width: int) -> np.ndarray:
    """The box (4,) of the whole image."""
    return np.array([0, 0, width - 1, height - 1], dtype=np.int64)


def center_box(height: int, width: int, fraction: float) -> np.ndarray:
    """The centered box (4,) whose sides are `fraction` of the image's, at least one pixel each."""
    wide, tall = max(1, round(width * fraction)), max(1, round(height * fraction))
    x0, y0 = (width - wide) // 2, (height - tall) // 2
    return np.array([x0, y0, x0 + wide - 1, y0 + tall - 1], dtype=np.int64)


def mask_box(mask: np.ndarray) -> np.ndarray:
    """The smallest box (4,) around the true pixels of a mask (h, w). Raises ValueError when there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise ValueError("an empty mask has no box")
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.int64)


def scale_sides(box: np.ndarray, factor: float, height: int, width: int) -> np.ndarray:
    """The box (4,) with both sides times `factor` about its center, at least one pixel each, clipped to the image."""
    corner = np.array([0, 0, 1, 1])  # x1 + 1 is the right edge of the last pixel
    edges = np.asarray(box) + corner
    middle = np.tile((edges[:2] + edges[2:]) / 2, 2)
    scaled = np.rint(middle + factor * (edges - middle)).astype(np.int64)
    scaled[2:] = np.maximum(scaled[2:], scaled[:2] + 1)
    return clip(scaled - corner, height, width)


def rescale(boxes: np.ndarray, shape: tuple[int, int], to: tuple[int, int]) -> np.ndarray:
    """Boxes (..., 4) of an image of `shape` (height, width) in the same image resized to `to`, clipped to it.

    The edges of a pixel are scaled, not its center, and rounded: a box that touches the border still touches it.
    """
    scale = np.array([to[1] / shape[1], to[0] / shape[0]] * 2)
    corner = np.array([0, 0, 1, 1])  # x1 + 1 is the right edge of the last pixel
    edges = np.rint((np.asarray(boxes) + corner) * scale).astype(np.int64)
    edges[..., 2:] = np.maximum(edges[..., 2:], edges[..., :2] + 1)  # at least one pixel
    return clip(edges - corner, *to)
