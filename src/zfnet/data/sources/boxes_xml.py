"""Boxes of one image from the XML files of ILSVRC and PASCAL VOC.

Both have one `object` an instance with `name`, `bndbox` (xmin ymin xmax ymax) and, in VOC, `difficult`. Numbers are
returned as in the file, inclusive corners: ILSVRC counts pixels from 0, VOC from 1. Corners are sorted, as a few files
have xmin > xmax, and the fractions of VOC 2011 and later rounded. The files are untrusted: defusedxml parses them.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from zfnet.core.errors import UserError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_boxes(path: Path) -> list[tuple[str, np.ndarray, bool]]:
    """(name, box (4,) int64, difficult) of each object of the file, in its order.

    Raises UserError naming a file that is missing, not XML, or has an object without name or box.
    """
    try:
        root = parse(path).getroot()
        return [_read_object(element) for element in root.iter("object")]
    except (OSError, ParseError, DefusedXmlException, ValueError) as error:
        raise UserError(f"{path}: not a readable box file ({error}); fetch it again or remove it") from error


def _read_object(element: Element) -> tuple[str, np.ndarray, bool]:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object has no name")
    x0, y0, x1, y1 = (_read_corner(element, corner) for corner in CORNERS)
    box = np.array([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], dtype=np.int64)
    return name, box, (element.findtext("difficult") or "0").strip() == "1"


def _read_corner(element: Element, corner: str) -> int:
    text = element.findtext(f"bndbox/{corner}")  # VOC's `part` boxes are nested deeper
    if text is None:
        raise ValueError(f"an object has no {corner}")
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"{corner} is {text}")
    return round(value)
