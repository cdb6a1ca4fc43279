"""PASCAL VOC as a classification set: several labels an image, some of them only `difficult`.

    VOC2012/ImageSets/Main/<class>_<split>.txt    lines "<image> 1", "<image> -1" or "<image> 0" (only difficult)
    VOC2012/ImageSets/Main/<split>.txt            image names
    VOC2012/JPEGImages/<image>.jpg

Targets are 1 present, 0 absent, -1 only difficult instances, which an average precision ignores. The test split of
2012, whose labels are on the evaluation server, is read without targets.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.index import Index, make_index
from zfnet.data.tables import read_table

SOURCES = {
    2007: "VOCtrainval_06-Nov-2007.tar and VOCtest_06-Nov-2007.tar from https://thor.robots.ox.ac.uk/pascal/VOC/voc2007",
    2012: "VOCtrainval_11-May-2012.tar from https://thor.robots.ox.ac.uk/pascal/VOC/voc2012",
}
TARGETS = {"1": 1, "-1": 0, "0": -1}  # as in the files -> as in Index.targets


def read_voc(root: Path, year: int, split: str) -> Index:
    """The images of one split ("train", "val", "trainval", "test"), with targets (n, classes).

    `root` is VOC<year>, the VOCdevkit folder that holds it, or the folder above that. An image's label is its
    first class in the order of names (-1 where it has none); boxes are left empty. Without class files,
    targets are None. Raises UserError naming what is missing.
    """
    folder = _find(root, year)
    sets = folder / "ImageSets" / "Main"
    needed = f"it needs {_source(year)}"
    names = [row.cells[0] for row in read_table(sets / f"{split}.txt", 1, "the name of an image", "voc.root", needed)]
    classes = sorted({path.name.rpartition("_")[0] for path in sets.glob("*_*.txt")})
    if not classes:
        raise UserError(f"voc.root: no class files <class>_<split>.txt in {sets}; {needed}")
    rows = [(f"JPEGImages/{name}.jpg", -1) for name in names]
    index = make_index(folder, rows, classes, [_readable(name) for name in classes])
    missing = [row for row in range(len(index)) if not os.path.isfile(index.file(row))]
    if missing:
        raise UserError(f"voc.root: {len(missing)} images of {split}.txt are missing: {index.file(missing[0])} ...")
    files = [sets / f"{name}_{split}.txt" for name in classes]
    if not any(file.is_file() for file in files):
        return index
    targets = np.stack([_read_targets(file, names, needed) for file in files], axis=1)
    present = targets == 1
    labels = np.where(present.any(1), present.argmax(1), -1)
    return replace(index, targets=targets, labels=labels)


def has_labels(root: Path, year: int, split: str) -> bool:
    """Whether the split and its class files exist (the test split of 2012 has none)."""
    sets = _find(root, year) / "ImageSets" / "Main"
    return (sets / f"{split}.txt").is_file() and any(sets.glob(f"*_{split}.txt"))


def _find(root: Path, year: int) -> Path:
    name = f"VOC{year}"
    for folder in (root, root / name, root / "VOCdevkit" / name):
        if folder.name == name and (folder / "ImageSets" / "Main").is_dir():
            return folder
    raise UserError(f"voc.root: {root} holds no {name}/ImageSets/Main; it needs {_source(year)}")


def _source(year: int) -> str:
    return SOURCES.get(year, f"the development kit of VOC {year} (years with a source: 2007, 2012)")


def _read_targets(file: Path, names: list[str], hint: str) -> np.ndarray:
    targets = {}
    expected = "'<image> 1', '<image> -1' or '<image> 0'"
    for row in read_table(file, 2, expected, "voc.root", hint):
        name, sign, *_ = row.cells
        if sign not in TARGETS:
            raise row.error(expected)
        targets[name] = TARGETS[sign]
    missing = [name for name in names if name not in targets]
    if missing:
        raise UserError(f"{file}: has no line for image {missing[0]}; unpack the archive again")
    return np.array([targets[name] for name in names], dtype=np.int8)


def _readable(name: str) -> str:
    return {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv"}.get(name, name)
