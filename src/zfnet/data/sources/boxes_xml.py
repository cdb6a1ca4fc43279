"""Boxes of one image from the XML files of ILSVRC and PASCAL VOC.

Both have the `size` of the picture that was annotated (0 where unknown) and one `object` an instance with `name`,
`bndbox` (xmin ymin xmax ymax) and, in VOC, `difficult`. Numbers are returned as in the file, inclusive corners: ILSVRC
counts pixels from 0, VOC from 1. Corners are sorted, as a few files have xmin > xmax, and the fractions of VOC 2011 and
later rounded. The files are untrusted: defusedxml parses them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from zfnet.core.errors import UserError
from zfnet.data.boxes import Size

CORNERS = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 2**31  # px


@dataclass(frozen=True)
class Annotation:
    """The boxes of one image, and the size of the picture that they were drawn on."""

    size: Size = (0, 0)
    objects: list[tuple[str, np.ndarray, bool]] = field(default_factory=list)  # name, box (4,) int64, difficult
    fault: str = ""  # why its file could not be read

    def boxes(self, name: str = "") -> np.ndarray:
        """Boxes (k, 4) of the objects of that name in any case, or of all objects where none has it."""
        own = [box for object_name, box, _ in self.objects if object_name.casefold() == name.casefold()]
        return np.array(own or [box for _, box, _ in self.objects], dtype=np.int64).reshape(-1, 4)


def read_annotation(path: Path) -> Annotation:
    """The objects of the file in its order.

    Raises UserError naming a file that is missing, not XML, or has an object without name or box.
    """
    try:
        root = parse(path).getroot()
        size = (_read_number(root, "size/width", "0"), _read_number(root, "size/height", "0"))
        return Annotation(size, [_read_object(element) for element in root.iter("object")])
    except (OSError, ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{path}: not a readable box file ({error}); fetch it again or remove it") from error


def _read_object(element: Element) -> tuple[str, np.ndarray, bool]:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object has no name")
    x0, y0, x1, y1 = (_read_number(element, f"bndbox/{corner}") for corner in CORNERS)  # `part` boxes are deeper
    box = np.array([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], dtype=np.int64)
    return name, box, (element.findtext("difficult") or "0").strip() == "1"


def _read_number(element: Element, path: str, default: str = "") -> int:
    name = path.rpartition("/")[2]
    text = element.findtext(path) or default
    if not text:
        raise ValueError(f"an object has no {name}")
    value = float(text)
    if not abs(value) < LARGEST:
        raise ValueError(f"{name} is {text}")
    return round(value)
