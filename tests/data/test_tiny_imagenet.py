"""Tiny ImageNet as published, and as the scripts leave it that many run on it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.data.sources.tiny_imagenet import read_tiny_imagenet

WNIDS = ["n03", "n01", "n02"]  # the order of wnids.txt is that of the labels


@pytest.fixture
def tiny(tmp_path):
    """Three classes of three training and two validation images, which are only listed here; boxes tell them apart."""
    root, val_lines = tmp_path / "tiny-imagenet-200", []
    (root / "val" / "images").mkdir(parents=True)
    for k, wnid in enumerate(WNIDS):
        (root / "train" / wnid / "images").mkdir(parents=True)
        lines = []
        for i in (10, 2, 0):
            (root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG").write_bytes(b"")
            lines.append(f"{wnid}_{i}.JPEG\t{i}\t{k}\t60\t61\n")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(lines))
        for i in (2 * k, 2 * k + 1):
            (root / "val" / "images" / f"val_{i}.JPEG").write_bytes(b"")
            val_lines.append(f"val_{i}.JPEG\t{wnid}\t{i}\t0\t62\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(val_lines))
    (root / "wnids.txt").write_text("\n".join(WNIDS))
    (root / "words.txt").write_text("n01\ttench, Tinca tinca\n")
    return root


def sort_val(root, place):
    """Move the validation images into a folder a class, as scripts do."""
    for line in (root / "val" / "val_annotations.txt").read_text().splitlines():
        file, wnid = line.split("\t")[:2]
        folder = root / place.format(wnid)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(root / "val" / "images" / file, folder / file)


def labels(index):
    """File name -> (class, box) of every image, all of which exist."""
    assert all(index.file(row).is_file() for row in range(len(index)))
    rows = zip(index.paths, index.labels, index.boxes, strict=True)
    return {str(path).rpartition("/")[2]: (index.classes[label], boxes.tolist()) for path, label, boxes in rows}


def test_as_published_it_has_the_order_of_its_tables(tiny):
    train, val = read_tiny_imagenet(tiny)
    assert train.classes == tuple(WNIDS) and train.names == ("n03", "tench", "n02")
    assert [path.rpartition("/")[2] for path in train.paths[:3].tolist()] == ["n03_10.JPEG", "n03_2.JPEG", "n03_0.JPEG"]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and val.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert train.boxes[0].tolist() == [[10, 0, 60, 61]] and val.boxes[3].tolist() == [[3, 0, 62, 63]]
    assert read_tiny_imagenet(tiny.parent)[0].fingerprint() == train.fingerprint()
    assert not train.notes and not val.notes


@pytest.mark.parametrize("place", ["val/{}", "val/{}/images", "val/images/{}"])
@pytest.mark.parametrize("keeps_tables", [True, False])
def test_validation_images_by_class_are_those_of_the_table(tiny, place, keeps_tables):
    before = [labels(index) for index in read_tiny_imagenet(tiny)]
    sort_val(tiny, place)
    if not keeps_tables:
        for file in [*tiny.rglob("*_boxes.txt"), tiny / "val" / "val_annotations.txt"]:
            file.unlink()
        before = [{file: (wnid, []) for file, (wnid, _) in split.items()} for split in before]
    assert [labels(index) for index in read_tiny_imagenet(tiny)] == before


def test_without_any_text_file_the_folders_are_the_classes(tiny):
    sort_val(tiny, "val/{}")
    for file in list(tiny.rglob("*.txt")):
        file.unlink()
    (tiny / "val" / "images").rmdir()
    for wnid in WNIDS:
        for file in list((tiny / "train" / wnid / "images").iterdir()):
            file.rename(tiny / "train" / wnid / file.name)
        (tiny / "train" / wnid / "images").rmdir()
    train, val = read_tiny_imagenet(tiny)
    assert train.classes == ("n01", "n02", "n03")
    assert np.bincount(train.labels).tolist() == [3, 3, 3] and np.bincount(val.labels).tolist() == [2, 2, 2]
    assert labels(val)["val_0.JPEG"] == ("n03", [])


def test_boxes_are_kept_where_training_images_were_moved(tiny):
    before = labels(read_tiny_imagenet(tiny)[0])
    for file in list(tiny.glob("train/*/images/*")):
        file.rename(file.parent.parent / file.name)
    assert labels(read_tiny_imagenet(tiny)[0]) == before


def test_classes_that_were_removed_are_passed_over_with_a_count(tiny):
    shutil.rmtree(tiny / "train" / "n02")
    note = "passed over, of classes not in wnids.txt and train/: 2 images: val/images/val_4.JPEG, val/images/val_5.JPEG"
    for text in ("n03\nn01\nn02\n", "n03\nn01\n"):  # whether or not they were removed from the list, too
        (tiny / "wnids.txt").write_text(text)
        train, val = read_tiny_imagenet(tiny)
        assert train.classes == ("n03", "n01") and len(train) == 6
        assert len(val) == 4 and val.notes == (note,)
    (tiny / "wnids.txt").write_text("n03\n")
    train, _ = read_tiny_imagenet(tiny)
    assert len(train) == 3 and "passed over, of classes not in wnids.txt and train/: 3 images" in train.notes[0]


def test_images_that_a_cut_table_does_not_name_are_counted(tiny):
    table = tiny / "val" / "val_annotations.txt"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:4]))
    _, val = read_tiny_imagenet(tiny)
    assert len(val) == 4
    assert val.notes == ("passed over without a label: 2 images: val/images/val_4.JPEG, val/images/val_5.JPEG",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("val_0.JPEG\tn03\t1\t2\t3\n", r"val_annotations\.txt, line 1: .* is not '<file> <wnid> <x0> <y0> <x1> <y1>'"),
        ("\nval_0.JPEG\tn03\t1\t2\t3\tx\n", r"val_annotations\.txt, line 2: "),
        ("", r"val holds no image of a class in .*train"),
        (None, r"val holds no image of a class in .*train"),
    ],
)
def test_an_empty_split_and_a_broken_table_are_refused(tiny, text, words):
    table = tiny / "val" / "val_annotations.txt"
    table.unlink() if text is None else table.write_text(text)
    with pytest.raises(UserError, match=words):
        read_tiny_imagenet(tiny)


def test_an_image_in_the_folder_of_another_class_than_the_table_says_is_named(tiny):
    sort_val(tiny, "val/{}")
    shutil.move(tiny / "val" / "n03" / "val_0.JPEG", tiny / "val" / "n01" / "val_0.JPEG")
    with pytest.raises(UserError, match=r"line 1: val_0\.JPEG is n03, and it lies in .*n01"):
        read_tiny_imagenet(tiny)
