from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.data.sources.boxes_xml import read_annotation

DOG = "<name>dog</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"


def write(folder: Path, body: str) -> Path:
    path = folder / "image.xml"
    path.write_text(f"<annotation><filename>image</filename>{body}</annotation>")
    return path


def test_every_object_is_read_in_order_with_its_difficult_flag(tmp_path: Path) -> None:
    box = "<bndbox><xmax>9</xmax><ymax>8</ymax><xmin>1</xmin><ymin>2</ymin></bndbox>"
    person = f"<name>person</name><difficult>1</difficult>{box}"
    found = read_annotation(write(tmp_path, f"<object>{DOG}</object><object>{person}</object>")).objects
    assert [name for name, _, _ in found] == ["dog", "person"]
    assert found[0][1].tolist() == [10, 20, 30, 40] and found[0][1].dtype == np.int64
    assert found[1][1].tolist() == [1, 2, 9, 8]  # whatever the order of the corners in the file
    assert [difficult for _, _, difficult in found] == [False, True]


def test_an_image_without_objects_has_no_boxes(tmp_path: Path) -> None:
    assert read_annotation(write(tmp_path, "")).objects == []


def test_fractions_are_rounded_and_swapped_corners_sorted(tmp_path: Path) -> None:
    box = "<bndbox><xmin>45.70</xmin><ymin>2.2</ymin><xmax>11</xmax><ymax>8</ymax></bndbox>"
    (_, corners, _), *_ = read_annotation(write(tmp_path, f"<object><name>cat</name>{box}</object>")).objects
    assert corners.tolist() == [11, 2, 46, 8]


def test_boxes_of_parts_are_not_taken_for_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    found = read_annotation(write(tmp_path, f"<object>{part}{DOG}</object>")).objects
    assert [(name, box.tolist()) for name, box, _ in found] == [("dog", [10, 20, 30, 40])]


@pytest.mark.parametrize(
    "body",
    [
        "<object><name>dog</name></object>",
        f"<object>{DOG.replace('<name>dog</name>', '')}</object>",
        f"<object>{DOG.replace('30', 'thirty')}</object>",
        f"<object>{DOG.replace('30', 'nan')}</object>",
        f"<object>{DOG.replace('30', '1e300')}</object>",
        f"<size><width>wide</width></size><object>{DOG}</object>",
        "<object>",
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, body: str) -> None:
    with pytest.raises(UserError, match=r"image\.xml"):
        read_annotation(write(tmp_path, body))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.xml"):
        read_annotation(tmp_path / "nowhere.xml")


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(
        f'<!DOCTYPE a [<!ENTITY x "dog">]><annotation><object>{DOG.replace("dog", "&x;")}</object></annotation>'
    )
    with pytest.raises(UserError, match=r"bomb\.xml"):
        read_annotation(path)
