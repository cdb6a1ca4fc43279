"""The state of the known datasets and of image caches: present, missing (with a source) or damaged.

Damaged are an archive whose size or MD5 is not the published one, an empty image file, and a cache with frames of
another checksum. Fewer images than published, as in a subset made on purpose, are "incomplete".
"""

import hashlib
import itertools
from dataclasses import dataclass, replace
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.data.archives.archives import ARCHIVES, Archive, places
from zfnet.data.archives.unpack import UNPACKING
from zfnet.data.listing import is_image, walk

_UNUSED = {"test"}  # folder of Tiny ImageNet whose images have no labels


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    dataset: str
    what: str  # the archive, or the folder that it becomes
    state: str  # unpacked, incomplete, archive, missing, whole (a cache) or DAMAGED
    details: str

    @property
    def is_damage(self) -> bool:
        return self.state == "DAMAGED"


def check_all(folder: Path, with_md5: bool = False, table: tuple[Archive, ...] = ARCHIVES) -> list[Finding]:
    """One finding for each known archive, its folder and each image cache in `folder` or one folder below.

    A dataset that is missing has one finding with its source. Raises UserError without the folder.
    """
    findings: list[Finding] = []
    for dataset in dict.fromkeys(row.dataset for row in table):
        rows = [row for row in table if row.dataset == dataset]
        homes, seen = [], set[Path]()
        for place in places(folder):
            present: set[Path] = set()
            for row in rows:
                present.update(_present_paths(row, place))
            if present - seen:  # the same folder can be reached from two places
                homes.append(place)
            seen |= present
        for home in homes:
            findings += [replace(line, dataset=f"{dataset} in {home}") for line in _check_set(rows, home, with_md5)]
        if not homes:
            how = f"`zfnet data fetch {rows[0].name}`" if rows[0].urls else f"obtain it from {rows[0].source}"
            findings.append(Finding(dataset, rows[0].file, "missing", how))
    return findings + _check_caches(folder)


def as_table(findings: list[Finding]) -> str:
    """The findings in columns under a heading for each dataset."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for dataset, group in itertools.groupby(findings, lambda finding: finding.dataset):
        lines.append(dataset)
        for finding in group:
            lines.append(f"  {finding.what:{width}}  {finding.state:10}  {finding.details}".rstrip())
    return "\n".join(lines)


def _present_paths(row: Archive, home: Path) -> list[Path]:
    archive = [home / row.file] if (home / row.file).is_file() else []
    return archive + ([row.place(home)] if row.is_unpacked(home) else [])


def _check_set(rows: list[Archive], home: Path, with_md5: bool) -> list[Finding]:
    findings = [_check_archive(row, home, with_md5) for row in rows if (home / row.file).is_file()]
    alternatives: dict[tuple[str, str], list[Archive]] = {}
    for row in rows:
        alternatives.setdefault((row.into, row.proof), []).append(row)
    for first, *others in alternatives.values():  # archives of the same folder: one of them is enough
        if first.is_unpacked(home):
            findings.append(_check_folder(first, home))
        elif not any((home / row.file).is_file() for row in (first, *others)):
            findings.append(Finding(first.dataset, first.into, "missing", f"{first.file} from {first.source}"))
    return findings


def _check_archive(row: Archive, home: Path, with_md5: bool) -> Finding:
    size = (home / row.file).stat().st_size
    details = as_bytes(size)
    if row.size and size != row.size:
        return Finding(row.dataset, row.file, "DAMAGED", f"{size:,} bytes, should be {row.size:,}; obtain it again")
    if with_md5 and row.md5:
        if md5_of(home / row.file) != row.md5:
            return Finding(row.dataset, row.file, "DAMAGED", f"{details}, MD5 is not {row.md5}; obtain it again")
        details += ", MD5 right"
    elif with_md5:
        details += ", MD5 not known"
    return Finding(row.dataset, row.file, "archive", details)


def md5_of(file: Path, chunk: int = 16 << 20) -> str:
    """The MD5 sum of a file, with progress."""
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as data:
        blocks = -(-file.stat().st_size // chunk)
        for block in track(iter(lambda: data.read(chunk), b""), f"{file.name}, MD5, blocks of 16 MiB:", blocks):
            digest.update(block)
    return digest.hexdigest()


def _check_folder(row: Archive, home: Path) -> Finding:
    place = row.place(home)
    files = _listed_files(place, row.proof) if row.proof.startswith("ImageSets") else _image_files(place)
    sizes = {path: path.stat().st_size for path in track(files, f"{row.into}, files:")}
    classes = {path.parent for path in sizes} if row.n_classes else set()
    empty = [path for path, size in sizes.items() if size == 0]
    details = f"{len(sizes):,} files, {as_bytes(sum(sizes.values()))}"
    details = f"{len(classes):,} classes, {details}" if row.n_classes else details
    problems = []
    if len(classes) < row.n_classes:
        problems.append(f"classes should be {row.n_classes:,}")
    if len(sizes) < row.n_images:
        problems.append(f"files should be {row.n_images:,}")
    if (home / UNPACKING / row.file.partition(".")[0]).exists():
        problems.append("unpacking was interrupted: `make data-unpack` resumes it")
    if empty:
        return Finding(row.dataset, row.into, "DAMAGED", f"{details}; {len(empty):,} are empty: {empty[0]} ...")
    return Finding(row.dataset, row.into, "incomplete" if problems else "unpacked", "; ".join([details, *problems]))


def _image_files(place: Path) -> list[Path]:
    images = []
    for path, folders, files in walk(place):
        folders[:] = [name for name in folders if name not in _UNUSED]
        images += [path / name for name in files if is_image(name) or name.lower().endswith((".xml", ".mat"))]
    return images


def _listed_files(place: Path, proof: str) -> list[Path]:
    """The images of VOC that the list names and that exist."""
    names = (place / proof).read_text(encoding="utf-8").split()
    files = [place / "JPEGImages" / f"{name}.jpg" for name in names]
    return [file for file in files if file.exists()]


def _check_caches(folder: Path) -> list[Finding]:
    from zfnet.data.cache.frames import DELETE
    from zfnet.data.cache.images import FACTS, damaged_files

    findings = []
    for place in places(folder):
        if not (place / FACTS).is_file():
            continue
        try:
            damaged = damaged_files(place)
        except UserError as error:
            findings.append(Finding("image cache", str(place), "DAMAGED", str(error)))
            continue
        details = f"{len(damaged):,} frames, of {damaged[0]} ...; {DELETE}" if damaged else ""
        findings.append(Finding("image cache", str(place), "DAMAGED" if damaged else "whole", details))
    return findings


def as_bytes(size: float) -> str:
    """A size in bytes as text: "248 MB"."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
