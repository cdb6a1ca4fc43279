"""ILSVRC-2012 in its folder layout -> Index. The drawn `menagerie` is written in the same layout.

<root>/train/<wnid>/*.JPEG
<root>/val/<wnid>/*.JPEG, or val/*.JPEG (flat) with their labels in one of
    <root>/val_labels.txt                             file, wnid
    <root>/LOC_val_solution.csv                       as Kaggle has it, with boxes
    <root>/ILSVRC2012_devkit_t12/data/{meta.mat, ILSVRC2012_validation_ground_truth.txt}
<root>/Annotations/{train/<wnid>,val}/<file>.xml      boxes; train images without one are allowed
<root>/words.txt                                      wnid<TAB>name; without it the devkit's names, or the wnids

`make data-unpack` makes this layout from the official archives. The challenge's localization scores leave out 1,762
validation images with poor boxes; later devkits list them in data/*validation_blacklist.txt, which is used when such a
devkit lies under <root>.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.data.archives.unpack import UNPACKING
from zfnet.data.index import Index, make_index, no_boxes, require_folder
from zfnet.data.listing import count_and_first, list_folder, list_images, notes_of
from zfnet.data.sources.box_files import BoxFiles
from zfnet.data.sources.val_labels import devkit_synsets, read_flat_labels, read_solution
from zfnet.data.tables import read_lines, read_text

_HINT = "put the extracted ILSVRC-2012 there (train/<wnid>/*.JPEG and val/), see data/README.md"


def read_imagenet(root: Path) -> tuple[Index, Index]:
    """(train, val). Raises UserError naming what is missing."""
    train = require_folder(root / "train", "data.root", _HINT)
    val = require_folder(root / "val", "data.root", _HINT)
    if (root / UNPACKING).exists():
        raise UserError(f"data.root: {root} is only partly unpacked; `make data-unpack DATA={root}` resumes")
    classes, _ = list_folder(train)
    if not classes:
        raise UserError(f"data.root: {train} has no class folders; {_HINT}")
    names = _names(root, classes)
    listings = {f"train/{name}": list_images(train / name) for name in classes} | {"val": list_images(val)}
    files = BoxFiles(root, [file for listing in listings.values() for file in listing.box_files])
    rows = [(f"train/{name}/{file}", k) for k, name in enumerate(classes) for file in listings[f"train/{name}"].images]
    train_index = _index(root, rows, classes, names, files)
    val_rows, val_notes = _val_rows(root, listings["val"].images, classes)
    val_index = replace(_index(root, val_rows, classes, names, files), notes=tuple(val_notes))
    return replace(train_index, notes=(*notes_of(listings), *files.notes())), val_index


def read_val(root: Path) -> Index:
    """The images of val/, for a folder of this layout without train/: the classes are those that occur in it.

    Raises UserError naming what is missing.
    """
    listing = list_images(require_folder(root / "val", "data.root", _HINT))
    classes = list_folder(root / "val")[0]
    if not classes:
        classes = sorted({label.wnid for label in read_flat_labels(root, listing.images).values()})
    files = BoxFiles(root, listing.box_files)
    rows, notes = _val_rows(root, listing.images, classes)
    index = _index(root, rows, classes, _names(root, classes), files)
    return replace(index, notes=(*notes_of({"val": listing}), *notes, *files.notes()))


def read_boxed(root: Path, key: str, known: Sequence[str], names: Sequence[str]) -> Index:
    """The images with boxes of val/<wnid>/ and Annotations/ in a folder of this layout, which needs no train/.

    Labels are rows of `known`, the ids of a network's classes with their `names`, or -1 for other classes.
    Raises UserError naming `key` when no image has a box.
    """
    val = require_folder(root / "val", key, "expected val/<wnid>/*.JPEG and Annotations/val/*.xml in it")
    folders, _ = list_folder(val)
    listing = list_images(val)
    rows = _val_rows(root, listing.images, folders)[0] if folders else []
    index = _index(root, rows, folders, folders, BoxFiles(root, listing.box_files))
    boxed = [row for row, boxes in enumerate(index.boxes) if len(boxes) or index.fault(row)]
    if not boxed:
        raise UserError(f"{key}: no image of {val}/<wnid>/ has a box in {root / 'Annotations'}")
    rank = {name: row for row, name in enumerate(known)}
    labels = np.array([rank.get(name, -1) for name in folders], dtype=np.int64)[index.labels]
    return replace(index, labels=labels, classes=tuple(known), names=tuple(names)).take(boxed)


def read_words(path: Path) -> dict[str, str]:
    """wnid -> the first of its names, from a words.txt; empty where it is missing."""
    if not path.exists():
        return {}
    rows = [line.split(maxsplit=1) for line in read_lines(path)]
    return {row[0]: row[1].split(",")[0].strip() for row in rows if len(row) > 1}


def find_blacklist(root: Path, images: Index) -> Path | None:
    """The devkit's list of validation images that localization does not score; None where it names none of `images`."""
    files = sorted(root.glob("*devkit*/data/*validation_blacklist.txt"))
    if not files:
        return None
    listed = {word.lstrip("0") for word in read_text(files[-1]).split()}
    matches = (re.search(r"ILSVRC2012_val_(\d+)", str(path)) for path in images.paths)
    return files[-1] if any(match and match[1].lstrip("0") in listed for match in matches) else None


def _names(root: Path, classes: Sequence[str]) -> list[str]:
    """The classes' first names by words.txt or the devkit, or the wnids."""
    words = read_words(root / "words.txt") or {wnid: name for wnid, name in devkit_synsets(root).values()}
    return [words.get(wnid, wnid) for wnid in classes]


def _val_rows(root: Path, images: list[str], classes: Sequence[str]) -> tuple[list[tuple[str, int]], list[str]]:
    """(path, label) of each of the images below val/, and a note on those without a label."""
    rank = {name: k for k, name in enumerate(classes)}
    if extra := sorted(set(list_folder(root / "val")[0]) - set(rank)):
        raise UserError(
            f"data.root: {root / 'val' / extra[0]} has no counterpart in {root / 'train'}; remove it, or add the class"
        )
    wnids = {image: image.partition("/")[0] for image in images if "/" in image}
    if not wnids:
        labels = read_flat_labels(root, images)
        for label in labels.values():
            if label.wnid not in rank:
                raise UserError(f"{label.place}: the class {label.wnid!r} has no folder in {root / 'train'}")
        wnids = {file: label.wnid for file, label in sorted(labels.items())}
    unlabeled = [f"val/{image}" for image in images if image not in wnids]
    notes = [f"passed over without a label: {count_and_first(unlabeled, 'images')}"] if unlabeled else []
    return [(f"val/{image}", rank[wnid]) for image, wnid in wnids.items()], notes


def _index(
    root: Path, rows: Sequence[tuple[str, int]], classes: Sequence[str], names: Sequence[str], files: BoxFiles
) -> Index:
    solution = {label.image: np.array(label.boxes, np.int64) for label in read_solution(root)}
    boxes, sizes, faults = [], [], []
    for path, _ in track(rows, "boxes of images:"):
        own = files.named_like(path)
        annotation = files.read(own[0] if own else None)
        boxes.append(annotation.boxes() if own else solution.get(Path(path).stem, no_boxes(1)[0]))
        sizes.append(annotation.size)
        faults.append(annotation.fault)
    return make_index(root, rows, classes, names, boxes, sizes=sizes, faults=faults)
