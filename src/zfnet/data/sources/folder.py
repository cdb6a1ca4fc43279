"""The user's own images in the ImageFolder layout -> Index.

<root>/train/<class>/* and <root>/val/<class>/*, or <root>/<class>/* (a share is then held out for validation)
<root>/Annotations/**/<file>.xml      optional boxes in the PASCAL VOC format, or beside the photographs;
                                      Annotations/[<split>/]<class>/<file>.xml where several images have the same name

A class holds the images of the folders in its folder, too, unless no class holds an image directly.

The boxes of an image are those of the objects named like its class, or of all objects where none is. Photographs are
read upright, by their EXIF orientation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.index import Index, make_index, require_folder
from zfnet.data.listing import (
    ANNOTATIONS,
    IMAGE_SUFFIXES,
    Listing,
    count_and_first,
    image_files,
    is_image,
    list_folder,
    list_images,
    notes_of,
)
from zfnet.data.sources.box_files import BoxFiles
from zfnet.data.sources.boxes_xml import Annotation

_HINT = "expected one sub-folder of images a class, or train/ and val/ with such sub-folders"
_SPLITS = frozenset(  # names of folders that are splits where they hold folders
    ("train", "training", "training_set", "val", "valid", "validation", "validation_set", "test", "test_set")
)


def read_folder(root: Path, val_share: float, seed: int) -> tuple[Index, Index]:
    """(train, val). Without a val/ folder, `val_share` of each class (at least one image) is held out by `seed`.

    Raises UserError naming the folder that is missing, empty, too small, too deep or of no training class.
    """
    require_folder(root, "data.root", _HINT)
    splits = [name for name in list_folder(root)[0] if name.lower() in _SPLITS and _is_split(root / name)]
    if splits and (root / "train").is_dir() and (root / "val").is_dir():
        classes = _classes(root / "train")
        extra = sorted(set(_classes(root / "val")) - set(classes))
        if extra:
            raise UserError(f"data.root: {root / 'val' / extra[0]} has no counterpart in {root / 'train'}")
        train, val = _read(root, {split: _list_classes(root / split, classes) for split in ("train", "val")})
        return train, val
    if splits:
        names = ", ".join(f"{name}/" for name in class_folders(root))
        raise UserError(f"data.root: {root} holds {names}; expected train/ and val/ beside each other")
    (index,) = _read(root, {"": _list_classes(root, _classes(root))})
    if beside := [file.name for file in image_files(root)]:
        note = f"passed over beside the class folders: {count_and_first(beside, 'images')}"
        index = replace(index, notes=(note, *index.notes))
    held_out = _held_out(index, val_share, seed)
    return index.take(np.flatnonzero(~held_out)), replace(index.take(np.flatnonzero(held_out)), notes=())


def read_all(root: Path) -> Index | None:
    """All images of <root>/<class>/*, of one class or more; None where no class has any.

    A folder without images is no class, and its files are passed over.
    """
    listings = _list_classes(root, class_folders(root))
    classes = {name: listing for name, listing in listings.items() if listing.images}
    if not classes:
        return None
    (index,) = _read(root, {"": classes})
    others = {name: listing for name, listing in listings.items() if not listing.images}
    return replace(index, notes=(*index.notes, *notes_of(others)))


def _is_split(folder: Path) -> bool:
    """Whether a folder holds folders and no image, so that it is no class."""
    folders, files = list_folder(folder)
    return bool(folders) and not any(is_image(name) for name in files)


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in `folder` that can be classes."""
    return [name for name in list_folder(folder)[0] if name.lower() != ANNOTATIONS]


def _classes(folder: Path) -> list[str]:
    names = class_folders(folder)
    if len(names) == 1 and len(class_folders(folder / names[0])) > 1:
        raise UserError(f"data.root: {folder} holds nothing but {names[0]}/; give data.root={folder / names[0]}")
    if len(names) < 2:
        count = "1 class folder" if names else "0 class folders"
        raise UserError(f"data.root: {folder} has {count} and needs at least two; {_HINT}")
    return names


def _list_classes(folder: Path, classes: Sequence[str]) -> dict[str, Listing]:
    return {name: list_images(folder / name) for name in classes}


def _read(root: Path, splits: Mapping[str, Mapping[str, Listing]]) -> list[Index]:
    """The images of each split (split -> class -> its files), with their boxes; all splits have the same classes."""
    rows_by_split = [_rows(root, split, listings) for split, listings in splits.items()]
    classes = list(next(iter(splits.values())))
    beside = [file for listings in splits.values() for listing in listings.values() for file in listing.box_files]
    finder = BoxFinder(root, BoxFiles(root, beside), {*classes, *splits})
    indices = []
    for (split, listings), rows in zip(splits.items(), rows_by_split, strict=True):
        annotations = [finder.annotation(path) for path, _ in rows]
        boxes = [note.boxes(classes[label]) for note, (_, label) in zip(annotations, rows, strict=True)]
        sizes = [note.size for note in annotations]
        faults = [note.fault for note in annotations]
        notes = notes_of({f"{split}/{name}".lstrip("/"): listing for name, listing in listings.items()})
        index = make_index(root, rows, classes, boxes=boxes, upright=True, sizes=sizes, faults=faults, notes=notes)
        indices.append(index)
    indices[0] = replace(indices[0], notes=(*indices[0].notes, *finder.files.notes()))
    return indices


def _rows(root: Path, split: str, listings: Mapping[str, Listing]) -> list[tuple[str, int]]:
    _refuse_depth(root / split, listings)
    rows = []
    for label, (name, listing) in enumerate(listings.items()):
        rows += [((Path(split) / name / image).as_posix(), label) for image in listing.images]
    empty = [name for name, listing in listings.items() if not listing.images]
    if empty and (split != "val" or not rows):
        folder = root / split if split == "val" else root / split / empty[0]
        others = listings[empty[0]].others
        passed_over = f"; passed over: {others}" if others else ""
        raise UserError(f"data.root: {folder} holds no image files ({', '.join(IMAGE_SUFFIXES)}){passed_over}")
    return rows


def _refuse_depth(folder: Path, listings: Mapping[str, Listing]) -> None:
    """Raise UserError where the folders of classes hold folders with images, and no images themselves."""
    if any("/" not in image for listing in listings.values() for image in listing.images):
        return
    for name, listing in listings.items():
        inner = sorted({image.partition("/")[0] for image in listing.images})
        if len(inner) > 1:
            raise UserError(
                f"data.root: {folder / name} holds {inner[0]}/, {inner[1]}/ and no image itself, so that {folder} is "
                f"one level above the classes; give data.root={folder / name}, or move the class folders together"
            )


class BoxFinder:
    """The boxes of each image: of the file of its name that shares most of its folders and lies in no other.

    places: the names of folders that identify an image. Files below Annotations/ come before those beside the images.
    """

    def __init__(self, root: Path, files: BoxFiles, places: set[str]) -> None:
        self.root, self.files = root, files
        self._places = {name.casefold() for name in places}
        self._owners: dict[Path, str] = {}

    def annotation(self, image: str) -> Annotation:
        """The annotation of an image, by its path below the root. Raises UserError for ambiguous files."""
        own = {part.casefold() for part in Path(image).parent.parts}
        near: dict[Path, tuple[bool, int]] = {}
        for file in self.files.named_like(image):
            parts = [part.casefold() for part in file.relative_to(self.root).parent.parts]
            named = self._places.intersection(parts)
            if named <= own:
                near[file] = (parts[:1] == [ANNOTATIONS], len(named))
        nearest = [file for file, rank in near.items() if rank == max(near.values())]
        rivals: list[object] = [*nearest[1:], *(self._owners[file] for file in nearest if file in self._owners)]
        if rivals:
            proper = self.root / "Annotations" / Path(image).with_suffix(".xml")
            raise UserError(
                f"data.root: {nearest[0]} is ambiguous as the boxes of {image}, because of {rivals[0]}; put those of "
                f"each image into a file like {proper}"
            )
        self._owners.update(dict.fromkeys(nearest, image))
        return self.files.read(nearest[0] if nearest else None)


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
