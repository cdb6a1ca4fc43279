"""Tiny ImageNet-200 in its own folder layout -> Index: 200 classes, 64-px images, one box an image.

<root>/wnids.txt, words.txt
<root>/train/<wnid>/{images/*.JPEG, <wnid>_boxes.txt}     file<TAB>x0<TAB>y0<TAB>x1<TAB>y1
<root>/val/{images/*.JPEG, val_annotations.txt}           file<TAB>wnid<TAB>x0<TAB>y0<TAB>x1<TAB>y1

And as the scripts leave it that many run on it: images in val/<wnid>/, val/<wnid>/images/ or val/images/<wnid>/ and in
train/<wnid>/, with or without the text files. Without wnids.txt the classes are the folders of train/, sorted; without
the tables there are no boxes. Rows keep the order of the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.index import Index, make_index, require_folder
from zfnet.data.listing import count_and_first, is_image, list_folder, list_images
from zfnet.data.sources.imagenet import read_words
from zfnet.data.tables import read_lines, read_table

_HINT = "unpack tiny-imagenet-200 there or set data.root, see data/README.md"


@dataclass(frozen=True)
class _Entry:
    """An image: its path below the root, its class or "" where nothing tells it, and its box."""

    path: str
    wnid: str
    box: list[int] = field(default_factory=list)  # x0 y0 x1 y1, or empty


def read_tiny_imagenet(root: Path) -> tuple[Index, Index]:
    """(train, val). Raises UserError naming what is missing."""
    if not (root / "train").is_dir() and (root / "tiny-imagenet-200").is_dir():
        root = root / "tiny-imagenet-200"
    require_folder(root / "train", "data.root", _HINT)
    require_folder(root / "val", "data.root", _HINT)
    folders, _ = list_folder(root / "train")
    listed = read_lines(root / "wnids.txt", "data.root") if (root / "wnids.txt").exists() else folders
    classes = [wnid for wnid in listed if wnid in folders]
    if not classes:
        raise UserError(f"data.root: {root / 'train'} has no folder of a class; {_HINT}")
    train = [entry for wnid in folders for entry in _train_entries(root, wnid)]
    order = {wnid: label for label, wnid in enumerate(classes)}
    train.sort(key=lambda entry: order.get(entry.wnid, len(order)))
    return _index(root, "train", train, classes), _index(root, "val", _val_entries(root), classes)


def _train_entries(root: Path, wnid: str) -> list[_Entry]:
    folder = f"train/{wnid}"
    paths = {PurePosixPath(image).name: f"{folder}/{image}" for image in list_images(root / folder).images}
    table = root / folder / f"{wnid}_boxes.txt"
    expected = "'<file> <x0> <y0> <x1> <y1>'"
    rows = read_table(table, 5, expected, "data.root") if table.exists() else []
    entries = []
    for row in rows:
        path = paths.pop(row.cells[0], f"{folder}/images/{row.cells[0]}")
        entries.append(_Entry(path, wnid, row.integers(row.cells[1:5], expected)))
    return entries + [_Entry(path, wnid) for path in paths.values()]


def _val_entries(root: Path) -> list[_Entry]:
    """The images of val/ with the class of their folder, or of the table."""
    listed = [*_listed(root, "val"), *_listed(root, "val/images")]
    table = root / "val" / "val_annotations.txt"
    expected = "'<file> <wnid> <x0> <y0> <x1> <y1>'"
    rows = read_table(table, 6, expected, "data.root") if table.exists() else []
    by_name = {PurePosixPath(entry.path).name: entry for entry in listed}
    entries = []
    for row in rows:
        file, wnid = row.cells[:2]
        entry = by_name.get(file, _Entry(f"val/images/{file}", wnid))
        if entry.wnid not in ("", wnid):
            raise UserError(f"{row.place}: {file} is {wnid}, and it lies in {root / entry.path}")
        entries.append(_Entry(entry.path, wnid, row.integers(row.cells[2:6], expected)))
    in_table = {entry.path for entry in entries}
    return entries + [entry for entry in listed if entry.path not in in_table]


def _listed(root: Path, place: str) -> list[_Entry]:
    """The images in a folder, and those in its folders, which name their class."""
    if not (root / place).is_dir():
        return []
    folders, files = list_folder(root / place)
    entries = [_Entry(f"{place}/{file}", "") for file in files if is_image(file)]
    for name in folders:
        if name != "images":
            entries += [_Entry(f"{place}/{name}/{image}", name) for image in list_images(root / place / name).images]
    return entries


def _index(root: Path, split: str, entries: Sequence[_Entry], classes: list[str]) -> Index:
    """The entries of known classes; notes count the others. Raises UserError where none is left."""
    rank = {wnid: label for label, wnid in enumerate(classes)}
    known = [entry for entry in entries if entry.wnid in rank]
    if not known:
        raise UserError(f"data.root: {root / split} holds no image of a class in {root / 'train'}; {_HINT}")
    unlabeled = [entry.path for entry in entries if not entry.wnid]
    others = [entry.path for entry in entries if entry.wnid and entry.wnid not in rank]
    notes = []
    if unlabeled:
        notes.append(f"passed over without a label: {count_and_first(unlabeled, 'images')}")
    if others:
        notes.append(f"passed over, of classes not in wnids.txt and train/: {count_and_first(others, 'images')}")
    words = read_words(root / "words.txt")
    rows = [(entry.path, rank[entry.wnid]) for entry in known]
    boxes = [np.array(entry.box, dtype=np.int64).reshape(-1, 4) for entry in known]
    return make_index(root, rows, classes, [words.get(wnid, wnid) for wnid in classes], boxes, notes=notes)
