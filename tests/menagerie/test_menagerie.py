"""The menagerie: determinism, boxes, parts, and the three folder layouts."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from defusedxml.ElementTree import parse

from menagerie import CALTECH_CLASSES, CLASSES, VOC_CLASSES, MenagerieError, draw_menagerie, layouts
from menagerie.casting import draw_caltech, draw_ilsvrc, draw_voc
from menagerie.catalogue import ANIMALS, DRAWERS
from menagerie.outlines import circle
from menagerie.pen import Pen
from menagerie.picture import Actor, Instance, compose, draw_actor, observe, tight_box
from menagerie.surface import TILE, sample, tile

COUNTS = {"train_per_class": 2, "val_per_class": 2, "caltech_per_class": 1, "voc_images": 30}
LIGHT = np.array([0.6, -0.8], np.float32)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("menagerie") / "two"
    draw_menagerie(root, seed=5, **COUNTS, processes=2)
    return root


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_pixels(path: Path) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


def read_objects(path: Path) -> tuple[tuple[int, int], list[tuple[str, list[int], int]]]:
    """(height, width) and (name, corners, difficult) of an XML file."""
    root = parse(path).getroot()
    size = int(root.findtext("size/height")), int(root.findtext("size/width"))
    found = []
    for one in root.iter("object"):
        corners = [int(one.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
        found.append((one.findtext("name"), corners, int(one.findtext("difficult"))))
    return size, found


# --- determinism ------------------------------------------------------------------------------------------------


def test_one_and_two_processes_write_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    draw_menagerie(tmp_path / "one", seed=5, **COUNTS, processes=1)
    assert digests(tmp_path / "one") == digests(drawn)


def test_fewer_classes_are_the_first_ones_with_the_same_training_pictures(drawn: Path, tmp_path: Path) -> None:
    draw_menagerie(tmp_path / "few", seed=5, **COUNTS | {"voc_images": 1}, n_classes=3, processes=1)
    few = digests(tmp_path / "few" / "ilsvrc" / "train")
    assert {path.split("/")[0] for path in few} == set(list(CLASSES)[:3])
    assert few.items() <= digests(drawn / "ilsvrc" / "train").items()
    assert len(list((tmp_path / "few" / "ilsvrc" / "val").iterdir())) == 3 * COUNTS["val_per_class"]


def test_another_seed_gives_other_pictures_and_another_order() -> None:
    for draw in (
        lambda s: draw_ilsvrc(s, "val", "fox", 3),
        lambda s: draw_caltech(s, "clock", 1),
        lambda s: draw_voc(s, 2),
    ):
        first, again, other = draw(1).pixels, draw(1).pixels, draw(2).pixels
        assert np.array_equal(first, again)
        assert first.shape != other.shape or not np.array_equal(first, other)
    assert layouts.list_ilsvrc(1, 0, 3, 24) != layouts.list_ilsvrc(2, 0, 3, 24)


def test_splits_and_numbers_of_a_class_never_share_a_picture(drawn: Path) -> None:
    drafts = [draw_ilsvrc(5, split, "bear", number).pixels.tobytes() for split in ("train", "val") for number in (0, 1)]
    assert len(set(drafts)) == 4
    pictures = [digest for name, digest in digests(drawn).items() if name.lower().endswith((".jpg", ".jpeg"))]
    assert len(pictures) == 24 * 4 + 15 + 30
    assert len(set(pictures)) == len(pictures)


# --- classes ----------------------------------------------------------------------------------------------------


def test_class_sets_are_disjoint_and_large_enough() -> None:
    assert len(CLASSES) == 24 and len(CALTECH_CLASSES) >= 12 and len(VOC_CLASSES) == 20
    assert not set(CLASSES.values()) & set(CALTECH_CLASSES)
    assert set(VOC_CLASSES) <= set(DRAWERS) and len(ANIMALS) >= 8
    assert all(wnid.startswith("n99") and len(wnid) == 9 and wnid[1:].isdigit() for wnid in CLASSES)


# --- pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(DRAWERS))
def test_box_is_the_tight_extent_of_the_object(kind: str) -> None:
    """The oracle: lay the object over black and over white; it is where the two agree."""
    actor = Actor(kind, 50.0, 40.0, 30.0, turn=0.2, yaw=0.4)
    pen = draw_actor(actor, (160, 192), np.random.default_rng(3), LIGHT)
    (found,) = observe([actor], [pen], np.zeros(pen.shape, np.float32), (80, 96))
    black, white = (pen.colour[0] + ground * (1 - pen.alpha) for ground in (0.0, 1.0))
    seen_through = (white - black).reshape(80, 2, 96, 2).mean((1, 3))
    ys, xs = np.nonzero(seen_through < 0.5)
    assert np.abs(found.box - [xs.min(), ys.min(), xs.max(), ys.max()]).max() == 0
    unsure = np.abs(seen_through - 0.5) < 1e-3
    assert np.array_equal(found.mask | unsure, (seen_through < 0.5) | unsure)
    assert 0.04 < found.mask.mean() < 0.8 and found.visible == pytest.approx(1.0)


def test_an_object_behind_another_is_boxed_where_it_is_seen() -> None:
    behind, before = Actor("tower_block", 40.0, 40.0, 30.0), Actor("clock", 40.0, 10.0, 34.0)
    first, second = compose(np.random.default_rng(0), (80, 80), [behind, before], "studio").instances
    assert second.visible == pytest.approx(1.0)
    assert 0.05 < first.visible < 0.75
    assert not (first.mask & second.mask).any()
    assert first.box[1] > 15 and first.box.tolist() == tight_box(first.mask).tolist()


def test_short_side_and_aspect_stay_in_range() -> None:
    shapes = np.array([draw_caltech(0, None, number).pixels.shape[:2] for number in range(40)])
    assert shapes.min() >= 72 and shapes.min(1).max() <= 96
    assert (shapes.max(1) / shapes.min(1)).max() < 1.34
    assert (shapes[:, 0] > shapes[:, 1]).any() and (shapes[:, 0] < shapes[:, 1]).any()


def test_background_pictures_have_no_instance() -> None:
    assert draw_caltech(0, None, 0).instances == ()


# --- parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ANIMALS)
def test_faces_have_their_parts_in_order_inside_the_box(kind: str) -> None:
    for number in (0, 1, 5, 6):
        (found,) = draw_ilsvrc(11, "val", kind, number).instances
        parts, (x0, y0, x1, y1) = found.parts, found.box
        assert set(parts) == {"left_eye", "right_eye", "nose"}
        assert all(x0 <= x <= x1 and y0 <= y <= y1 and radius > 1 for x, y, radius in parts.values())
        assert parts["left_eye"][0] + 3 < parts["right_eye"][0]
        assert parts["nose"][1] > max(parts["left_eye"][1], parts["right_eye"][1])
        assert parts["left_eye"][0] < parts["nose"][0] < parts["right_eye"][0]


@pytest.mark.parametrize("kind", ("cat", "owl"))
def test_left_is_left_in_the_picture_when_the_animal_is_mirrored(kind: str) -> None:
    seen = []
    for mirrored in (False, True):
        actor = Actor(kind, 39.5, 39.5, 32.0, turn=0.0, yaw=0.0, mirrored=mirrored)
        seen.append(compose(np.random.default_rng(2), (80, 80), [actor], "studio").instances[0].parts)
    plain, mirror = seen
    for part, twin in (("left_eye", "right_eye"), ("right_eye", "left_eye"), ("nose", "nose")):
        assert mirror[part][0] == pytest.approx(79 - plain[twin][0], abs=1e-6)
        assert mirror[part][1] == pytest.approx(plain[twin][1], abs=1e-6)


def test_eyes_differ_from_the_fur_around_them() -> None:
    """A marked eye is a place of contrast: its centre and rim are not of one colour."""
    for number in (0, 1):
        picture = draw_ilsvrc(4, "val", "cat", number)
        grey = picture.pixels.mean(2)
        for part in ("left_eye", "right_eye"):
            x, y, radius = picture.instances[0].parts[part]
            around = grey[int(y - radius) : int(y + radius) + 2, int(x - radius) : int(x + radius) + 2]
            assert around.std() > 15


# --- layouts ----------------------------------------------------------------------------------------------------


def test_ilsvrc_lists_and_boxes_match_the_pictures(drawn: Path) -> None:
    root = drawn / "ilsvrc"
    words = dict(line.split("\t") for line in (root / "words.txt").read_text().splitlines())
    labels = dict(line.split("\t") for line in (root / "val_labels.txt").read_text().splitlines())
    assert list(words) == list(CLASSES) and set(labels.values()) == set(CLASSES)
    assert sorted(labels) == sorted(path.name for path in (root / "val").iterdir())
    xmls = sorted((root / "Annotations").rglob("*.xml"))
    assert len([path for path in xmls if path.parent.name == "val"]) == len(labels) == 48
    assert 0 < len([path for path in xmls if path.parent.name != "val"]) < 48
    for path in xmls:
        picture = root / path.relative_to(root / "Annotations").with_suffix(".JPEG")
        wnid = labels[picture.name] if path.parent.name == "val" else path.parent.name
        height, width = read_pixels(picture).shape[:2]
        size, found = read_objects(path)
        assert size == (height, width) and found and parse(path).getroot().findtext("filename") == picture.stem
        for name, (x0, y0, x1, y1), _ in found:
            assert name == wnid and 0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height


def test_parts_file_lists_the_frontal_faces_of_val(drawn: Path) -> None:
    labels = dict(line.split("\t") for line in (drawn / "ilsvrc" / "val_labels.txt").read_text().splitlines())
    parts = defaultdict(dict)
    with (drawn / "ilsvrc" / "parts.csv").open() as file:
        for row in csv.DictReader(file):
            parts[row["file"]][row["part"]] = (float(row["x"]), float(row["y"]), float(row["radius"]))
    faces = [CLASSES[labels[name]] for name in parts]
    assert sorted(faces) == sorted(2 * ANIMALS)  # numbers 0 and 1 of each class are frontal
    for name, places in parts.items():
        (x0, y0, x1, y1) = read_objects(drawn / "ilsvrc" / "Annotations" / "val" / f"{Path(name).stem}.xml")[1][0][1]
        assert set(places) == {"left_eye", "right_eye", "nose"}
        assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y, _ in places.values())


def test_caltech_layout(drawn: Path) -> None:
    folders = sorted(path.name for path in (drawn / "caltech" / "101_ObjectCategories").iterdir())
    assert folders == sorted([*CALTECH_CLASSES, "BACKGROUND_Google"])
    assert all((drawn / "caltech" / "101_ObjectCategories" / name / "image_0001.jpg").is_file() for name in folders)


def test_voc_image_sets_agree_with_the_annotations(drawn: Path) -> None:
    root = drawn / "voc" / "VOC2012"
    lists = root / "ImageSets" / "Main"
    ids = {split: (lists / f"{split}.txt").read_text().split() for split in ("train", "val", "trainval")}
    assert len(ids["train"]) == len(ids["val"]) == 15 and not set(ids["train"]) & set(ids["val"])
    assert (
        ids["trainval"]
        == sorted(ids["train"] + ids["val"])
        == sorted(path.stem for path in (root / "JPEGImages").iterdir())
    )
    expected = {stem: dict.fromkeys(VOC_CLASSES, -1) for stem in ids["trainval"]}
    for stem, flags in expected.items():
        size, found = read_objects(root / "Annotations" / f"{stem}.xml")
        height, width = read_pixels(root / "JPEGImages" / f"{stem}.jpg").shape[:2]
        assert size == (height, width)
        for name, (x0, y0, x1, y1), difficult in found:
            assert 1 <= x0 <= x1 <= width and 1 <= y0 <= y1 <= height
            flags[name] = max(flags[name], 1 - difficult)
    seen = set()
    for split, stems in ids.items():
        for name in VOC_CLASSES:
            lines = [line.split() for line in (lists / f"{name}_{split}.txt").read_text().splitlines()]
            assert lines == [[stem, str(expected[stem][name])] for stem in stems]
            seen |= {flag for _, flag in lines}
    assert seen == {"1", "0", "-1"}


def test_several_labels_in_one_scene(drawn: Path) -> None:
    names = [
        {name for name, _, _ in read_objects(path)[1]} for path in (drawn / "voc" / "VOC2012" / "Annotations").iterdir()
    ]
    assert np.mean([len(found) >= 2 for found in names]) > 0.4


def test_only_difficult_instances_count_as_zero() -> None:
    def instance(kind: str, side: int, visible: float) -> Instance:
        return Instance(kind, np.array([0, 0, side - 1, side - 1]), np.ones((side, side), bool), visible, {})

    assert layouts.presence([instance("cat", 8, 1.0), instance("dog", 30, 0.3)]) == {"cat": 0, "dog": 0}
    assert layouts.presence([instance("cat", 8, 1.0), instance("cat", 30, 1.0)]) == {"cat": 1}


# --- the folder as a whole --------------------------------------------------------------------------------------


def test_a_drawn_folder_is_left_alone(drawn: Path) -> None:
    card = drawn / "menagerie.json"
    before = card.stat().st_mtime_ns
    draw_menagerie(drawn, seed=5, **COUNTS, processes=1)
    assert card.stat().st_mtime_ns == before
    assert json.loads(card.read_text()) == {"format": layouts.FORMAT, "seed": 5, **COUNTS, "n_classes": len(CLASSES)}


def test_other_arguments_or_a_foreign_folder_are_refused(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(MenagerieError, match="two"):
        draw_menagerie(drawn, seed=6, **COUNTS, processes=1)
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"")
    with pytest.raises(MenagerieError, match="holiday"):
        draw_menagerie(tmp_path / "holiday", seed=5, **COUNTS, processes=1)


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(root: Path, seed: int, job: layouts.Job) -> dict:
        raise KeyboardInterrupt

    monkeypatch.setattr(layouts, "draw_one", stop)
    with pytest.raises(KeyboardInterrupt):
        draw_menagerie(tmp_path / "cut", seed=5, **COUNTS, processes=1)
    assert list(tmp_path.iterdir()) == []


# --- pen and textures -------------------------------------------------------------------------------------------


def pen_on(height: int, width: int, unit: float) -> Pen:
    matrix = np.array([[unit, 0, width / 2], [0, unit, height / 2]], float)
    return Pen((height, width), matrix, np.random.default_rng(0), LIGHT)


def test_filled_circle_has_its_area_and_place() -> None:
    pen = pen_on(100, 120, 30.0)
    pen.fill(circle(64), np.array([1.0, 0.0, 0.0], np.float32))
    assert pen.alpha.sum() == pytest.approx(np.pi * 30**2, rel=0.05)  # cv2 draws half a pixel beyond the outline
    ys, xs = np.nonzero(pen.alpha > 0.5)
    assert xs.mean() == pytest.approx(60, abs=0.6) and ys.mean() == pytest.approx(50, abs=0.6)


def test_a_shape_cut_by_the_rim_or_outside_it_is_drawn_as_far_as_it_goes() -> None:
    pen = pen_on(40, 40, 10.0)
    pen.fill(circle() + (2.0, 0.0), np.float32([1, 1, 1]), relief=0.5)
    assert 0 < pen.alpha.sum() < np.pi * 100 * 0.6
    before = pen.alpha.copy()
    pen.fill(circle() + (9.0, 0.0), np.float32([1, 1, 1]))
    assert np.array_equal(pen.alpha, before)


def test_relief_is_brighter_towards_the_light() -> None:
    pen = pen_on(100, 100, 40.0)
    pen.fill(circle(), np.float32([0.5, 0.5, 0.5]), relief=0.5)
    x, y = (50 + 30 * LIGHT).astype(int)
    u, v = (50 - 30 * LIGHT).astype(int)
    assert pen.colour[0, y, x] > 0.55 > 0.45 > pen.colour[0, v, u]


def test_textures_repeat_without_a_seam() -> None:
    straight = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    twice = sample("fur", straight, 2 * TILE, TILE)
    assert np.array_equal(twice[:, :TILE], tile("fur")) and np.array_equal(twice[:, TILE:], tile("fur"))
    jump = np.abs(tile("fur")[:, 0] - tile("fur")[:, -1]).mean()
    assert jump < 2 * np.abs(np.diff(tile("fur"), axis=1)).mean()
