"""Photographs in the layouts that people have: what is read, how it is halved, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zfnet.core.errors import UserError
from zfnet.data.options import DataOptions
from zfnet.data.sources.photographs import UNLABELED, halves, read_photographs
from zfnet.experiments.sources import forget_listings, raw_files
from zfnet.experiments.table import Config

DOG, CAT = "n02110185", "n02123045"


def draw(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(file, format="JPEG")


def paths(*indices) -> set[str]:
    return {str(path) for index in indices for path in index.paths}


def test_a_folder_of_photographs_is_halved_and_without_labels(tmp_path: Path) -> None:
    draw(*(tmp_path / f"{number}.jpg" for number in range(5)), tmp_path / "older" / "a.jpg")
    (tmp_path / "notes.txt").write_text("not an image")
    train, val = read_photographs(tmp_path, seed=0)
    assert (len(train), len(val)) == (3, 3)
    assert paths(train, val) == {"older/a.jpg", *(f"{number}.jpg" for number in range(5))}
    assert train.classes == val.classes == (UNLABELED,) and not train.labels.any()
    assert train.upright and "passed over: .txt 1" in train.notes[0] and not val.notes
    again, _ = read_photographs(tmp_path, seed=0)
    others = [paths(read_photographs(tmp_path, seed=seed)[0]) for seed in range(1, 9)]
    assert paths(again) == paths(train) and any(other != paths(train) for other in others)


def test_photographs_without_labels_keep_their_boxes(tmp_path: Path) -> None:
    draw(*(tmp_path / f"{number}.jpg" for number in range(4)))
    xml = "<annotation><object><name>n</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>"
    (tmp_path / "Annotations").mkdir()
    for file in ("Annotations/0.xml", "1.xml", "Annotations/nothing.xml"):
        (tmp_path / file).write_text(f"{xml}</object></annotation>")
    train, val = read_photographs(tmp_path, seed=0)
    boxed = {str(index.paths[row]) for index in (train, val) for row in range(len(index)) if len(index.boxes[row])}
    assert boxed == {"0.jpg", "1.jpg"}
    assert train.notes[-1] == "box files that belong to no image: 1 file: Annotations/nothing.xml"


def test_a_class_folder_without_images_is_named_with_what_it_holds(tmp_path: Path) -> None:
    draw(tmp_path / "cat" / "a.jpg", tmp_path / "cat" / "b.jpg")
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "c.heic").write_bytes(b"")
    train, _ = read_photographs(tmp_path, seed=0)
    assert train.classes == ("cat",) and train.notes == ("1 file of dog passed over: .heic 1",)


def test_one_folder_a_class_needs_neither_two_classes_nor_two_images(tmp_path: Path) -> None:
    draw(tmp_path / "golden retriever" / "a.jpg", tmp_path / "golden retriever" / "b.jpg", tmp_path / "tabby" / "c.jpg")
    (tmp_path / "empty").mkdir()
    train, val = read_photographs(tmp_path, seed=0)
    assert train.classes == ("golden retriever", "tabby")
    assert paths(train, val) == {"golden retriever/a.jpg", "golden retriever/b.jpg", "tabby/c.jpg"}
    for index in (train, val):
        folders = [Path(str(path)).parent.name for path in index.paths]
        assert folders == [index.classes[label] for label in index.labels]


def test_imagenet_without_training_images_is_halved_and_keeps_its_boxes(tmp_path: Path) -> None:
    draw(*(tmp_path / "val" / wnid / f"{wnid}_{number}.JPEG" for wnid in (CAT, DOG) for number in range(3)))
    (tmp_path / "words.txt").write_text(f"{DOG}\tSiberian husky\n{CAT}\ttabby, tabby cat\n")
    boxes = tmp_path / "Annotations" / "val"
    boxes.mkdir(parents=True)
    xml = "<annotation><object><name>n</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>"
    (boxes / f"{DOG}_1.xml").write_text(f"{xml}</object></annotation>")
    train, val = read_photographs(tmp_path, seed=3)
    assert train.classes == val.classes == (DOG, CAT) and train.names == ("Siberian husky", "tabby")
    assert len(train) == len(val) == 3 and len(paths(train, val)) == 6
    assert sum(len(own) for index in (train, val) for own in index.boxes) == 1


def test_flat_validation_images_take_their_classes_from_the_list(tmp_path: Path) -> None:
    draw(tmp_path / "val" / "a.JPEG", tmp_path / "val" / "b.JPEG")
    (tmp_path / "val_labels.txt").write_text(f"a.JPEG\t{CAT}\nb.JPEG\t{DOG}\n")
    train, val = read_photographs(tmp_path, seed=0)
    labels = {str(index.paths[0]): index.classes[index.labels[0]] for index in (train, val)}
    assert labels == {"val/a.JPEG": CAT, "val/b.JPEG": DOG}


@pytest.mark.parametrize("names", [(CAT, DOG), ("cat", "dog")])
def test_a_training_split_stays_one(tmp_path: Path, names) -> None:
    draw(*(tmp_path / split / name / f"{split}.jpg" for split in ("train", "val") for name in names))
    train, val = read_photographs(tmp_path, seed=0)
    assert paths(train) == {f"train/{name}/train.jpg" for name in names}
    assert paths(val) == {f"val/{name}/val.jpg" for name in names}


def test_halves_are_disjoint_and_in_order() -> None:
    from zfnet.data.index import make_index

    index = make_index(Path("/r"), [(f"{number:03d}.jpg", number % 3) for number in range(101)], ["a", "b", "c"])
    first, second = halves(index, seed=5)
    assert (len(first), len(second)) == (50, 51) and not paths(first) & paths(second)
    for half in (first, second):
        assert list(half.paths) == sorted(half.paths)
        np.testing.assert_array_equal(half.labels, [int(str(path)[:3]) % 3 for path in half.paths])


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data.root: .* holds no image files"):
        read_photographs(tmp_path, seed=0)
    draw(tmp_path / "one.jpg")
    with pytest.raises(UserError, match="holds 1 photograph, and two halves need at least two"):
        read_photographs(tmp_path, seed=0)
    with pytest.raises(UserError, match="data.root: no folder"):
        read_photographs(tmp_path / "gone", seed=0)


def test_a_photograph_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", tmp_path / "b.jpg")
    config = Config(data=DataOptions(source="photographs", root=str(tmp_path)))
    before = raw_files(config, "data")
    Image.new("RGB", (30, 30), (9, 90, 200)).save(tmp_path / "b.jpg")
    forget_listings()
    assert raw_files(config, "data") != before
