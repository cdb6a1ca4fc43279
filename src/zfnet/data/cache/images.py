"""The cache of one split: every image shrunk once to its frame, kept as raw uint8 or JPEG in one memory map.

    <folder>/pixels.npy     (n, size, size, 3) uint8 RGB, or
    <folder>/pixels.jpegs   the frames as JPEG files end to end (zfnet.data.cache.frames)
    <folder>/index.npz      paths, labels, boxes, height and width of the originals; length and CRC-32 of the frames
    <folder>/mean.npy       (size, size, 3) float32, optional: the per-pixel mean of a training split ([ZF13] 3)
    <folder>/cache.json     classes, what the cache was made from, checksums of the two files above; written last

A cache knows no network: each makes its inputs from the frames (zfnet.networks.inputs).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.core.lock import lock_folder
from zfnet.core.progress import track
from zfnet.core.resume import checksum, is_whole, read_checked, report_damage, write_checked
from zfnet.data.cache.frames import (
    DELETE,
    Packing,
    StoredFrames,
    Written,
    damaged_frames,
    fill,
    finish_build,
    open_frames,
    write_frames,
)
from zfnet.data.crops import Frame
from zfnet.data.index import Index
from zfnet.data.listing import count_and_first

Rows = Sequence[int] | np.ndarray
FACTS = "cache.json"
INDEX = "index.npz"
MEAN = "mean.npy"


@dataclass(frozen=True)
class Images:
    """The images of one split as frames in memory."""

    index: Index
    pixels: np.ndarray | StoredFrames  # (n, size, size, 3) uint8
    shapes: np.ndarray  # (n, 2) height, width of the originals
    mean: np.ndarray | None = None  # (size, size, 3) float32, of a training split
    checksums: np.ndarray | None = None  # (n,) CRC-32 of the frames as stored; None: computed when needed

    def __len__(self) -> int:
        return len(self.index)

    @property
    def size(self) -> int:
        """Side of the frames in px."""
        return self.pixels.shape[1]

    def frames(self, rows: Rows) -> np.ndarray:
        """The frames of `rows`, (b, size, size, 3) uint8."""
        return self.pixels[np.asarray(rows)]

    def frame(self, row: int, size: int = 0) -> Frame:
        """The geometry of an original image and its frame of `size` px (0: as cached)."""
        return Frame(int(self.shapes[row, 0]), int(self.shapes[row, 1]), size or self.size)

    def take(self, rows: Rows) -> Images:
        """The images of `rows` only."""
        rows = np.asarray(rows)
        checksums = None if self.checksums is None else self.checksums[rows]
        pixels, shapes = self.pixels.take(rows, axis=0), self.shapes[rows]
        return replace(self, index=self.index.take(rows), pixels=pixels, shapes=shapes, checksums=checksums)

    def fingerprint(self) -> str:
        """Hash of the index and the pixels."""
        checksums = self.checksums
        if checksums is None:
            checksums = np.array([zlib.crc32(self.pixels[row].tobytes()) for row in range(len(self))], np.int64)
        digest = hashlib.sha256(f"{self.index.fingerprint()} {self.size}".encode())
        digest.update(np.ascontiguousarray(checksums, np.int64).tobytes())
        return digest.hexdigest()[:16]

    def cut(self, rows: Rows, top: Rows, left: Rows, side: int) -> Tensor:
        """A crop of `side` px at (top, left) of each image, (b, side, side, 3) uint8, in pinned memory with a GPU."""
        rows = np.asarray(rows)
        pixels = torch.empty((len(rows), side, side, 3), dtype=torch.uint8, pin_memory=torch.cuda.is_available())

        def crop(i: int) -> np.ndarray:
            return self.pixels[rows[i]][top[i] : top[i] + side, left[i] : left[i] + side]

        fill(pixels.numpy(), crop)
        return pixels


def build_cache(
    index: Index,
    folder: Path,
    size: int,
    bad_limit: int = 0,
    cache: str = "raw",
    quality: int = 90,
    files: str = "",
    mean: bool = False,
) -> Images:
    """The cache of `index` in `folder`, built there (in threads, resumable) unless it is complete.

    cache, quality: `raw` pixels, or `jpeg` of that quality. mean: also compute the mean image.
    files: a digest of the image files; when it changes, they are read again.
    At most `bad_limit` unreadable files are left out and named in cache.json; one more raises a UserError.
    A complete cache is compared with its checksums; damage is reported and the cache built again.
    """
    packing = Packing(size, cache, quality if cache == "jpeg" else 0)
    key = {"format": 3, "fingerprint": index.fingerprint(), "root": str(index.root), "files": files, **vars(packing)}
    if index.upright:
        key["upright"] = True
    expected = {"key": key, "classes": list(index.classes), "names": list(index.names)}
    with lock_folder(folder, f"{folder}: another run is building this image cache; waiting for it", wait=True):
        facts = read_checked(folder / FACTS) or {}
        if facts.get("key") != key or len(facts["bad_files"]) > bad_limit or _is_damaged(folder):
            for stale in (FACTS, MEAN):
                (folder / stale).unlink(missing_ok=True)
            written = write_frames(index, folder, packing, bad_limit, key)
            kept = np.setdiff1d(np.arange(len(index)), written.bad)
            if len(index) and not len(kept):
                raise UserError(f"{index.root}: none of the {len(index):,} images could be read, {index.paths[0]} ...")
            _write_index(index.take(kept), written, folder)
            facts = {"bad_files": [str(index.paths[row]) for row in written.bad]}
            facts["notes"] = _notes(index.paths[kept], written.changes)
            if written.bad:
                bad = [f"{file} ({why})" for file, why in zip(facts["bad_files"], written.reasons, strict=True)]
                facts["notes"].append(f"unreadable and left out: {count_and_first(bad, 'images')}")
        if mean and not (folder / MEAN).exists():
            _write_mean(folder, packing)
        expected |= {name: facts[name] for name in ("bad_files", "notes")}
        expected["checksums"] = {name: checksum(folder / name) for name in (INDEX, MEAN) if (folder / name).exists()}
        if facts != expected:  # newly written, or with other names
            write_checked(folder / FACTS, expected)
        finish_build(folder, cache)
    return open_cache(folder)


def open_cache(folder: Path) -> Images:
    """The cache in `folder`, as `build_cache` wrote it. Raises UserError when it is incomplete or damaged."""
    try:
        facts = read_checked(folder / FACTS) or {}
        for name, part in facts.get("checksums", {}).items():
            if not is_whole(folder / name, part):
                raise ValueError(f"{name} is missing or damaged")
        arrays = np.load(folder / INDEX)
        flat, ends = arrays["boxes"], np.cumsum(arrays["n_boxes"]).tolist()
        boxes = [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        targets = arrays.get("targets")
        classes, names = tuple(facts["classes"]), tuple(facts["names"])
        key = facts["key"]
        root, upright = Path(key["root"]), key.get("upright", False)
        index = Index(
            root,
            arrays["paths"],
            arrays["labels"],
            classes,
            names,
            tuple(boxes),
            targets,
            upright,
            notes=tuple(facts["notes"]),
        )
        packing = Packing(key["size"], key["kind"], key["quality"])
        pixels = open_frames(folder, packing, arrays["lengths"], arrays["checksums"])
        mean = np.load(folder / MEAN) if (folder / MEAN).exists() else None
        return Images(index, pixels, arrays["shapes"], mean, arrays["checksums"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: not a complete image cache ({error}); {DELETE}") from error


def damaged_files(folder: Path) -> list[str]:
    """Names of the images in the cache in `folder` whose frames are damaged. Raises as `open_cache`."""
    images = open_cache(folder)
    assert isinstance(images.pixels, StoredFrames)
    return [str(images.index.paths[row]) for row in damaged_frames(images.pixels)]


def _is_damaged(folder: Path) -> bool:
    """Whether a file or a frame of the cache is not as it was written, which is reported."""
    try:
        files = damaged_files(folder)
        damage = f"{len(files)} damaged frame(s), the first of {files[0]}" if files else ""
    except UserError as error:
        damage = str(error.__cause__)  # without the advice to delete it
    if damage:
        report_damage(folder, f"{damage}; the image cache is built again")
    return bool(damage)


def _notes(paths: np.ndarray, changes: list[str]) -> list[str]:
    """A sentence for each kind of change to boxes, with the first images."""
    notes = []
    for change in sorted(set(changes) - {""}):
        changed = [str(path) for path, done in zip(paths, changes, strict=True) if done == change]
        notes.append(f"boxes {change} to fit the picture, of {count_and_first(changed, 'images')}")
    return notes


def _write_index(index: Index, written: Written, folder: Path) -> None:
    arrays = {
        "paths": index.paths,
        "labels": index.labels,
        "shapes": np.array(written.shapes, np.int32).reshape(-1, 2),
        "lengths": np.array(written.lengths, np.int64),
        "checksums": np.array(written.checksums, np.int64),
        "n_boxes": np.array([len(boxes) for boxes in written.boxes], dtype=np.int64),
        "boxes": np.array([box for boxes in written.boxes for box in boxes], dtype=np.int64).reshape(-1, 4),
    }
    if index.targets is not None:
        arrays["targets"] = index.targets
    with atomic_write(folder / INDEX) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _write_mean(folder: Path, packing: Packing) -> None:
    arrays = np.load(folder / INDEX)
    mean = _mean_image(open_frames(folder, packing, arrays["lengths"], arrays["checksums"]))
    with atomic_write(folder / MEAN) as temporary:
        np.save(temporary, mean)


def _mean_image(pixels: np.ndarray | StoredFrames, chunk: int = 512) -> np.ndarray:
    """Per-pixel mean over all images, (size, size, 3) float32, from exact sums."""
    total = np.zeros(pixels.shape[1:], dtype=np.int64)
    for start in track(range(0, len(pixels), chunk), f"mean image, blocks of {chunk} images:"):
        total += np.asarray(pixels[start : start + chunk]).sum(axis=0, dtype=np.int32)
    return (total / max(len(pixels), 1)).astype(np.float32)
