"""The user's own images in the ImageFolder layout -> Index.

<root>/train/<class>/* and <root>/val/<class>/*, or <root>/<class>/* (a share is then held out for validation)
<root>/Annotations/**/<file>.xml      optional boxes in the PASCAL VOC format; Annotations/[<split>/]<class>/<file>.xml
                                      where several images have the same name

The boxes of an image are those of the objects named like its class, or of all objects where none is. Photographs are
read upright, by their EXIF orientation.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.index import IMAGE_SUFFIXES, Index, image_files, make_index, require_folder
from zfnet.data.sources.boxes_xml import Annotation, read_annotation

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
    (index,) = _read(root, ("",), _classes(root))
    held_out = _held_out(index, val_share, seed)
    return index.take(np.flatnonzero(~held_out)), index.take(np.flatnonzero(held_out))


def _refuse_half(root: Path) -> None:
    """Raise UserError where only one of train/ and val/ exists and holds folders, so that it is no class."""
    for split in ("train", "val"):
        folder = root / split
        if folder.is_dir() and _folders(folder) and not image_files(folder):
            names = ", ".join(f"{name}/" for name in _folders(root))
            raise UserError(f"data.root: {root} holds {names}; expected train/ and val/ beside each other")


def _folders(folder: Path) -> list[str]:
    """The names of the folders in `folder` that can be classes."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "Annotations")
    return [name for name in names if not name.startswith(".")]


def _classes(folder: Path) -> list[str]:
    names = _folders(folder)
    if len(names) < 2:
        count = "1 class folder" if names else "0 class folders"
        raise UserError(f"data.root: {folder} has {count} and needs at least two; {_HINT}")
    return names


def _read(root: Path, splits: Sequence[str], classes: list[str]) -> list[Index]:
    """The images of each split, with their boxes."""
    rows_by_split = [_rows(root, split, classes) for split in splits]
    images = [Path(path) for path, _ in chain(*rows_by_split)]
    files = iter(_box_files(root / "Annotations", images, {*classes, *splits}))
    indices = []
    for rows in rows_by_split:
        boxes, sizes = [], []
        for _, label in rows:
            file = next(files)
            annotation = Annotation((0, 0), []) if file is None else read_annotation(file)
            boxes.append(annotation.boxes(classes[label]))
            sizes.append(annotation.size)
        indices.append(make_index(root, rows, classes, boxes=boxes, upright=True, sizes=sizes))
    return indices


def _rows(root: Path, split: str, classes: list[str]) -> list[tuple[str, int]]:
    rows = []
    for label, name in enumerate(classes):
        folder = root / split / name
        files = image_files(folder) if folder.is_dir() else []
        rows += [((Path(split) / name / file.name).as_posix(), label) for file in files]
    empty = sorted(set(range(len(classes))) - {label for _, label in rows})
    if empty and (split != "val" or not rows):
        folder = root / split if split == "val" else root / split / classes[empty[0]]
        raise UserError(f"data.root: {folder} holds no image files ({', '.join(IMAGE_SUFFIXES)})")
    return rows


def _box_files(folder: Path, images: Sequence[Path], places: set[str]) -> list[Path | None]:
    """The file of each image's boxes: the one of its name that shares most of its folders and lies in no other.

    places: the names of folders that identify an image. Raises UserError for ambiguous files.
    """
    by_name: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*.xml")):
        by_name.setdefault(file.stem, []).append(file)
    owners: dict[Path, Path] = {}
    box_files: list[Path | None] = []
    for image in images:
        own = set(image.parent.parts)
        near: dict[Path, int] = {}
        for file in by_name.get(image.stem, []):
            named = places.intersection(file.relative_to(folder).parent.parts)
            if named <= own:
                near[file] = len(named)
        nearest = [file for file, count in near.items() if count == max(near.values())]
        if rivals := nearest[1:] or [owners[file] for file in nearest if file in owners]:
            raise UserError(
                f"data.root: {nearest[0]} is ambiguous as the boxes of {image}, because of {rivals[0]}; put those of "
                f"each image into a file like {folder / image.parent / image.stem}.xml"
            )
        box_files.append(nearest[0] if nearest else None)
        owners.update(dict.fromkeys(nearest, image))
    return box_files


def _held_out(index: Index, share: float, seed: int) -> np.ndarray:
    held_out = np.zeros(len(index), dtype=bool)
    rng = np.random.default_rng([seed, len(index)])
    for label in np.unique(index.labels):
        rows = rng.permutation(np.flatnonzero(index.labels == label))
        if len(rows) < 2:
            folder = index.root / index.classes[label]
            raise UserError(
                f"data.root: {folder} holds a single image, which cannot be split into training and validation; "
                "add more, or give train/ and val/"
            )
        held_out[rows[: min(len(rows) - 1, max(1, round(share * len(rows))))]] = True
    return held_out
