"""Folders as people have them: every image and box file is found, or counted and named as passed over."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from zfnet.core.errors import UserError
from zfnet.data.cache.images import build_cache
from zfnet.data.listing import list_images, walk
from zfnet.data.options import DataOptions
from zfnet.data.sources.folder import read_folder
from zfnet.data.sources.imagenet import read_imagenet
from zfnet.experiments.sources import forget_listings, raw_files
from zfnet.experiments.table import Config
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.pipeline.record import read_result
from zfnet.running import runner

XML = """<annotation><object><name>{}</name>
<bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>"""


def picture(path, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(path.as_posix().encode()) % 256
    Image.fromarray(np.full((40, 40, 3), shade, np.uint8)).save(path, kind)


def fill(folder, *classes, count=4):
    for name in classes or ("cat", "dog"):
        for i in range(count):
            picture(folder / name / f"{name.lower()}_{i}.png")


def box_file(path, name="dog", corner=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(XML.format(name, corner))


def read(root):
    """(images of each class, images with boxes, notes) of a folder."""
    indices = read_folder(root, 0.25, seed=0)
    labels = np.concatenate([index.labels for index in indices])
    boxed = {str(path) for index in indices for path, boxes in zip(index.paths, index.boxes, strict=True) if len(boxes)}
    return np.bincount(labels).tolist(), boxed, [note for index in indices for note in index.notes]


# ---- images -------------------------------------------------------------------------------------------------
def test_every_kind_of_image_is_read_and_the_rest_counted(tmp_path):
    fill(tmp_path / "in")
    dog = tmp_path / "in" / "dog"
    for suffix, kind in {".jfif": "JPEG", ".JPE": "JPEG", ".tif": None, ".gif": None, ".ppm": None}.items():
        picture(dog / f"more{suffix}", kind)
    for name in ("a.heic", "b.HEIC", "c.mov", "noname", "Thumbs.db", "._dog_0.png", "desktop.ini"):
        (dog / name).write_bytes(b"\0")
    counts, _, notes = read(tmp_path / "in")
    assert counts == [4, 9]
    assert notes == ["4 files of dog passed over: .heic 2, .mov 1, others 1"]
    train, val = read_folder(tmp_path / "in", 0.25, seed=0)
    for index, name in ((train, "train"), (val, "val")):
        assert len(build_cache(index, tmp_path / name, 32)) == len(index)


def test_a_class_of_one_other_kind_is_read(tmp_path):
    fill(tmp_path)
    for file in (tmp_path / "dog").iterdir():
        Image.open(file).save(file.with_suffix(".JFIF"), "JPEG")
        file.unlink()
    assert read(tmp_path)[0] == [4, 4]


def test_what_archivers_and_file_managers_leave_behind_is_no_class_and_no_image(tmp_path):
    fill(tmp_path)
    for place in ("__MACOSX/cat/._cat_0.png", "@eaDir/x.png", "lost+found/y.png", "cat/@eaDir/cat_0.png/SYNO.png"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(b"\0\5\26\7")
    assert read(tmp_path) == ([4, 4], set(), [])


def test_links_are_followed_and_a_dangling_one_is_an_unreadable_file(tmp_path):
    fill(tmp_path / "pool")
    (tmp_path / "files" / "dog").mkdir(parents=True)
    (tmp_path / "folders").mkdir()
    (tmp_path / "files" / "cat").symlink_to("../pool/cat")
    for name in ("cat", "dog"):
        (tmp_path / "folders" / name).symlink_to(f"../pool/{name}")
    for file in (tmp_path / "pool" / "dog").iterdir():
        (tmp_path / "files" / "dog" / file.name).symlink_to(file)
    (tmp_path / "pool" / "dog" / "loop").symlink_to("../../pool")
    assert read(tmp_path / "folders")[0] == [4, 8]  # of the loop, what is not above it
    (tmp_path / "pool" / "dog" / "loop").unlink()
    assert read(tmp_path / "folders")[0] == read(tmp_path / "files")[0] == [4, 4]
    (tmp_path / "files" / "dog" / "dog_9.png").symlink_to("/not/mounted/dog_9.png")
    train, val = read_folder(tmp_path / "files", 0.25, seed=0)
    index = train if "dog/dog_9.png" in train.paths else val
    with pytest.raises(UserError, match=r"dog_9\.png: No such file.*data\.bad_limit=1"):
        build_cache(index, tmp_path / "cache", 32)
    assert len(build_cache(index, tmp_path / "cache", 32, bad_limit=1)) == len(index) - 1


def test_the_fingerprint_sees_through_links(tmp_path):
    fill(tmp_path / "pool")
    fill(tmp_path / "in")
    shutil.rmtree(tmp_path / "in" / "dog")
    (tmp_path / "in" / "dog").symlink_to("../pool/dog")
    (tmp_path / "in" / "cat" / "gone.png").symlink_to("nowhere.png")

    def digests():
        forget_listings()
        sources = {"folder": "in", "imagenet": "in"}
        return [
            raw_files(Config(data=DataOptions(source=source, root=str(tmp_path / place))), "data")
            for source, place in sources.items()
        ]

    before = digests()
    assert digests() == before
    picture(tmp_path / "pool" / "dog" / "new.png")
    assert all(one != other for one, other in zip(digests(), before, strict=True))


def test_a_name_that_is_no_text_is_passed_over(tmp_path):
    fill(tmp_path)
    (tmp_path / "dog" / "gr\udcfcn.png").write_bytes(b"")
    assert read(tmp_path) == ([4, 4], set(), ["1 file of dog passed over: others 1"])
    (tmp_path / "h\udcfcndin").mkdir()
    with pytest.raises(UserError, match=r"the name of its folder 'h\\udcfcndin' is not UTF-8; rename it"):
        read(tmp_path)


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    fill(tmp_path)
    (tmp_path / "dog").chmod(0)
    try:
        with pytest.raises(UserError, match="dog: cannot be listed"):
            read(tmp_path)
    finally:
        (tmp_path / "dog").chmod(0o755)


def test_walk_is_sorted_and_can_be_pruned(tmp_path):
    for place in ("b/y", "a/x", "a/w"):
        (tmp_path / place).mkdir(parents=True)
    visited = []
    for path, folders, _ in walk(tmp_path):
        visited.append(path.relative_to(tmp_path).as_posix())
        folders[:] = [name for name in folders if name != "w"]
    assert visited == [".", "a", "a/x", "b", "b/y"]
    assert list_images(tmp_path / "absent").images == []


# ---- layouts ------------------------------------------------------------------------------------------------
def test_images_in_folders_of_a_class_belong_to_it(tmp_path):
    fill(tmp_path)
    (tmp_path / "dog" / "more").mkdir()
    for i in (2, 3):
        (tmp_path / "dog" / f"dog_{i}.png").rename(tmp_path / "dog" / "more" / f"dog_{i}.png")
    assert read(tmp_path)[0] == [4, 4]
    fill(tmp_path / "splits" / "train")
    for name in ("cat", "dog"):
        picture(tmp_path / "splits" / "val" / name / "images" / "1.png")
    train, val = read_folder(tmp_path / "splits", 0.25, seed=0)
    assert (len(train), val.paths.tolist()) == (8, ["val/cat/images/1.png", "val/dog/images/1.png"])


def test_classes_called_train_and_val_are_classes(tmp_path):
    fill(tmp_path, "cat", "train", "val")
    assert read(tmp_path)[0] == [4, 4, 4]


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (("animals", "things"), r"animals holds cat/, dog/ and no image itself.*data\.root=\S*animals"),
        (("photos",), r"holds nothing but photos/; give data\.root=\S*photos"),
        (("training_set", "test_set"), "holds test_set/, training_set/; expected train/ and val/ beside each other"),
        (("train", "valid", "test"), "holds test/, train/, valid/; expected train/ and val/ beside each other"),
        (("Train", "Val"), "holds Train/, Val/; expected train/ and val/ beside each other"),
    ],
)
def test_a_layout_of_another_depth_or_name_is_said_as_that(tmp_path, places, words):
    for place in places:
        fill(tmp_path / place)
    with pytest.raises(UserError, match=words):
        read(tmp_path)


# ---- boxes --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "place",
    [
        "dog/dog_0.xml",
        "dog/dog_0.XML",
        "dog/dog_0.png.xml",
        "dog/DOG_0.xml",
        "Annotations/dog_0.png.xml",
        "annotations/xmls/dog_0.xml",
        "Annotations/Dog/Dog_0.XML",
    ],
)
def test_a_box_file_is_found_wherever_and_however_a_tool_wrote_it(tmp_path, place):
    fill(tmp_path)
    box_file(tmp_path / place)
    assert read(tmp_path) == ([4, 4], {"dog/dog_0.png"}, [])


def test_annotations_come_before_files_beside_the_photographs(tmp_path):
    fill(tmp_path)
    box_file(tmp_path / "Annotations" / "dog_0.xml", corner=5)
    box_file(tmp_path / "dog" / "dog_0.xml")
    indices = read_folder(tmp_path, 0.25, seed=0)
    assert [boxes.tolist() for index in indices for boxes in index.boxes if len(boxes)] == [[[5, 2, 30, 30]]]


def test_box_files_of_no_image_are_counted_and_refused_where_none_fits(tmp_path):
    fill(tmp_path)
    box_file(tmp_path / "Annotations" / "photo_0.xml")
    with pytest.raises(UserError, match=r"none of 1 box file: .*photo_0\.xml has the name of an image"):
        read(tmp_path)
    box_file(tmp_path / "Annotations" / "dog_0.xml")
    note = f"box files that belong to no image: 1 file: {os.path.join('Annotations', 'photo_0.xml')}"
    assert read(tmp_path)[1:] == ({"dog/dog_0.png"}, [note])


def test_linked_annotations_are_read_in_both_layouts(tmp_path):
    for split in ("train", "val"):
        fill(tmp_path / "in" / split, "n01", "n02", count=2)
        for name in ("n01", "n02"):
            for i in range(2):
                file = tmp_path / "in" / split / name / f"{name}_{i}.png"
                file.rename(file.with_name(f"{split}_{file.name}"))
                box_file(tmp_path / "boxes" / f"{split}_{name}_{i}.xml", name)
    (tmp_path / "in" / "Annotations").mkdir()
    (tmp_path / "in" / "Annotations" / "val").symlink_to("../../boxes")
    for index in read_imagenet(tmp_path / "in"):
        assert [len(boxes) for boxes in index.boxes] == [1] * 4
    train, val = read_folder(tmp_path / "in", 0.25, seed=0)
    assert [len(boxes) for boxes in val.boxes] == [1] * 4 and not any(len(boxes) for boxes in train.boxes)
    assert train.notes[0].startswith("box files that belong to no image: 4 files: ")


def test_a_file_of_another_program_beside_the_photographs_is_no_error(tmp_path):
    fill(tmp_path)
    (tmp_path / "dog" / "album.xml").write_text("<album/>")
    note = f"box files that belong to no image: 1 file: {os.path.join('dog', 'album.xml')}"
    assert read(tmp_path) == ([4, 4], set(), [note])


def test_flat_images_beside_class_folders_are_counted(tmp_path):
    for split in ("train", "val"):
        fill(tmp_path / split, "n01", "n02")
    picture(tmp_path / "val" / "stray.png")
    box_file(tmp_path / "val" / "n02" / "n02_1.xml", "n02")
    _, val = read_imagenet(tmp_path)
    assert len(val) == 8 and val.notes == ("passed over without a label: 1 image: val/stray.png",)
    assert [len(boxes) for boxes in val.boxes] == [0] * 5 + [1, 0, 0]


def test_a_messy_folder_is_told_in_one_summary(tmp_path, capsys):
    """Kinds, nesting, links, damage and two tools' annotations at once, as stage data sees it."""
    root = tmp_path / "photos"
    fill(root, count=6)
    fill(tmp_path / "elsewhere", "bee", count=6)
    (root / "bee").symlink_to("../elsewhere/bee")
    for i, suffix in enumerate((".jfif", ".tif", ".gif", ".webp", ".bmp")):
        picture(root / "cat" / "more" / "deep" / f"kind_{i}{suffix}", "JPEG" if suffix == ".jfif" else None)
    (root / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    picture(root / "stray.png")
    (root / "dog" / "gone.png").symlink_to("/not/mounted/gone.png")
    for name in ("a.heic", "b.mov", "Thumbs.db", ".DS_Store"):
        (root / "dog" / name).write_bytes(b"\0")
    for i in range(6):
        box_file(root / "dog" / f"dog_{i}.xml")
        box_file(root / "annotations" / "xmls" / f"cat_{i}.png.XML", "cat")
    (root / "__MACOSX" / "cat").mkdir(parents=True)
    data = DataOptions(source="folder", root=str(root), size=32, bad_limit=2)
    paths = PathsOptions(outputs=str(tmp_path / "out"))
    runner.run(Config(stage="data", profile="folder", data=data, paths=paths, wandb=WandbOptions(mode="disabled")), "")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "passed over beside the class folders: 1 image: stray.png" in lines
    assert "2 files of dog passed over: .heic 1, .mov 1" in lines
    numbers = read_result(tmp_path / "out" / "folder" / "data")["numbers"]
    left_out = ", ".join(note for note in numbers["notes"] if "unreadable and left out: " in note)
    assert "cat/broken.jpg (not a readable image" in left_out
    assert "dog/gone.png (No such file or directory)" in left_out
    assert (numbers["n_train"] + numbers["n_val"], numbers["n_unreadable"]) == (6 + 11 + 6, 2)
    (boxes,) = [note.split() for note in numbers["notes"] if note.startswith("boxes of ")]
    assert int(boxes[2]) + int(boxes[7]) == 12


@pytest.mark.parametrize("outputs", ["outputs", "cat/my results", "a/b"])
def test_own_outputs_are_no_data_wherever_they_lie(tmp_path, monkeypatch, outputs, capsys):
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    data = DataOptions(source="folder", root=".", size=32)
    config = Config(stage="data", data=data, paths=PathsOptions(outputs=outputs), wandb=WandbOptions(mode="disabled"))
    runner.run(config, "")
    before = read_folder(tmp_path, 0.2, seed=0)
    runner.run(config, "")
    assert "done before" in capsys.readouterr().out
    assert before[0].classes == ("cat", "dog") and not before[0].notes
