"""Boxes of a photograph in the pixels of a network's center crop."""

import numpy as np

from zfnet.data.cache.images import Images
from zfnet.networks.inputs import Inputs


def crop_boxes(inputs: Inputs, images: Images, row: int) -> np.ndarray:
    """The object's boxes (k, 4) of an image in pixels of its center crop; they may reach outside it."""
    return to_crop(inputs, images, row, images.index.boxes[row])


def to_crop(inputs: Inputs, images: Images, row: int, boxes: np.ndarray) -> np.ndarray:
    """Boxes (k, 4) in the original image's pixels, in pixels of its center crop."""
    return images.frame(row, inputs.frame).to_frame(boxes) - inputs.margin
