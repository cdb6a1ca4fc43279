"""Anyone's own images in the ImageFolder layout -> Index.

<root>/train/<class>/* and <root>/val/<class>/*, or <root>/<class>/* (a share is then held out for validation)
<root>/Annotations/**/<file>.xml      boxes in the PASCAL VOC form, optional; where images of several classes have the
                                      same name, Annotations/<class>/<file>.xml (or <split>/<class>/ of two splits)

Of the objects in such a file those count that are called as the class; all of them where none is. Photographs are read
upright, as people and their drawing tools see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.index import IMAGE_SUFFIXES, Index, image_files, make_index, require_folder
from zfnet.data.sources.boxes_xml import read_boxes

_HINT = "expected one sub-folder of images a class, or train/ and val/ with such sub-folders"


def read_folder(root: Path, val_share: float, seed: int) -> tuple[Index, Index]:
    """(train, val). Without a val/ folder, `val_share` of each class (at least one image) is held out by `seed`.

    Raises UserError naming the folder that is missing, empty, too small or of no training class.
    """
    require_folder(root, "data.root", _HINT)
    if (root / "train").is_dir() and (root / "val").is_dir():
        classes = _classes(root / "train")
        extra = sorted(set(_classes(root / "val")) - set(classes))
        if extra:
            raise UserError(f"data.root: {root / 'val' / extra[0]} has no counterpart in {root / 'train'}")
        train, val = _read(root, ("train", "val"), classes)
        return train, val
    _refuse_half(root)
    (whole,) = _read(root, ("",), _classes(root))
    held = _held_out(whole, val_share, seed)
    return whole.take(np.flatnonzero(~held)), whole.take(np.flatnonzero(held))


def _refuse_half(root: Path) -> None:
    """Raise UserError where only one of train/ and val/ is there, with folders in place of images: no class."""
    for split in ("train", "val"):
        folder = root / split
        if folder.is_dir() and _folders(folder) and not image_files(folder):
            found = ", ".join(f"{name}/" for name in _folders(root))
            raise UserError(f"data.root: {root} holds {found}; expected train/ and val/ beside each other")


def _folders(folder: Path) -> list[str]:
    """The names of the folders in `folder` that can be classes."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "Annotations")
    return [name for name in names if not name.startswith(".")]


def _classes(folder: Path) -> list[str]:
    names = _folders(folder)
    if len(names) < 2:
        found = "1 class folder" if names else "0 class folders"
        raise UserError(f"data.root: {folder} has {found} and needs at least two; {_HINT}")
    return names


def _read(root: Path, splits: Sequence[str], classes: list[str]) -> list[Index]:
    """The images of each split, with their boxes."""
    rows = [_rows(root, split, classes) for split in splits]
    images = [Path(path) for path, _ in chain(*rows)]
    files = iter(_box_files(root / "Annotations", images, {*classes, *splits}))
    boxes = [[_boxes(next(files), classes[k]) for _, k in some] for some in rows]
    return [make_index(root, some, classes, boxes=own, upright=True) for some, own in zip(rows, boxes, strict=True)]


def _rows(root: Path, split: str, classes: list[str]) -> list[tuple[str, int]]:
    rows = [
        ((Path(split) / name / file.name).as_posix(), k)
        for k, name in enumerate(classes)
        if (root / split / name).is_dir()
        for file in image_files(root / split / name)
    ]
    empty = sorted(set(range(len(classes))) - {k for _, k in rows})
    if empty and (split != "val" or not rows):
        folder = root / split if split == "val" else root / split / classes[empty[0]]
        raise UserError(f"data.root: {folder} holds no image files ({', '.join(IMAGE_SUFFIXES)})")
    return rows


def _box_files(folder: Path, images: Sequence[Path], places: set[str]) -> list[Path | None]:
    """The file of each image's boxes: the one of its name that lies in the most of its own folders, and in no other.

    `places` are the names of folders that say whose an image or a file is. Raises UserError where two files are as
    near to an image, or one to two images.
    """
    by_name: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*.xml")):
        by_name.setdefault(file.stem, []).append(file)
    owners: dict[Path, Path] = {}
    found: list[Path | None] = []
    for image in images:
        own = set(image.parent.parts)
        near: dict[Path, int] = {}
        for file in by_name.get(image.stem, []):
            said = places.intersection(file.relative_to(folder).parent.parts)
            if said <= own:
                near[file] = len(said)
        nearest = [file for file, count in near.items() if count == max(near.values())]
        if rivals := nearest[1:] or [owners[file] for file in nearest if file in owners]:
            raise UserError(
                f"data.root: {nearest[0]} cannot be told to be the boxes of {image}, because of {rivals[0]}; put each "
                f"image's into a file like {folder / image.parent / image.stem}.xml"
            )
        found.append(nearest[0] if nearest else None)
        owners.update(dict.fromkeys(nearest, image))
    return found


def _boxes(path: Path | None, name: str) -> np.ndarray:
    """The boxes of the objects called `name`, of all where none is."""
    objects = [] if path is None else read_boxes(path)
    own = [box for called, box, _ in objects if called.casefold() == name.casefold()]
    return np.array(own or [box for _, box, _ in objects], dtype=np.int64).reshape(-1, 4)


def _held_out(whole: Index, share: float, seed: int) -> np.ndarray:
    held = np.zeros(len(whole), dtype=bool)
    rng = np.random.default_rng([seed, len(whole)])
    for label in np.unique(whole.labels):
        rows = rng.permutation(np.flatnonzero(whole.labels == label))
        if len(rows) < 2:
            folder = whole.root / whole.classes[label]
            raise UserError(
                f"data.root: {folder} holds a single image, which cannot be split into training and validation; "
                "add more, or give train/ and val/"
            )
        held[rows[: min(len(rows) - 1, max(1, round(share * len(rows))))]] = True
    return held
