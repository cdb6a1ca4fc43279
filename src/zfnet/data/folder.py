"""Anyone's own images in the ImageFolder layout -> Index.

<root>/train/<class>/* and <root>/val/<class>/*, or <root>/<class>/* (a share is then held out for validation)
<root>/Annotations/**/<file>.xml      boxes in the PASCAL VOC form, optional
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zfnet.data.boxes_xml import read_boxes
from zfnet.data.index import Index, image_files, make_index, require_folder
from zfnet.errors import UserError

_HINT = "expected one sub-folder of images a class, or train/ and val/ with such sub-folders"


def read_folder(root: Path, val_share: float, seed: int) -> tuple[Index, Index]:
    """(train, val). Without a val/ folder, `val_share` of each class (at least one image) is held out by `seed`."""
    require_folder(root, "data.root", _HINT)
    if (root / "train").is_dir() and (root / "val").is_dir():
        classes = _classes(root / "train")
        extra = sorted(set(_classes(root / "val")) - set(classes))
        if extra:
            raise UserError(f"data.root: {root / 'val' / extra[0]} has no counterpart in {root / 'train'}")
        return _read(root, "train", classes), _read(root, "val", classes)
    whole = _read(root, "", _classes(root))
    held = _held_out(whole.labels, val_share, seed)
    return whole.take(np.flatnonzero(~held)), whole.take(np.flatnonzero(held))


def _classes(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "Annotations")
    names = [name for name in names if not name.startswith(".")]
    if len(names) < 2:
        found = "1 class folder" if names else "0 class folders"
        raise UserError(f"data.root: {folder} has {found} and needs at least two; {_HINT}")
    return names


def _read(root: Path, split: str, classes: list[str]) -> Index:
    rows = [
        ((Path(split) / name / file.name).as_posix(), k)
        for k, name in enumerate(classes)
        if (root / split / name).is_dir()
        for file in image_files(root / split / name)
    ]
    empty = sorted(set(range(len(classes))) - {k for _, k in rows})
    if empty and split != "val":
        raise UserError(f"data.root: {root / split / classes[empty[0]]} holds no image files")
    xml = {path.stem: path for path in sorted((root / "Annotations").rglob("*.xml"))}
    boxes = [_boxes(xml.get(Path(path).stem)) for path, _ in rows]
    return make_index(root, rows, classes, boxes=boxes)


def _boxes(path: Path | None) -> np.ndarray:
    found = [] if path is None else [box for _, box, _ in read_boxes(path)]
    return np.array(found, dtype=np.int64).reshape(-1, 4)


def _held_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    held = np.zeros(len(labels), dtype=bool)
    rng = np.random.default_rng([seed, len(labels)])
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise UserError("data.root: a class with a single image cannot be split into training and validation")
        held[rows[: max(1, round(share * len(rows)))]] = True
    return held
