"""Folder layouts -> Index: ILSVRC, Tiny ImageNet, anyone's folder."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from zfnet.core.errors import UserError
from zfnet.data.cache.images import build_cache
from zfnet.data.options import DataOptions
from zfnet.data.sources.folder import read_folder
from zfnet.data.sources.imagenet import read_boxed, read_imagenet
from zfnet.data.sources.tiny_imagenet import read_tiny_imagenet
from zfnet.experiments.localization.locate import Methods, locate
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.tasks import TaskMaker
from zfnet.experiments.sources import raw_files, read_source, why_absent
from zfnet.experiments.table import Config
from zfnet.pipeline.options import PathsOptions

XML = """<annotation><object><name>{}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>
</object><object><name>{}</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
</annotation>"""


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))


@pytest.fixture
def ilsvrc(tmp_path):
    for wnid in ("n01", "n02"):
        picture(tmp_path / "train" / wnid / f"{wnid}_1.JPEG")
        picture(tmp_path / "train" / wnid / f"{wnid}_2.JPEG")
    for i in (1, 2, 3):
        picture(tmp_path / "val" / f"ILSVRC2012_val_{i:08d}.JPEG")
    (tmp_path / "words.txt").write_text("n01\ttench, Tinca tinca\nn02\tgoldfish\n")
    for folder, name in (("train/n01", "n01_1"), ("val", "ILSVRC2012_val_00000002")):
        (tmp_path / "Annotations" / folder).mkdir(parents=True)
        (tmp_path / "Annotations" / folder / f"{name}.xml").write_text(XML.format("n01", "n01"))
    return tmp_path


def test_ilsvrc_flat_validation_by_label_file_with_all_boxes(ilsvrc):
    labels = {1: "n02", 2: "n01", 3: "n02"}
    lines = [f"ILSVRC2012_val_{i:08d}.JPEG\t{wnid}\n" for i, wnid in labels.items()]
    (ilsvrc / "val_labels.txt").write_text("".join(lines))
    train, val = read_imagenet(ilsvrc)
    assert train.names == ("tench", "goldfish") and len(train) == 4
    assert val.labels.tolist() == [1, 0, 1]
    assert [len(boxes) for boxes in val.boxes] == [0, 2, 0] and val.boxes[1][0].tolist() == [1, 2, 5, 6]
    assert [len(boxes) for boxes in train.boxes] == [2, 0, 0, 0]  # train images without a box are allowed


def test_ilsvrc_labels_from_the_devkit_use_its_own_numbering(ilsvrc):
    from scipy.io import savemat

    data = ilsvrc / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    # ILSVRC's order is not the sorted one; n99 is no leaf
    rows = [(1, "n02", "goldfish, carp", 0), (2, "n01", "tench", 0), (3, "n99", "fish", 2)]
    kinds = [("ILSVRC2012_ID", float), ("WNID", object), ("words", object), ("num_children", float)]
    savemat(data / "meta.mat", {"synsets": np.array(rows, dtype=kinds)})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n2\n")
    _, val = read_imagenet(ilsvrc)
    assert [val.classes[label] for label in val.labels] == ["n02", "n01", "n01"]


def test_ilsvrc_says_what_is_missing(ilsvrc, tmp_path):
    with pytest.raises(UserError, match="val_labels.txt"):
        read_imagenet(ilsvrc)
    with pytest.raises(UserError, match="data.root: no folder"):
        read_imagenet(tmp_path / "nowhere")


def test_tiny_imagenet_layout(tmp_path):
    (tmp_path / "wnids.txt").write_text("n2\nn1\n")
    (tmp_path / "words.txt").write_text("n1\tcat, true cat\nn2\tdog\n")
    for wnid in ("n1", "n2"):
        (tmp_path / "train" / wnid).mkdir(parents=True)
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t1\t2\t30\t40\n")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn1\t0\t32\t44\t62\n")
    train, val = read_tiny_imagenet(tmp_path)
    assert train.classes == ("n2", "n1") and train.names == ("dog", "cat")
    assert val.labels.tolist() == [1] and val.boxes[0].tolist() == [[0, 32, 44, 62]]
    assert train.file(0) == tmp_path / "train/n2/images/n2_0.JPEG" and train.boxes[0].tolist() == [[1, 2, 30, 40]]


@pytest.mark.real
def test_the_real_tiny_imagenet_is_read_whole(real_data):
    train, val = read_tiny_imagenet(real_data)
    assert (len(train), len(val), len(train.classes)) == (100_000, 10_000, 200)
    assert all(train.file(row).exists() for row in range(0, 100_000, 997))
    assert all(len(boxes) == 1 for boxes in val.boxes)


def test_a_plain_folder_is_split_by_class_and_seed(picture_folder):
    train, val = read_folder(picture_folder, 0.2, seed=3)
    assert np.bincount(val.labels).tolist() == [2, 2, 2] and np.bincount(train.labels).tolist() == [8, 8, 8]
    assert not set(train.paths) & set(val.paths)
    assert list(read_folder(picture_folder, 0.2, seed=3)[1].paths) == list(val.paths)


def test_a_folder_with_train_and_val_and_boxes(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            picture(tmp_path / split / name / f"{split}_{name}.png")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "val_dog.xml").write_text(XML.format("dog", "dog"))
    train, val = read_folder(tmp_path, 0.2, seed=0)
    assert train.classes == val.classes == ("cat", "dog")
    assert [len(boxes) for boxes in val.boxes] == [0, 2]


def split(root, *names, suffix="png"):
    for name in names:
        picture(root / name / "cat" / f"1.{suffix}")
        picture(root / name / "dog" / f"1.{suffix}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "0 class folders"),
        (lambda root: [picture(root / "a" / "1.png"), (root / "b").mkdir()], r"b holds no image files \(.jpg"),
        (lambda root: [picture(root / "a" / "1.png"), picture(root / "b" / "1.png")], "/a holds a single image"),
        (lambda root: split(root, "train", "validation"), "holds train/, validation/; expected train/ and val/"),
        (lambda root: split(root, "train"), "holds train/; expected train/ and val/"),
        (lambda root: split(root, "test", "val"), "holds test/, val/; expected train/ and val/"),
        (lambda root: [split(root, "train"), split(root, "val", suffix="ras")], r"/val holds no image .*over: .ras 1"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(tmp_path, make, words):
    make(tmp_path)
    with pytest.raises(UserError, match=words):
        read_folder(tmp_path, 0.2, seed=0)


def test_train_can_be_a_class_and_a_class_can_have_no_validation_images(tmp_path):
    for name in ("car", "train"):
        for i in (1, 2):
            picture(tmp_path / "vehicles" / name / f"{i}.png")
    (tmp_path / "vehicles" / "train" / "more").mkdir()
    assert read_folder(tmp_path / "vehicles", 0.5, seed=0)[0].classes == ("car", "train")
    split(tmp_path, "train", "val")
    (tmp_path / "val" / "dog" / "1.png").unlink()
    assert len(read_folder(tmp_path, 0.5, seed=0)[1]) == 1


def test_classes_without_any_validation_image_are_refused(tmp_path):
    for place in ("train/a", "train/b", "train/c", "val/c"):
        picture(tmp_path / place / "1.png")
    (tmp_path / "val" / "a").mkdir()
    config = Config(data=DataOptions(source="folder", root=str(tmp_path), n_classes=2))
    with pytest.raises(UserError, match="data.n_classes: no validation image is of the first 2 classes"):
        read_source(config)
    config.data.n_classes = 3
    assert [len(index) for index in read_source(config)] == [3, 1]


def test_a_single_class_is_refused(picture_folder, ilsvrc):
    chosen = Config(data=DataOptions(source="folder", root=str(picture_folder), n_classes=1))
    with pytest.raises(UserError, match="data.n_classes: a network needs at least two classes; 1 of folder"):
        read_source(chosen)
    shutil.rmtree(ilsvrc / "train" / "n02")
    (ilsvrc / "val_labels.txt").write_text("".join(f"ILSVRC2012_val_{i:08d}.JPEG\tn01\n" for i in (1, 2, 3)))
    with pytest.raises(UserError, match="data.source: a network needs at least two classes; 1 of imagenet"):
        read_source(Config(data=DataOptions(source="imagenet", root=str(ilsvrc))))


def test_boxed_images_without_training_images_take_the_networks_classes(tmp_path):
    for wnid, i in (("n01", 1), ("n07", 2), ("n07", 3)):
        picture(tmp_path / "val" / wnid / f"ILSVRC2012_val_{i:08d}.JPEG")
    (tmp_path / "Annotations" / "val").mkdir(parents=True)
    for wnid, i in (("n01", 1), ("n07", 2)):
        (tmp_path / "Annotations" / "val" / f"ILSVRC2012_val_{i:08d}.xml").write_text(XML.format(wnid, wnid))
    index = read_boxed(tmp_path, "localization.images", ("n00", "n01"), ("ant", "bee"))
    assert index.labels.tolist() == [1, -1]  # n07 is no class of the network; the image without boxes is left out
    assert index.classes == ("n00", "n01") and index.names == ("ant", "bee")
    assert [boxes.tolist() for boxes in index.boxes] == [[[1, 2, 5, 6], [3, 3, 9, 9]]] * 2
    with pytest.raises(UserError, match="localization.images: no folder"):
        read_boxed(tmp_path / "absent", "localization.images", (), ())
    (tmp_path / "Annotations").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="localization.images: no image of .* has a box"):
        read_boxed(tmp_path, "localization.images", (), ())


@pytest.mark.parametrize("section", ["transfer", "voc"])
def test_a_set_that_is_not_there_is_said_and_one_that_is_named_is_an_error_of_its_reader(section, tmp_path):
    config = Config(paths=PathsOptions(data=str(tmp_path)))
    options = getattr(config, section)
    options.source = {"transfer": "caltech101", "voc": "voc2012"}[section]
    assert why_absent(config, section).endswith(f"does not exist; `zfnet data fetch {options.source} --to {tmp_path}`")
    options.source = "none"
    assert why_absent(config, section) == f"{section}.source is none"
    assert raw_files(config, section) == ""
    options.source, options.root = "voc2012" if section == "voc" else "caltech101", str(tmp_path / "named")
    assert why_absent(config, section) == ""


def test_a_validation_folder_that_no_training_class_answers_to_is_named_and_hidden_ones_are_passed_over(ilsvrc):
    (ilsvrc / "val_labels.txt").write_text("".join(f"ILSVRC2012_val_{i:08d}.JPEG\tn01\n" for i in (1, 2, 3)))
    (ilsvrc / "val" / ".ipynb_checkpoints").mkdir()
    assert len(read_imagenet(ilsvrc)[1]) == 3
    (ilsvrc / "val" / "empty").mkdir()
    with pytest.raises(UserError, match="data.root: .*empty has no counterpart"):
        read_imagenet(ilsvrc)
    (ilsvrc / "val" / "empty").rename(ilsvrc / "val" / "n01")
    assert len(read_imagenet(ilsvrc)[1]) == 3  # a class folder without images leaves the flat ones


def one_box(path, corner, name="thing"):
    path.parent.mkdir(parents=True, exist_ok=True)
    corners = "".join(f"<{key}>{corner}</{key}>" for key in ("xmin", "ymin", "xmax", "ymax"))
    path.write_text(f"<a><object><name>{name}</name><bndbox>{corners}</bndbox></object></a>")


def corners(index):
    return {str(path): [int(box[0]) for box in boxes] for path, boxes in zip(index.paths, index.boxes, strict=True)}


def test_boxes_of_images_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    for k, name in enumerate(("cat", "dog")):
        for i in (1, 2):
            picture(tmp_path / name / f"{i}.png")
        one_box(tmp_path / "Annotations" / name / "1.xml", 4 + k)
    one_box(tmp_path / "Annotations" / "dog" / "2.xml", 6)
    boxes = {}
    for index in read_folder(tmp_path, 0.5, seed=0):
        boxes |= corners(index)
    assert boxes == {"cat/1.png": [4], "dog/1.png": [5], "cat/2.png": [], "dog/2.png": [6]}


def test_boxes_of_images_of_two_splits_are_told_apart_too(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            picture(tmp_path / split / name / "1.png")
    one_box(tmp_path / "Annotations" / "train" / "cat" / "1.xml", 1)
    one_box(tmp_path / "Annotations" / "val" / "1.xml", 2)
    with pytest.raises(UserError, match=r"val/1.xml is ambiguous .* val/dog/1.png, because of val/cat/1.png"):
        read_folder(tmp_path, 0.5, seed=0)
    (tmp_path / "Annotations" / "val" / "1.xml").rename(tmp_path / "Annotations" / "val" / "dog.xml")
    train, val = read_folder(tmp_path, 0.5, seed=0)
    assert corners(train) == {"train/cat/1.png": [1], "train/dog/1.png": []}
    assert corners(val) == {"val/cat/1.png": [], "val/dog/1.png": []}


def test_boxes_of_other_things_in_the_picture_do_not_count_where_the_class_has_one(tmp_path):
    for name in ("cat", "dog"):
        for i in (1, 2):
            picture(tmp_path / name / f"{name}{i}.png")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "cat1.xml").write_text(XML.format("person", "Cat"))
    (tmp_path / "Annotations" / "dog1.xml").write_text(XML.format("person", "lead"))
    boxes = {}
    for index in read_folder(tmp_path, 0.5, seed=0):
        boxes |= corners(index)
    assert boxes == {"cat/cat1.png": [3], "dog/dog1.png": [1, 3], "cat/cat2.png": [], "dog/dog2.png": []}


def test_every_class_keeps_an_image_to_train_on(tmp_path):
    for name in ("cat", "dog"):
        for i in (1, 2):
            picture(tmp_path / name / f"{i}.png")
    train, val = read_folder(tmp_path, 0.8, seed=0)
    assert sorted(train.labels) == sorted(val.labels) == [0, 1]


def test_photographs_of_ones_own_are_read_upright_all_the_way(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # as a phone held upright stores them
    for name in ("cat", "dog"):
        for i in (1, 2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(np.zeros((30, 60, 3), np.uint8)).save(tmp_path / name / f"{i}.jpg", exif=exif)
    train, _ = read_folder(tmp_path, 0.5, seed=0)
    assert train.upright and train.take([0]).upright
    images = build_cache(train, tmp_path / "cache", 32)
    assert images.shapes.tolist() == [[60, 30]] * 2 and images.index.upright
    maps = np.random.default_rng(0).random((1, 32, 32), dtype=np.float32)
    options = LocalizationOptions()
    maker = TaskMaker(images, lambda rows, classes: maps, {0: [0]}, 0)
    assert locate(maker.make(0), Methods({"x": options}, {})).shape == (60, 30)
    assert replace(train, upright=False).fingerprint() != train.fingerprint()
