"""Lists and tables as people save them, and errors that name file and line."""

from __future__ import annotations

import numpy as np
import pytest

from zfnet.core.errors import UserError
from zfnet.data.index import make_index
from zfnet.data.sources import meta_mat
from zfnet.data.sources.imagenet import find_blacklist, read_imagenet, read_words
from zfnet.data.sources.voc import read_voc
from zfnet.data.tables import read_lines, read_table

LINES = ["a b.jpg\tn01\t3", "é.jpg\tn02\t"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_and_line_end_gives_the_same_rows(tmp_path, encoding, end):
    path = tmp_path / "x.txt"
    path.write_bytes((end.join(["", *LINES, " "]) + end).encode(encoding))
    rows = read_table(path, 2, "a file and a class")
    assert [list(row.cells) for row in rows] == [["a b.jpg", "n01", "3"], ["é.jpg", "n02"]]
    assert [row.place for row in rows] == [f"{path}, line 2", f"{path}, line 3"]
    assert read_lines(path) == ["a b.jpg\tn01\t3", "é.jpg\tn02"]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("a.jpg\tn01", ["a.jpg", "n01"]),
        ("a.jpg   n01 ", ["a.jpg", "n01"]),
        ('"a, b.jpg", n01', ["a, b.jpg", "n01"]),
        ("a.jpg;n01;7", ["a.jpg", "n01", "7"]),
    ],
)
def test_cells_lie_between_tabs_commas_semicolons_or_blanks(tmp_path, line, cells):
    (tmp_path / "x.txt").write_text(line)
    assert list(read_table(tmp_path / "x.txt", 2, "")[0].cells) == cells


def test_errors_name_file_line_and_key(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a 1\n\nb\n")
    with pytest.raises(UserError, match=r"x\.txt, line 3: 'b' is not a name and a number"):
        read_table(path, 2, "a name and a number")
    path.write_bytes(b"a\xff\n")
    with pytest.raises(UserError, match=r"key: .*x\.txt is no UTF-8 or UTF-16 text \(invalid start byte, byte 1\)"):
        read_lines(path, "key")
    with pytest.raises(UserError, match=r"key: .*gone\.txt cannot be read \(No such file or directory\); advice"):
        read_lines(tmp_path / "gone.txt", "key", "advice")
    (row,) = read_table(_write(path, "a 1 x 99999999999 ²"), 1, "")
    assert row.integers(row.cells[1:2], "") == [1]
    for cell in row.cells[2:]:
        with pytest.raises(UserError, match=r"x\.txt, line 1: .* is not two numbers"):
            row.integers([cell], "two numbers")


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---- the labels of a flat val/ ------------------------------------------------------------------------------
@pytest.fixture
def flat(tmp_path):
    """ILSVRC's layout with a flat val/ of three images each of n01 and n02; they are only listed here."""
    for k, wnid in enumerate(("n01", "n02")):
        _write(tmp_path / "train" / wnid / f"{wnid}_1.JPEG", "")
        for i in range(3):
            _write(tmp_path / "val" / f"ILSVRC2012_val_{3 * k + i + 1:08d}.JPEG", "")
    return tmp_path


def labels(root):
    return [f"n0{i // 3 + 1}" for i in range(6)], [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(6)]


@pytest.mark.parametrize(
    ("form", "encoding"),
    [
        ("{file}\t{wnid}\n", "utf-8"),
        ("{file} {wnid}\n", "utf-8"),
        ("{file}\t{wnid}\r\n", "utf-8-sig"),
        ("{file}\t{wnid}\t7\n", "utf-8"),
        ("{file},{wnid}\n", "utf-16"),
        ("{file}\t{wnid} \n \n", "utf-8"),
        ("val/{stem} {wnid}\n", "utf-8"),
    ],
)
def test_a_label_file_is_read_however_it_was_written(flat, form, encoding):
    wnids, files = labels(flat)
    lines = [form.format(file=file, stem=file[:-5], wnid=wnid) for file, wnid in zip(files, wnids, strict=True)]
    (flat / "val_labels.txt").write_bytes("".join(lines).encode(encoding))
    _, val = read_imagenet(flat)
    assert val.labels.tolist() == [0, 0, 0, 1, 1, 1] and not val.notes
    assert [val.file(row).name for row in range(6)] == files and all(val.file(row).exists() for row in range(6))


def test_the_solution_of_kaggle_gives_labels_and_boxes(flat):
    wnids, files = labels(flat)
    lines = [f"{file[:-5]},{wnid} 85 1 149 127 \n" for file, wnid in zip(files, wnids, strict=True)]
    lines[1] = f"{files[1][:-5]},n01 1 2 3 4 n01 5 6 7 8 \n"
    solution = _write(flat / "LOC_val_solution.csv", "ImageId,PredictionString\n" + "".join(lines))
    xml = "<a><object><name>n02</name><bndbox>{}</bndbox></object></a>"
    corners = "".join(f"<{name}>9</{name}>" for name in ("xmin", "ymin", "xmax", "ymax"))
    _write(flat / "Annotations" / "val" / "ILSVRC2012_val_00000006.xml", xml.format(corners))
    _, val = read_imagenet(flat)
    assert val.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert [boxes.tolist() for boxes in val.boxes[:2]] == [[[85, 1, 149, 127]], [[1, 2, 3, 4], [5, 6, 7, 8]]]
    assert val.boxes[5].tolist() == [[9, 9, 9, 9]]  # the annotation comes first
    _write(solution, "ImageId,PredictionString\nx,n01 85 1 149\n")
    with pytest.raises(UserError, match=r"LOC_val_solution\.csv, line 2: 'x,n01 85 1 149' is not an image and groups"):
        read_imagenet(flat)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.JPEG\n", r"val_labels\.txt, line 1: 'a\.JPEG' is not '<file> <wnid>'"),
        ("a.JPEG n01\na.JPEG n02\n", r"line 2: a\.JPEG is n02, and n01 in .*val_labels\.txt, line 1"),
        ("a.JPEG n01\nb.JPEG n09\n", r"val_labels\.txt, line 2: the class 'n09' has no folder in .*train"),
        ("\n", r"is flat and none of .*val_labels\.txt, .*LOC_val_solution\.csv, .*ground_truth\.txt labels"),
    ],
)
def test_a_label_file_that_cannot_be_used_says_where(flat, text, words):
    _write(flat / "val_labels.txt", text)
    with pytest.raises(UserError, match=words):
        read_imagenet(flat)


def test_images_without_a_label_are_counted(flat):
    _write(flat / "val_labels.txt", "ILSVRC2012_val_00000002.JPEG n01\n")
    _, val = read_imagenet(flat)
    names = ", ".join(f"val/ILSVRC2012_val_{i:08d}.JPEG" for i in (1, 3, 4))
    assert len(val) == 1 and val.notes == (f"passed over without a label: 5 images: {names}, ...",)


# ---- the devkit and the other lists -------------------------------------------------------------------------
def test_a_damaged_devkit_is_named(flat, monkeypatch):
    from scipy.io import savemat

    data = flat / "ILSVRC2012_devkit_t12" / "data"
    truth = _write(data / "ILSVRC2012_validation_ground_truth.txt", "1\nx\n")
    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("words", object), ("num_children", float)]
    savemat(data / "meta.mat", {"synsets": np.array([(1, "n02", "goldfish, carp", 0)], dtype=kinds)})
    for text in ("1\nx\n", "1\n7\n"):
        _write(truth, text)
        with pytest.raises(UserError, match=r"ground_truth\.txt, line 2: '.' is not the number of one of 1 classes"):
            read_imagenet(flat)
    content = (data / "meta.mat").read_bytes()
    (data / "meta.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"meta\.mat: not the devkit's table of classes"):
        read_imagenet(flat)
    crashes = _write(flat / "crashes.py", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(meta_mat, "__file__", str(crashes))
    (data / "meta.mat").write_bytes(b"")
    with pytest.raises(UserError, match=r"meta\.mat: not the devkit's table of classes \(its reader crashed\)"):
        read_imagenet(flat)


def test_words_and_blacklist_survive_other_forms(tmp_path):
    words = tmp_path / "words.txt"
    words.write_bytes("n01\ttench, Tinca tinca\nn02 goldfish\nn03\n".encode("utf-16"))
    assert read_words(words) == {"n01": "tench", "n02": "goldfish"}
    index = make_index(tmp_path, [("val/ILSVRC2012_val_00000002.JPEG", 0)], ["n01"])
    blacklist = tmp_path / "devkit" / "data" / "ILSVRC2014_clsloc_validation_blacklist.txt"
    for text, wanted in (("1\nx\n2\n", blacklist), ("3\n", None)):
        _write(blacklist, text)
        assert find_blacklist(tmp_path, index) == wanted


def test_lists_of_voc_may_have_tabs_and_a_mark(tmp_path):
    sets = tmp_path / "VOC2012" / "ImageSets" / "Main"
    _write(tmp_path / "VOC2012" / "JPEGImages" / "1.jpg", "")
    _write(sets / "val.txt", "").write_bytes(b"\xef\xbb\xbf1\r\n")
    _write(sets / "cat_val.txt", "").write_bytes(b"\xef\xbb\xbf1\t1\r\n\r\n")
    assert read_voc(tmp_path, 2012, "val").targets.tolist() == [[1]]
