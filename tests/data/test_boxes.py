"""Boxes of another picture size: turned, scaled, cut, or refused, against pixels that are marked and looked up."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from zfnet.core.errors import UserError
from zfnet.data.boxes import fit_boxes
from zfnet.data.cache.images import build_cache
from zfnet.data.decode import read_rgb
from zfnet.data.sources.folder import read_folder

SIZE, BOX = (300, 200), (210, 20, 289, 99)  # of the picture as stored


def save(path, orientation=1, size=SIZE, box=BOX):
    """A gray picture with a white rectangle at `box`, with an EXIF orientation."""
    image, exif = Image.new("RGB", size, (90, 90, 90)), Image.Exif()
    ImageDraw.Draw(image).rectangle(box, fill=(255, 255, 255))
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)


def marked(path, upright):
    """The box of the white pixels of the picture as read, x0 y0 x1 y1."""
    y, x = np.nonzero(read_rgb(path, upright)[..., 0] > 200)
    return [x.min(), y.min(), x.max(), y.max()]


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_either_orientation_are_those_of_the_marked_pixels(tmp_path, orientation, upright):
    path = tmp_path / "x.png"
    save(path, orientation)
    for drawn_upright in (True, False):
        box, shape = marked(path, drawn_upright), read_rgb(path, drawn_upright).shape
        if orientation in (2, 3, 4) and drawn_upright != upright:
            continue  # the size does not tell
        for factor in (1, 3):  # the file may also have been resized after it was annotated
            boxes = np.array([box]) * factor + np.array([0, 0, factor - 1, factor - 1])
            annotated = (shape[1] * factor, shape[0] * factor)
            fitted, _ = fit_boxes(boxes, annotated, read_rgb(path, upright).shape, path, upright)
            assert fitted.tolist() == [marked(path, upright)]


def test_a_size_that_was_rounded_is_the_same_aspect(tmp_path):
    save(tmp_path / "x.png", size=(100, 67))
    boxes, change = fit_boxes(np.array([[0, 0, 299, 199]]), (300, 200), (67, 100), tmp_path / "x.png", True)
    assert change == "scaled" and boxes.tolist() == [[0, 0, 99, 66]]


def test_a_clean_box_and_an_unknown_size_change_nothing(tmp_path):
    boxes = np.array([[1, 1, 300, 200], [0, 0, 299, 199]])  # VOC counts from 1
    for annotated in (SIZE, (0, 0), (0, 200)):
        fitted, change = fit_boxes(boxes, annotated, (200, 300, 3), tmp_path / "absent.png", True)
        assert fitted is boxes and change == ""


def test_a_box_that_reaches_out_is_cut_and_one_outside_or_of_another_picture_refused(tmp_path):
    path = tmp_path / "x.png"
    save(path)
    boxes, change = fit_boxes(np.array([[-40, 5, 10**6, 300]]), (0, 0), (200, 300), path, True)
    assert boxes.tolist() == [[0, 5, 299, 199]] and change == "cut at the border"
    for box in ([301, 0, 320, 9], [0, -9, 20, -1]):
        with pytest.raises(UserError, match=r"x\.png: a box \(.*\) lies outside of the picture of 300 x 200 px"):
            fit_boxes(np.array([box]), (0, 0), (200, 300), path, True)
    for annotated in ((200, 300), (400, 300), (640, 480)):  # sides swapped without EXIF are another picture, too
        with pytest.raises(UserError, match=r"x\.png: has 300 x 200 px, and its boxes were drawn on a picture of"):
            fit_boxes(np.array([BOX]), annotated, (200, 300), path, True)


def write_xml(path, size, box, name):
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"<object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>"
    )


@pytest.fixture
def photos(tmp_path):
    """Two classes: dog/0 annotated as stored though EXIF turns it, dog/1 upright, dog/2 halved after annotation."""
    root = tmp_path / "photos"
    for name in ("cat", "dog"):
        for i in range(4):
            path, orientation = root / name / f"{name}_{i}.png", 6 if name == "dog" and i < 2 else 1
            save(path, orientation)
            size, box = SIZE, BOX
            if path.stem == "dog_1":
                size, box = (200, 300), marked(path, True)
            if path.stem == "dog_2":
                size, box = (600, 400), [2 * value for value in BOX]
            write_xml(root / "Annotations" / name / f"{path.stem}.xml", size, box, name)
    return root


def test_boxes_fit_in_the_cache_whatever_the_tool_left_and_the_changes_are_counted(photos, tmp_path):
    notes = []
    for split, index in zip(("train", "val"), read_folder(photos, 0.25, seed=0), strict=True):
        for kind in ("raw", "jpeg"):
            images = build_cache(index, tmp_path / split / kind, 64, cache=kind)
            for row, boxes in enumerate(images.index.boxes):
                np.testing.assert_allclose(boxes, [marked(images.index.file(row), True)], atol=1)
        notes += images.index.notes
        again = build_cache(images.index, tmp_path / split / "again", 64)  # fitted once and for all
        assert not again.index.notes and again.index.fingerprint() == images.index.fingerprint()
    assert sorted(notes) == [
        "boxes scaled to fit the picture, of 1 image: dog/dog_2.png",
        "boxes turned to fit the picture, of 1 image: dog/dog_0.png",
    ]


def test_a_box_file_that_cannot_be_read_counts_as_an_unreadable_image(photos, tmp_path):
    whole = read_folder(photos, 0.25, seed=0)
    (photos / "Annotations" / "cat" / "cat_3.xml").write_text("<annotation><object>")
    train, val = read_folder(photos, 0.25, seed=0)
    index = train if "cat/cat_3.png" in train.paths else val
    assert index.fingerprint() not in (whole[0].fingerprint(), whole[1].fingerprint())
    with pytest.raises(UserError, match=r"cat_3\.xml: not a readable box file.*data\.bad_limit=1"):
        build_cache(index, tmp_path / "cache", 64)
    images = build_cache(index, tmp_path / "cache", 64, bad_limit=1)
    assert len(images) == len(index) - 1 and "cat/cat_3.png" not in images.index.paths


def test_boxes_of_another_picture_count_as_an_unreadable_file(photos, tmp_path):
    write_xml(photos / "Annotations" / "cat" / "cat_3.xml", (640, 480), BOX, "cat")
    train, val = read_folder(photos, 0.25, seed=0)
    index = train if "cat/cat_3.png" in train.paths else val
    with pytest.raises(UserError, match=r"cat_3\.png: has 300 x 200 px.*data\.bad_limit=1"):
        build_cache(index, tmp_path / "cache", 64)
    assert len(build_cache(index, tmp_path / "cache", 64, bad_limit=1)) == len(index) - 1
