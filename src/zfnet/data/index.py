"""Index: the images of one split of any dataset, their labels, class names and boxes.

A source (imagenet, tiny_imagenet, caltech, voc, folder, menagerie) reads a folder layout and returns an `Index`. Paths
and labels are numpy arrays, which worker processes share without copies.

Boxes are x0 y0 x1 y1, inclusive pixel corners in the original image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.boxes import Size


@dataclass(frozen=True)
class Index:
    """The images of one split.

    paths (n,) str relative to `root`; labels (n,) int64 rows of `classes`; `classes` are ids (wnid or folder
    name) and `names` readable ones; boxes: n arrays (k, 4) int64 of the labeled class, (0, 4) where
    unknown; targets (n, classes) int8 for multi-label sets: 1 present, 0 absent, -1 only difficult instances;
    upright: the files are read by their EXIF orientation; sizes (n, 2) int64 width and height of the pictures
    that the boxes were drawn on, 0 where unknown, None where they fit the pictures as read (zfnet.data.boxes);
    faults: why the boxes of an image could not be read, which makes it unreadable, "" where they could, or () for all;
    notes: what was passed over or changed in reading, a sentence each.
    """

    root: Path
    paths: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    boxes: tuple[np.ndarray, ...]
    targets: np.ndarray | None = None
    upright: bool = False
    sizes: np.ndarray | None = None
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.paths) == len(self.labels) == len(self.boxes):
            raise ValueError(f"{len(self.paths)} paths, {len(self.labels)} labels, {len(self.boxes)} lists of boxes")
        if len(self.classes) != len(self.names):
            raise ValueError(f"{len(self.classes)} classes but {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.paths)

    def file(self, row: int) -> Path:
        return self.root / str(self.paths[row])

    def fault(self, row: int) -> str:
        """Why the boxes of an image could not be read; "" where they could."""
        return self.faults[row] if self.faults else ""

    def take(self, rows: Sequence[int] | np.ndarray) -> Index:
        """The images of `rows`, in that order; the classes stay."""
        rows = np.asarray(rows, dtype=np.int64)
        targets = None if self.targets is None else self.targets[rows]
        sizes = None if self.sizes is None else self.sizes[rows]
        faults = tuple(self.faults[row] for row in rows) if self.faults else ()
        boxes = tuple(self.boxes[row] for row in rows)
        paths, labels = self.paths[rows], self.labels[rows]
        return replace(self, paths=paths, labels=labels, boxes=boxes, targets=targets, sizes=sizes, faults=faults)

    def only_classes(self, ids: Iterable[str]) -> Index:
        """The images of the classes `ids`, relabeled in that order. Raises UserError for an unknown class."""
        ids = tuple(ids)
        unknown = [name for name in ids if name not in self.classes]
        if unknown:
            raise UserError(f"data.classes: {self.root} has no class {unknown[0]!r}")
        old = np.array([self.classes.index(name) for name in ids], dtype=np.int64)
        new = np.full(len(self.classes), -1, dtype=np.int64)
        new[old] = np.arange(len(ids))
        kept = self.take(np.flatnonzero((self.labels >= 0) & (new[self.labels] >= 0)))
        names = tuple(self.names[row] for row in old)
        targets = None if kept.targets is None else kept.targets[:, old]
        return replace(kept, labels=new[kept.labels], classes=ids, names=names, targets=targets)

    def limit_per_class(self, count: int, seed: int) -> Index:
        """At most `count` images a class (0: all), drawn by `seed`, in their order."""
        if count == 0:
            return self
        rng = np.random.default_rng([seed, count])
        order = rng.permutation(len(self))
        by_class = order[np.argsort(self.labels[order], kind="stable")]
        labels = self.labels[by_class]
        rank = np.arange(len(labels)) - np.searchsorted(labels, labels)  # 0, 1, 2 ... within each class
        return self.take(np.sort(by_class[rank < count]))

    def fingerprint(self) -> str:
        """Hash of paths, labels, classes, boxes with their sizes, and targets, without the pixels."""
        digest = hashlib.sha256("\0".join((*self.classes, *map(str, self.paths))).encode())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        for boxes in self.boxes:
            digest.update(np.ascontiguousarray(boxes, dtype=np.int64).tobytes() + b"|")
        for array in (self.targets, self.sizes):
            if array is not None:
                digest.update(np.ascontiguousarray(array).tobytes())
        if self.faults:
            digest.update("\0".join(self.faults).encode())
        if self.upright:
            digest.update(b"upright")
        return digest.hexdigest()[:16]


def no_boxes(count: int) -> tuple[np.ndarray, ...]:
    """`count` empty lists of boxes."""
    return (np.zeros((0, 4), dtype=np.int64),) * count


def make_index(
    root: Path,
    rows: Sequence[tuple[str, int]],
    classes: Sequence[str],
    names: Sequence[str] | None = None,
    boxes: Sequence[np.ndarray] | None = None,
    upright: bool = False,
    sizes: Sequence[Size] | None = None,
    faults: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Index:
    """Index from (relative path, label) rows."""
    paths = np.array([path for path, _ in rows], dtype=np.str_)
    labels = np.array([label for _, label in rows], dtype=np.int64)
    drawn_on = np.array(sizes or [], dtype=np.int64).reshape(-1, 2)
    return Index(
        root,
        paths,
        labels,
        tuple(classes),
        tuple(names or classes),
        no_boxes(len(rows)) if boxes is None else tuple(boxes),
        upright=upright,
        sizes=drawn_on if drawn_on.any() else None,
        faults=tuple(faults) if any(faults) else (),
        notes=tuple(notes),
    )


def require_folder(path: Path, key: str, hint: str) -> Path:
    """`path`, or a UserError that names the configuration key and says how to mend it."""
    if not path.is_dir():
        raise UserError(f"{key}: no folder {path}; {hint}")
    return path
