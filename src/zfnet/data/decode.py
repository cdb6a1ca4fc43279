"""Reading an image file as RGB.

ImageNet holds CMYK JPEGs, gray images, a PNG named JPEG and broken EXIF blocks. Plain JPEGs are decoded by OpenCV
(fast, releases the GIL), all others by Pillow. EXIF orientation is ignored, as the boxes of ILSVRC refer to the stored
orientation, unless `upright`: phones store photographs rotated.
"""

import contextlib
import warnings
from pathlib import Path

import cv2
import numpy as np

from zfnet.core.errors import UserError


def read_rgb(path: Path, upright: bool = False) -> np.ndarray:
    """The image in `path` as (h, w, 3) uint8 RGB. Raises UserError naming a file that no decoder reads."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; restore the file or remove it from the dataset") from error
    return decode_rgb(data, path, upright)


def decode_rgb(data: bytes, path: Path, upright: bool = False) -> np.ndarray:
    """As `read_rgb`, from the bytes of the file; `path` only names it in the error."""
    if data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9" and not _is_cmyk(data):
        as_stored = 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | as_stored)
        if image is not None:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return _read_with_pillow(data, path, upright)


def read_orientation(path: Path) -> int:
    """The EXIF orientation of the image in `path`, 1 to 8; 1 where it has none that can be read."""
    from PIL import Image

    with contextlib.suppress(OSError, ValueError, SyntaxError, TypeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as image:
            orientation = image.getexif().get(0x0112, 1)
            return orientation if orientation in range(1, 9) else 1
    return 1


def _is_cmyk(data: bytes) -> bool:
    """Whether the frame header of a JPEG names four components."""
    start = 2
    while start + 9 < len(data) and data[start] == 0xFF:
        marker = data[start + 1]
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        if marker in (0xC0, 0xC1, 0xC2):
            return data[start + 9] == 4
        start += 2 + length
    return False


def _read_with_pillow(data: bytes, path: Path, upright: bool) -> np.ndarray:
    from io import BytesIO

    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF blocks only warn
            with Image.open(BytesIO(data)) as image:
                if upright:
                    with contextlib.suppress(OSError, ValueError, SyntaxError, TypeError):  # a broken EXIF block
                        ImageOps.exif_transpose(image, in_place=True)
                if image.mode.startswith("I"):  # 16-bit gray: Pillow would clip it at 255
                    gray = (np.asarray(image) >> 8).astype(np.uint8)
                    return np.repeat(gray[..., None], 3, axis=2)
                return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace the file or remove it") from error
