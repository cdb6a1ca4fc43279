"""What is there of the known data sets, what is missing and where to obtain it, and whether any of it is damaged.

Damaged is: an archive whose size or MD5 is not the published one, an empty image file, a cache with frames that are
not as they were written. Fewer images than published are "incomplete", which a deliberate part of a set is too.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.data.archives.archives import ARCHIVES, Archive, places
from zfnet.data.archives.unpack import UNPACKING
from zfnet.data.index import IMAGE_SUFFIXES

_UNUSED = {"test"}  # folder of Tiny ImageNet whose images have no labels


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    data_set: str
    what: str  # the archive, or the folder that it becomes
    state: str  # unpacked, incomplete, archive, missing, whole (a cache) or DAMAGED
    told: str

    @property
    def is_damage(self) -> bool:
        return self.state == "DAMAGED"


def check_all(folder: Path, with_md5: bool = False, table: tuple[Archive, ...] = ARCHIVES) -> list[Finding]:
    """One finding for each known archive or its folder in `folder` (or one folder below), and for each image cache.

    Of a set of which nothing is there, one finding says where to obtain it. Raises UserError without the folder.
    """
    found: list[Finding] = []
    for data_set in dict.fromkeys(row.data_set for row in table):
        rows = [row for row in table if row.data_set == data_set]
        homes, seen = [], set[Path]()
        for place in places(folder):
            held = {path for row in rows for path in _what_is_there(row, place)}
            if held - seen:  # one folder can be seen from two places
                homes.append(place)
            seen |= held
        for home in homes:
            found += [replace(line, data_set=f"{data_set} in {home}") for line in _check_set(rows, home, with_md5)]
        if not homes:
            found.append(Finding(data_set, rows[0].file, "missing", f"obtain it from {rows[0].source}"))
    return found + _check_caches(folder)


def as_table(found: list[Finding]) -> str:
    """The findings in columns under a heading for each data set."""
    width, lines = max(len(line.what) for line in found), []
    for i, line in enumerate(found):
        if i == 0 or line.data_set != found[i - 1].data_set:
            lines.append(line.data_set)
        lines.append(f"  {line.what:{width}}  {line.state:10}  {line.told}".rstrip())
    return "\n".join(lines)


def _what_is_there(row: Archive, home: Path) -> list[Path]:
    archive = [home / row.file] if (home / row.file).is_file() else []
    return archive + ([row.place(home)] if row.is_unpacked(home) else [])


def _check_set(rows: list[Archive], home: Path, with_md5: bool) -> list[Finding]:
    found = [_check_archive(row, home, with_md5) for row in rows if (home / row.file).is_file()]
    alike: dict[tuple[str, str], list[Archive]] = {}
    for row in rows:
        alike.setdefault((row.into, row.proof), []).append(row)
    for first, *others in alike.values():  # two archives that become the same: either will do
        if first.is_unpacked(home):
            found.append(_check_folder(first, home))
        elif not any((home / row.file).is_file() for row in (first, *others)):
            found.append(Finding(first.data_set, first.into, "missing", f"{first.file} from {first.source}"))
    return found


def _check_archive(row: Archive, home: Path, with_md5: bool) -> Finding:
    size = (home / row.file).stat().st_size
    told = _bytes(size)
    if row.size and size != row.size:
        return Finding(row.data_set, row.file, "DAMAGED", f"{size:,} bytes, should be {row.size:,}; obtain it again")
    if with_md5 and row.md5:
        if _md5(home / row.file) != row.md5:
            return Finding(row.data_set, row.file, "DAMAGED", f"{told}, MD5 is not {row.md5}; obtain it again")
        told += ", MD5 right"
    elif with_md5:
        told += ", MD5 not known"
    return Finding(row.data_set, row.file, "archive", told)


def _md5(file: Path, chunk: int = 16 << 20) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as data:
        blocks = -(-file.stat().st_size // chunk)
        for block in track(iter(lambda: data.read(chunk), b""), f"{file.name}, MD5, blocks of 16 MiB:", blocks):
            digest.update(block)
    return digest.hexdigest()


def _check_folder(row: Archive, home: Path) -> Finding:
    place = row.place(home)
    files = _listed_files(place, row.proof) if row.proof.startswith("ImageSets") else _image_files(place)
    sizes = {path: _size(path) for path in track(files, f"{row.into}, files:")}
    classes = {path.parent for path in sizes} if row.n_classes else set()
    empty = [path for path, size in sizes.items() if size == 0]
    told = f"{len(sizes):,} files, {_bytes(sum(sizes.values()))}"
    told = f"{len(classes):,} classes, {told}" if row.n_classes else told
    lacks = [
        f"{what} should be {wanted:,}"
        for what, count, wanted in (("classes", len(classes), row.n_classes), ("files", len(sizes), row.n_images))
        if count < wanted
    ]
    if (home / UNPACKING / row.file.partition(".")[0]).exists():
        lacks.append("unpacking was interrupted: `make data-unpack` goes on")
    if empty:
        return Finding(row.data_set, row.into, "DAMAGED", f"{told}; {len(empty):,} are empty: {empty[0]} ...")
    return Finding(row.data_set, row.into, "incomplete" if lacks else "unpacked", "; ".join([told, *lacks]))


def _image_files(place: Path) -> list[Path]:
    found = []
    for path, folders, files in os.walk(place):
        folders[:] = [name for name in folders if name not in _UNUSED and not name.startswith(".")]
        found += [Path(path, name) for name in files if name.lower().endswith((*IMAGE_SUFFIXES, ".xml", ".mat"))]
    return found


def _listed_files(place: Path, proof: str) -> list[Path]:
    """The images of VOC that the list names and that are there."""
    names = (place / proof).read_text(encoding="utf-8").split()
    files = [place / "JPEGImages" / f"{name}.jpg" for name in names]
    return [file for file in files if file.exists()]


def _check_caches(folder: Path) -> list[Finding]:
    from zfnet.data.cache.images import FACTS, damaged_files

    found = []
    for place in places(folder):
        if not (place / FACTS).is_file():
            continue
        try:
            damaged = damaged_files(place)
        except UserError as error:
            found.append(Finding("image cache", str(place), "DAMAGED", str(error)))
            continue
        told = f"{len(damaged):,} frames, of {damaged[0]} ...; delete it and run stage=data again" if damaged else ""
        found.append(Finding("image cache", str(place), "DAMAGED" if damaged else "whole", told))
    return found


def _size(path: Path) -> int:
    return path.stat().st_size


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
