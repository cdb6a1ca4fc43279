"""A photograph of one's own, as the key `image` names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError

NARROWEST = 40  # long side / short side of a photograph, from which resizing it would fill the memory


def read_photo(image: str) -> np.ndarray:
    """The photograph that the key `image` names, upright (phones store it turned), (h, w, 3) uint8.

    Raises UserError naming the key: nothing given, no such file, not an image, too narrow to be resized.
    """
    from zfnet.data.decode import read_rgb

    if not image:
        raise UserError("image: no photograph given; say which, e.g. stage=explain image=photo.jpg")
    path = Path(image).expanduser()
    if not path.is_file():
        raise UserError(f"image: {path} is not a file; give the path of a photograph (JPEG or PNG)")
    try:
        photo = read_rgb(path, upright=True)
    except UserError as error:
        raise UserError(f"image: {path} is not an image that can be read; save it as JPEG or PNG") from error
    short, long = sorted(photo.shape[:2])
    if long > NARROWEST * short:
        raise UserError(f"image: {path} has {photo.shape[1]} x {photo.shape[0]} px, too narrow; cut it out")
    return photo
