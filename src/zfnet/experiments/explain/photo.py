"""The photographs that the key `image` names: one file, or those of a folder and its subfolders."""

import hashlib
import os
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.experiments.context import as_file_name
from zfnet.experiments.explain.options import ExplainOptions

NARROWEST = 40  # largest ratio of long to short side; resizing a narrower one would fill the memory


def folder_name(image: str, options: ExplainOptions) -> str:
    """The folder of an explanation: the photograph's name and a hash of its path and of what is asked of it."""
    path = Path(image).expanduser()
    asked = [os.path.abspath(path), options.target, options.layer, options.unit]
    digest = hashlib.sha256(repr(asked).encode(errors="surrogateescape")).hexdigest()[:6]
    return f"{as_file_name(path.name if path.is_dir() else path.stem)}-{digest}"


def list_photos(image: str) -> tuple[dict[str, Path], str]:
    """(name -> file of each photograph, what else is in the folder: ".heic 3, .mov 1").

    Raises UserError where a folder holds no photograph.
    """
    from zfnet.data.listing import list_images

    path = Path(image).expanduser()
    if not path.is_dir():
        return {path.name: path}, ""
    listing = list_images(path)
    if not listing.images:
        others = f" (passed over: {listing.others}; save them as JPEG or PNG)" if listing.passed_over else ""
        raise UserError(f"image: {path} holds no photograph{others}")
    return {name: path / name for name in listing.images}, listing.others


def read_photo(image: str) -> np.ndarray:
    """The photograph that the key `image` names, upright by its EXIF orientation, (h, w, 3) uint8.

    Raises UserError where it is missing, not an image, or too narrow to be resized.
    """
    from zfnet.data.decode import read_rgb

    if not image:
        raise UserError("image: no photograph given; name one, e.g. stage=explain image=photo.jpg")
    path = Path(image).expanduser()
    if not path.is_file():
        raise UserError(f"image: {path} is not a file; give the path of a photograph (JPEG or PNG) or of a folder")
    try:
        photo = read_rgb(path, upright=True)
    except UserError as error:
        raise UserError(f"image: {path} is not an image that can be read; save it as JPEG or PNG") from error
    short, long = sorted(photo.shape[:2])
    if long > NARROWEST * short:
        raise UserError(f"image: {path} has {photo.shape[1]} x {photo.shape[0]} px, too narrow; cut it out")
    return photo
