from __future__ import annotations

import pytest

from zfnet.core.errors import UserError
from zfnet.data.sources.voc import read_voc

SIGNS = {"bird": ["1", "-1", "0"], "tvmonitor": ["1", "-1", "1"]}


@pytest.fixture
def voc(tmp_path):
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    sets = folder / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    names = ["2008_000001", "2008_000002", "2008_000003"]
    (sets / "val.txt").write_text("".join(f"{name}\n" for name in names))
    for kind, signs in SIGNS.items():
        lines = [f"{name} {sign:>2}\n" for name, sign in zip(names, signs, strict=True)]
        (sets / f"{kind}_val.txt").write_text("".join(lines))
    for name in names:
        (folder / "JPEGImages" / f"{name}.jpg").write_bytes(b"")
    return folder


def test_targets_tell_present_absent_and_only_difficult(voc):
    index = read_voc(voc, 2012, "val")
    assert index.classes == ("bird", "tvmonitor") and index.names == ("bird", "tv")
    assert index.targets.tolist() == [[1, 1], [0, 0], [-1, 1]]
    assert index.labels.tolist() == [0, -1, 1]
    assert index.file(2).is_file() and len(index.boxes) == 3


def test_every_folder_above_will_do(voc):
    fingerprints = {read_voc(root, 2012, "val").fingerprint() for root in (voc, voc.parent, voc.parent.parent)}
    assert len(fingerprints) == 1


def test_a_split_without_labels_has_no_targets(voc):
    (voc / "ImageSets" / "Main" / "test.txt").write_text("2008_000003\n")
    index = read_voc(voc, 2012, "test")
    assert index.targets is None and len(index) == 1 and index.classes == ("bird", "tvmonitor")


def test_a_missing_year_is_named_with_its_source(voc):
    with pytest.raises(UserError, match=r"no VOC2007/ImageSets/Main.*VOCtest_06-Nov-2007\.tar"):
        read_voc(voc.parent, 2007, "test")


def test_a_missing_split_is_named(voc):
    with pytest.raises(UserError, match=r"trainval\.txt"):
        read_voc(voc, 2012, "trainval")


def test_a_missing_image_is_named(voc):
    (voc / "JPEGImages" / "2008_000002.jpg").unlink()
    with pytest.raises(UserError, match=r"1 images of val\.txt are missing.*2008_000002"):
        read_voc(voc, 2012, "val")


def test_a_name_that_no_file_can_have_is_named(voc):
    (voc / "ImageSets" / "Main" / "train.txt").write_text("a" * 300 + "\n")
    with pytest.raises(UserError, match=r"1 images of train\.txt are missing"):
        read_voc(voc, 2012, "train")


def test_a_broken_line_is_named(voc):
    (voc / "ImageSets" / "Main" / "bird_val.txt").write_text("2008_000001 7\n")
    with pytest.raises(UserError, match=r"bird_val\.txt, line 1: '2008_000001 7'"):
        read_voc(voc, 2012, "val")


def test_an_image_that_a_class_file_leaves_out_is_named(voc):
    (voc / "ImageSets" / "Main" / "bird_val.txt").write_text("2008_000001 1\n")
    with pytest.raises(UserError, match=r"has no line for image 2008_000002"):
        read_voc(voc, 2012, "val")
