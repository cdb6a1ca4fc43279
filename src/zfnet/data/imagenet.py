"""ILSVRC-2012 in its folder layout -> Index. The drawn `menagerie` is written in the same layout.

<root>/train/<wnid>/*.JPEG
<root>/val/<wnid>/*.JPEG, or val/*.JPEG (flat) with their labels in one of
    <root>/val_labels.txt                             file<TAB>wnid
    <root>/ILSVRC2012_devkit_t12/data/{meta.mat, ILSVRC2012_validation_ground_truth.txt}
<root>/Annotations/{train/<wnid>,val}/<file>.xml      boxes; train images without one are allowed
<root>/words.txt                                      wnid<TAB>name, optional
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zfnet.data.boxes_xml import read_boxes
from zfnet.data.index import Index, image_files, make_index, require_folder
from zfnet.errors import UserError

_HINT = "put the extracted ILSVRC-2012 there (train/<wnid>/*.JPEG and val/), see data/README.md"


def read_imagenet(root: Path) -> tuple[Index, Index]:
    """(train, val). Raises UserError naming what is missing."""
    train, val = require_folder(root / "train", "data.root", _HINT), require_folder(root / "val", "data.root", _HINT)
    classes = sorted(path.name for path in train.iterdir() if path.is_dir())
    if not classes:
        raise UserError(f"data.root: {train} has no class folders; {_HINT}")
    words = read_words(root / "words.txt")
    names = [words.get(wnid, wnid) for wnid in classes]
    rows = [(f"train/{name}/{file.name}", k) for k, name in enumerate(classes) for file in image_files(train / name)]
    return _index(root, rows, classes, names), _index(root, _val_rows(root, val, classes), classes, names)


def read_words(path: Path) -> dict[str, str]:
    """wnid -> the first of its names, from a words.txt (empty without one)."""
    if not path.exists():
        return {}
    lines = (line.partition("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {wnid: words.split(",")[0].strip() for wnid, _, words in lines if words}


def _val_rows(root: Path, val: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    rank = {name: k for k, name in enumerate(classes)}
    folders = [path for path in sorted(val.iterdir()) if path.is_dir()]
    if folders:
        return [
            (f"val/{folder.name}/{file.name}", rank[folder.name]) for folder in folders for file in image_files(folder)
        ]
    labels = _flat_labels(root, val)
    unknown = sorted(set(labels.values()) - set(rank))
    if unknown:
        raise UserError(f"data.root: validation label {unknown[0]!r} has no folder in {root / 'train'}")
    return [(f"val/{file}", rank[wnid]) for file, wnid in sorted(labels.items())]


def _flat_labels(root: Path, val: Path) -> dict[str, str]:
    table = root / "val_labels.txt"
    if table.exists():
        pairs = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if line)
        return {file: wnid for file, wnid in pairs}
    devkit = root / "ILSVRC2012_devkit_t12" / "data"
    truth = devkit / "ILSVRC2012_validation_ground_truth.txt"
    if not truth.exists():
        raise UserError(f"data.root: {val} is flat and there is neither {table} nor {truth} to label its images")
    wnids = _devkit_wnids(devkit / "meta.mat")
    ids = [int(line) for line in truth.read_text().split()]
    return {f"ILSVRC2012_val_{i:08d}.JPEG": wnids[number] for i, number in enumerate(ids, 1)}


def _devkit_wnids(path: Path) -> dict[int, str]:
    """ILSVRC id -> wnid of the leaf synsets; the ids are not the order of the sorted wnids."""
    from scipy.io import loadmat

    synsets = loadmat(path, squeeze_me=True)["synsets"]
    return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets if int(row["num_children"]) == 0}


def _index(root: Path, rows: Sequence[tuple[str, int]], classes: Sequence[str], names: Sequence[str]) -> Index:
    boxes = [_boxes(root / "Annotations" / Path(path).with_suffix(".xml"), root, path) for path, _ in rows]
    return make_index(root, rows, classes, names, boxes)


def _boxes(xml: Path, root: Path, path: str) -> np.ndarray:
    if not xml.exists() and path.startswith("val/"):
        xml = root / "Annotations" / "val" / xml.name  # images in val/<wnid>/, annotations flat as in the archive
    if not xml.exists():
        return np.zeros((0, 4), dtype=np.int64)
    found = [box for _, box, _ in read_boxes(xml)]
    return np.array(found, dtype=np.int64).reshape(-1, 4)
