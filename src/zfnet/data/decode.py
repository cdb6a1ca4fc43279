"""Reading an image file as RGB.

ImageNet holds CMYK JPEGs, gray images, a PNG named JPEG and broken EXIF blocks. Plain JPEGs are decoded by OpenCV
(fast, releases the GIL), all others by Pillow. EXIF orientation is ignored, as the boxes of ILSVRC refer to the stored
orientation, unless `upright`: phones store photographs rotated.

Transparent pixels show a white ground. Samples of more than 8 bits are scaled by the depth that they use (10, 12, 14 or
16 bits in files of 16), which their largest value tells.

JPEG decoders take damaged files for whole ones. Two kinds are refused here: a file that was cut and closed by a marker,
and a hole of zeros in the coded data. With optimized Huffman tables, and in progressive files, flat areas are coded as
zeros, too, so that such a hole is not noticed there.
"""

import contextlib
import re
import stat
import warnings
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from zfnet.core.errors import UserError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "AVIF", "PPM", "JPEG2000")  # none makes Pillow run a program
GROUND = (255, 255, 255)  # behind transparent pixels
MAX_PIXELS = 2**28  # of a JPEG: 0.8 GB of RGB; Pillow has a limit of its own

_ORIENTATION = 0x0112  # tag of EXIF
_BITS_PER_SAMPLE = 258  # tag of TIFF
_PNG = b"\x89PNG\r\n\x1a\n"
_END = b"\xff\xd9"  # of a JPEG
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # that ends the coded data of a scan
_HOLE = bytes(64)
_FILL = 128  # what decoders show where a JPEG has no data
_IMAGE_ERRORS = (OSError, ValueError, SyntaxError, TypeError, RuntimeError)  # of Pillow, on damaged files


def read_rgb(path: Path, upright: bool = False) -> np.ndarray:
    """The image in `path` as (h, w, 3) uint8 RGB. Raises UserError naming a file that no decoder reads."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: not a regular file; remove it from the dataset")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: {reason}; restore the file or remove it from the dataset") from error
    return decode_rgb(data, path, upright)


def decode_rgb(data: bytes, path: Path, upright: bool = False) -> np.ndarray:
    """As `read_rgb`, from the bytes of the file; `path` only names it in the error."""
    if data[:2] != b"\xff\xd8":
        return _read_with_pillow(data, path, upright)
    height, width, components = _jpeg_frame(data)
    if height * width > MAX_PIXELS:
        raise UserError(f"{path}: {width} x {height} px, more than {MAX_PIXELS:,}; shrink the image or remove it")
    if _has_hole(data):
        raise UserError(f"{path}: damaged: a hole of zeros in its data; replace the file or remove it")
    if data[-2:] != _END or components == 4:
        return _read_with_pillow(data, path, upright)
    image = _decode_jpeg(data, upright)
    if image is None:
        return _read_with_pillow(data, path, upright)
    if _is_cut(data, image, upright):
        raise UserError(f"{path}: damaged: its data end before the image does; replace the file or remove it")
    return image


@cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow reads."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def read_orientation(path: Path) -> int:
    """The EXIF orientation of the image in `path`, 1 to 8; 1 where it has none that can be read."""
    from PIL import Image

    with contextlib.suppress(*_IMAGE_ERRORS, Image.DecompressionBombError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=_formats()) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            return orientation if orientation in range(1, 9) else 1
    return 1


# ---- JPEG ---------------------------------------------------------------------------------------------------
def _decode_jpeg(data: bytes, upright: bool) -> np.ndarray | None:
    as_stored = 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | as_stored)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of the segments of a JPEG; that of a scan (0xDA) ends with its coded data."""
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF and data[start + 1] != _END[1]:
        marker = data[start + 1]
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if marker == 0xDA:
            next_marker = _MARKER.search(data, end)
            end = next_marker.start() if next_marker else len(data)
        yield marker, data[start + 4 : end]
        start = end


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """(height, width, components) that the frame header of a JPEG names; zeros where it has none."""
    for marker, content in _segments(data):
        if marker in (0xC0, 0xC1, 0xC2) and len(content) >= 6:
            return int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big"), content[5]
    return 0, 0, 0


def _has_hole(data: bytes) -> bool:
    """Whether the coded data of a baseline JPEG hold zeros that its Huffman tables cannot mean.

    A code of zero bits alone is the first of its table. Blocks that are coded as zeros are flat only where that code
    ends a block; for any other symbol they would have 63 equal coefficients.
    """
    if _HOLE not in data:
        return False
    first_symbols: dict[int, int] = {}  # of the tables for AC coefficients
    for marker, content in _segments(data):
        if 0xC1 < marker < 0xD0 and marker != 0xC4:
            return False  # progressive, lossless or arithmetic coding
        if marker == 0xC4:
            first_symbols |= _ac_symbols(content)
        if marker == 0xDA and _HOLE in content:
            tables = {byte & 15 for byte in content[2 : 1 + 2 * content[0] : 2]}
            if any(first_symbols.get(table, 0) for table in tables):
                return True
    return False


def _ac_symbols(content: bytes) -> dict[int, int]:
    """The first symbol of each Huffman table for AC coefficients in a segment, by the table's number."""
    symbols, start = {}, 0
    while start + 17 < len(content):
        kind, number = divmod(content[start], 16)
        if kind == 1:
            symbols[number] = content[start + 17]
        start += 17 + sum(content[start + 1 : start + 17])
    return symbols


def _is_cut(data: bytes, image: np.ndarray, upright: bool) -> bool:
    """Whether the decoder made up the end of a JPEG, which it shows as gray.

    The last byte of a whole file codes its last pixels; where these are gray anyway, no others change without it. That
    of a file that was cut codes pixels further up.
    """
    corners = (image[-1, -32:], image[-32:, 0], image[0, :32], image[:32, -1])  # the last pixels, however turned
    if not any((corner == _FILL).all() for corner in (corners if upright else corners[:1])):
        return False
    shorter = _decode_jpeg(data[:-3] + _END, upright)
    return shorter is not None and bool(((shorter != image) & (image != _FILL)).any())


# ---- all other formats --------------------------------------------------------------------------------------
def _read_with_pillow(data: bytes, path: Path, upright: bool) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF blocks only warn
            with Image.open(BytesIO(data), formats=_formats()) as opened:
                image = _eight_bits(opened, data)
                if upright:
                    with contextlib.suppress(*_IMAGE_ERRORS):  # a broken EXIF block
                        ImageOps.exif_transpose(image, in_place=True)
                if image.has_transparency_data:
                    image = image.convert("RGBA")
                    image = Image.alpha_composite(Image.new("RGBA", image.size, (*GROUND, 255)), image)
                return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError as error:  # whose message holds an address in memory
        raise UserError(f"{path}: not a readable image (unknown format); replace the file or remove it") from error
    except (*_IMAGE_ERRORS, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace the file or remove it") from error


def _eight_bits(image: Any, data: bytes) -> Any:
    """The Pillow image, with samples of more than 8 bits scaled to 8."""
    from PIL import Image

    if image.mode.startswith("I"):
        samples = np.asarray(image)
    elif (data[:8] == _PNG and data[24] == 16) or 16 in getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ()):
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # Pillow drops the low bits
        if decoded is None or decoded.dtype != np.uint16:
            return image
        samples = decoded[..., [2, 1, 0, 3][: decoded.shape[2]]] if decoded.ndim == 3 else decoded
    else:
        return image
    scaled = Image.fromarray(np.dstack([_scale_depth(part) for part in _color_and_alpha(samples)]).squeeze())
    scaled.getexif().update(image.getexif())
    return scaled


def _color_and_alpha(samples: np.ndarray) -> list[np.ndarray]:
    return [samples[..., :3], samples[..., 3:]] if samples.ndim == 3 and samples.shape[2] == 4 else [samples]


def _scale_depth(samples: np.ndarray) -> np.ndarray:
    """Samples as uint8, from the least of the usual depths that holds them."""
    largest = int(samples.max())
    bits = next(bits for bits in (8, 10, 12, 14, 16, 32) if largest < 2**bits)
    return (samples.clip(0) >> (bits - 8)).astype(np.uint8)
