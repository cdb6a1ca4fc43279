"""The photograph that the key `image` names."""

from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError

NARROWEST = 40  # largest ratio of long to short side; resizing a narrower one would fill the memory


def read_photo(image: str) -> np.ndarray:
    """The photograph that the key `image` names, upright by its EXIF orientation, (h, w, 3) uint8.

    Raises UserError where it is missing, not an image, or too narrow to be resized.
    """
    from zfnet.data.decode import read_rgb

    if not image:
        raise UserError("image: no photograph given; name one, e.g. stage=explain image=photo.jpg")
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
