"""Tiny ImageNet-200 in its own folder layout -> Index: 200 classes, 64-px images, one box an image.

<root>/wnids.txt, words.txt
<root>/train/<wnid>/{images/*.JPEG, <wnid>_boxes.txt}     file<TAB>x0<TAB>y0<TAB>x1<TAB>y1
<root>/val/{images/*.JPEG, val_annotations.txt}           file<TAB>wnid<TAB>x0<TAB>y0<TAB>x1<TAB>y1
"""

from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.index import Index, make_index, require_folder
from zfnet.data.sources.imagenet import read_words
from zfnet.data.tables import read_lines

_HINT = "unpack tiny-imagenet-200 there or set data.root, see data/README.md"


def read_tiny_imagenet(root: Path) -> tuple[Index, Index]:
    """(train, val). Raises UserError naming what is missing."""
    if not (root / "wnids.txt").exists() and (root / "tiny-imagenet-200").is_dir():
        root = root / "tiny-imagenet-200"
    require_folder(root / "train", "data.root", _HINT)
    classes = read_lines(root / "wnids.txt", "data.root", _HINT)
    words = read_words(root / "words.txt")
    names = [words.get(wnid, wnid) for wnid in classes]
    train = [
        (f"train/{wnid}/images/{file}", k, box)
        for k, wnid in enumerate(classes)
        for file, box in _table(root / "train" / wnid / f"{wnid}_boxes.txt", skip=0)
    ]
    rank = {wnid: k for k, wnid in enumerate(classes)}
    annotations = root / "val" / "val_annotations.txt"
    val_wnids = [line.split("\t")[1] for line in read_lines(annotations, "data.root", _HINT)]
    val = [
        (f"val/images/{file}", rank[wnid], box)
        for (file, box), wnid in zip(_table(annotations, skip=1), val_wnids, strict=True)
    ]
    return _index(root, train, classes, names), _index(root, val, classes, names)


def _index(root: Path, rows: list[tuple[str, int, list[int]]], classes: list[str], names: list[str]) -> Index:
    boxes = [np.array([box], dtype=np.int64) for _, _, box in rows]
    return make_index(root, [(path, label) for path, label, _ in rows], classes, names, boxes)


def _table(path: Path, skip: int) -> list[tuple[str, list[int]]]:
    """(file, box) of each line, with `skip` columns between them."""
    try:
        cells = [line.split("\t") for line in read_lines(path, "data.root", _HINT)]
        return [(row[0], [int(value) for value in row[1 + skip : 5 + skip]]) for row in cells]
    except ValueError as error:
        raise UserError(f"{path}: a line is not file and four numbers ({error})") from error
