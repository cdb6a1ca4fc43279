"""From a photograph to the network's crops, as in [ZF13] section 3.

"Resizing the smallest dimension to 256, cropping the center 256x256 region, subtracting the per-pixel mean (across
all images) and then using 10 different sub-crops of size 224x224 (corners + center with(out) horizontal flips)."

The ratio 256 : 224 holds at every size (64 -> 56). The cropped square is the *frame*; `Frame` maps boxes from the
original image to the frame and back.
"""

from dataclasses import dataclass

import cv2
import numpy as np


def crop_size(size: int) -> int:
    """Side of the crop in a frame of `size` px: 256 -> 224, 64 -> 56. Always even, so that it can be centered."""
    return 2 * round(size * 224 / 256 / 2)


def ten_crop_places(size: int, crop: int = 0) -> tuple[tuple[int, int, bool], ...]:
    """(top, left, mirrored) of the ten crops of a `size` x `size` frame: corners and center, then mirrored.

    crop: their side, 7/8 of the frame unless given.
    """
    far = size - (crop or crop_size(size))
    places = ((0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2))
    return tuple((top, left, flip) for flip in (False, True) for top, left in places)


@dataclass(frozen=True)
class Frame:
    """The central `size` x `size` square of an image whose short side was resized to `size`."""

    height: int
    width: int
    size: int

    @property
    def scale(self) -> float:
        """Frame pixels per original pixel."""
        return self.size / min(self.height, self.width)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the whole resized image, of which the frame is the center."""
        return (
            max(self.size, round(self.height * self.scale)),
            max(self.size, round(self.width * self.scale)),
        )

    @property
    def offset(self) -> tuple[int, int]:
        """(top, left) of the frame in the resized image."""
        height, width = self.shape
        return (height - self.size) // 2, (width - self.size) // 2

    def to_frame(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (k, 4) of the original image as float boxes of the frame, which may extend beyond it."""
        return self._affine(np.asarray(boxes, dtype=np.float64), inverse=False)

    def from_frame(self, boxes: np.ndarray) -> np.ndarray:
        """Float boxes (k, 4) of the frame as float boxes of the original image."""
        return self._affine(np.asarray(boxes, dtype=np.float64), inverse=True)

    def mask(self, boxes: np.ndarray) -> np.ndarray:
        """Pixels of the frame inside any of the original image's boxes (k, 4), (size, size) bool."""
        inside = np.zeros((self.size, self.size), dtype=bool)
        for x0, y0, x1, y1 in np.rint(self.to_frame(boxes)).astype(np.int64):
            inside[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = True
        return inside

    def _affine(self, boxes: np.ndarray, inverse: bool) -> np.ndarray:
        (height, width), (top, left) = self.shape, self.offset
        scale = np.array([width / self.width, height / self.height] * 2)
        shift = np.array([left, top] * 2, dtype=np.float64)
        corner = np.array([0, 0, 1, 1])  # inclusive corners: x1 + 1 is the edge of the last pixel
        edges = boxes + corner
        edges = (edges + shift) / scale if inverse else edges * scale - shift
        return edges - corner


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 3) uint8 at another size: area averaging when shrinking (no aliasing), cubic when growing."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) uint8 -> (size, size, 3): short side to `size`, then the center square."""
    frame = Frame(image.shape[0], image.shape[1], size)
    top, left = frame.offset
    return np.ascontiguousarray(resize(image, *frame.shape)[top : top + size, left : left + size])
