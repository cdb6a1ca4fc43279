"""The folders of datasets as people have them: which files are images, which are boxes, and what is passed over.

Links are followed, to folders as well as to files; a dangling link counts as a file, which then cannot be read. Hidden
names, what file managers and archivers leave behind, and the outputs of zfnet are skipped.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zfnet.core.errors import UserError

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp"),
    *(".tif", ".tiff", ".gif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
)
OUTPUTS = ".zfnet-outputs"  # empty file in a folder of outputs, which are no data wherever they lie
ANNOTATIONS = "annotations"  # folder of box files, in any case
_LEFTOVERS = {"__macosx", "@eadir", "lost+found", "thumbs.db", "desktop.ini"}
_NOTES = 5  # classes whose passed over files are listed


@dataclass
class Listing:
    """The files in a folder and below it."""

    images: list[str] = field(default_factory=list)  # relative to the folder; its own come first
    box_files: list[Path] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)  # by suffix

    @property
    def others(self) -> str:
        """What was passed over, the most frequent first: ".heic 3, .mov 1"."""
        return ", ".join(f"{suffix} {count}" for suffix, count in self.passed_over.most_common())


def is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """(names of the folders, names of the files) in `folder`, sorted."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower() in _LEFTOVERS:
                    continue
                if not entry.is_dir():
                    files.append(entry.name)
                elif not os.path.lexists(os.path.join(entry.path, OUTPUTS)):
                    folders.append(entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); make it readable or remove it") from error
    for name in folders:
        if not _is_text(name):
            raise UserError(f"{folder}: the name of its folder {name!a} is not UTF-8; rename it")
    return sorted(folders), sorted(files)


def mark_outputs(folder: Path) -> None:
    """Mark a folder, and those made for it, as outputs, which are no part of any dataset.

    No error where they cannot be written.
    """
    made = [parent for parent in folder.parents if not parent.exists()]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, *made):
            (place / OUTPUTS).touch()


def walk(folder: Path, _above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple[Path, list[str], list[str]]]:
    """(folder, names of its folders, names of its files) of `folder` and all below it, each before its folders.

    A link to a folder above itself is not followed. As with os.walk, folders can be removed from their list.
    """
    state = os.stat(folder)
    identity = (state.st_dev, state.st_ino)
    if identity in _above:
        return
    folders, files = list_folder(folder)
    yield folder, folders, files
    for name in folders:
        yield from walk(folder / name, _above | {identity})


def image_files(folder: Path) -> list[Path]:
    """The image files directly in `folder`, sorted by name."""
    return [folder / name for name in list_folder(folder)[1] if is_image(name)]


def list_images(folder: Path) -> Listing:
    """The images in `folder` and below it, and what else is there; empty where there is no such folder."""
    listing = Listing()
    for place, _, files in walk(folder) if folder.is_dir() else ():
        prefix = "" if place == folder else f"{place.relative_to(folder).as_posix()}/"
        for name in files:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in IMAGE_SUFFIXES and _is_text(name):
                listing.images.append(prefix + name)
            elif suffix == ".xml":
                listing.box_files.append(place / name)
            else:
                listing.passed_over[suffix if suffix and _is_text(name) else "others"] += 1
    return listing


def _is_text(name: str) -> bool:
    """Whether a file name is valid Unicode, as everything that is written down has to be."""
    return name.isascii() or name.encode(errors="ignore") == name.encode(errors="surrogatepass")


def list_annotations(root: Path) -> list[Path]:
    """The box files below the folder Annotations/ of a dataset."""
    places = [root / name for name in list_folder(root)[0] if name.lower() == ANNOTATIONS]
    return [file for place in places for file in list_images(place).box_files]


def notes_of(listings: Mapping[str, Listing]) -> list[str]:
    """A sentence for each class of which files were passed over."""
    classes = {name: listing for name, listing in listings.items() if listing.passed_over}
    notes = []
    for name, listing in list(classes.items())[:_NOTES]:
        count = listing.passed_over.total()
        notes.append(f"{count:,} file{'s' if count > 1 else ''} of {name} passed over: {listing.others}")
    if len(classes) > _NOTES:
        notes.append(f"files of {len(classes) - _NOTES:,} more classes passed over")
    return notes


def count_and_first(names: Iterable[object], what: str, shown: int = 3) -> str:
    """The number of `names` and the first of them: "12 images: a.jpg, b.jpg, c.jpg, ..."."""
    texts = [str(name) for name in names]
    more = ", ..." if len(texts) > shown else ""
    return f"{len(texts):,} {what if len(texts) != 1 else what.removesuffix('s')}: {', '.join(texts[:shown])}{more}"
