"""The frames of a cache on disk, raw pixels or packed JPEGs, and their resumable build.

    raw     pixels.npy      (n, size, size, 3) uint8, memory mapped
    jpeg    pixels.jpegs    JPEG files end to end, memory mapped

`StoredFrames` reads either like an array, and compares the checksum of each frame that is read.

Either file grows by blocks, in the order of the index, under the name build.frames. The resume store build.jsonl beside
it holds a record of each block: its offset and checksum, and the length, CRC-32 and original shape of every frame. An
interrupted build resumes after the last whole block and ends with the same bytes.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.files import npy_header, os_errors_named
from zfnet.core.machine import n_cores
from zfnet.core.progress import track
from zfnet.core.resume import Part, PartWriter, Store, is_whole, report_damage
from zfnet.data.boxes import fit_boxes
from zfnet.data.crops import shrink
from zfnet.data.decode import read_rgb
from zfnet.data.index import Index

T = TypeVar("T")

FILES = {"raw": "pixels.npy", "jpeg": "pixels.jpegs"}  # by kind of cache
BLOCK = 2000  # images between two records in the resume store
CHUNK = 2 << 20  # bytes of pixels that are worth a thread
DELETE = "delete the folder, and the next run builds it again"  # of a damaged cache
_HEADER = 128  # bytes of the .npy header, for any number of frames
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


# ---- writing ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Packing:
    """How frames are stored: their side in px, `raw` or `jpeg`, and the quality of the JPEGs."""

    size: int
    kind: str = "raw"
    quality: int = 90

    def encode(self, frame: np.ndarray) -> bytes:
        if self.kind == "raw":
            return frame.tobytes()
        options = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        return cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1].tobytes()

    def header(self, n_frames: int) -> bytes:
        """The header of the file; its length does not depend on `n_frames`."""
        if self.kind == "jpeg":
            return b""
        header = npy_header((n_frames, self.size, self.size, 3), "|u1")
        if len(header) != _HEADER:
            raise ValueError(f"a .npy header of {len(header)} bytes")
        return header


@dataclass
class Written:
    """What a build has written: length, CRC-32 and original (height, width) of each frame, its boxes and what was done
    to them, the bad rows and why they are bad.
    """

    lengths: list[int] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    shapes: list[tuple[int, int]] = field(default_factory=list)
    boxes: list[list[list[int]]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)  # of the boxes (zfnet.data.boxes); "": none
    bad: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.lengths) + len(self.bad)

    def add(self, block: Written) -> None:
        for name, values in vars(block).items():
            getattr(self, name).extend(values)


def write_frames(index: Index, folder: Path, packing: Packing, bad_limit: int, key: dict[str, Any]) -> Written:
    """Shrink every image of `index` into `folder`, in threads; an interrupted build of the same `key` is resumed.

    Raises UserError naming a file once more than `bad_limit` are unreadable, and for errors of the disk.
    """
    frames, final = folder / "build.frames", folder / FILES[packing.kind]
    with os_errors_named(frames):
        folder.mkdir(parents=True, exist_ok=True)
        blocks = Store(folder / "build.jsonl", key)
        if blocks.names and final.exists() and not frames.exists():  # interrupted after the last frame
            os.replace(final, frames)
        frames.touch()
        done = _whole_blocks(blocks, frames)
        _require_space(folder, packing, len(index) - done.rows)
        offset = len(packing.header(0)) + sum(done.lengths)
        os.truncate(frames, offset)
        for data, block in _blocks(index, packing, done, bad_limit):
            part = _write(frames, offset, data)
            blocks.put(_name(done), {"part": part, **vars(block)})
            done.add(block)
            offset += part["length"]
        _write(frames, 0, [packing.header(len(done.lengths))])
        os.replace(frames, final)
    return done


def _require_space(folder: Path, packing: Packing, n_frames: int) -> None:
    needed = n_frames * packing.size**2 * 3 / (8 if packing.kind == "jpeg" else 1)  # a JPEG takes about an eighth
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: the cache takes about {needed / 1e9:,.1f} GB and {free / 1e9:,.1f} GB are free; make room, or "
            "try data.cache=jpeg or a smaller data.size"
        )


def finish_build(folder: Path, kind: str) -> None:
    """Remove the resume store of the build, and the frames of another kind of cache."""
    (folder / "build.jsonl").unlink(missing_ok=True)
    for other in set(FILES) - {kind}:
        (folder / FILES[other]).unlink(missing_ok=True)


def _name(before: Written) -> str:
    """The name of the block that follows these images."""
    return f"from image {before.rows}"


def _write(file: Path, offset: int, pieces: Iterable[bytes]) -> Part:
    with PartWriter(file, offset) as writer:
        for piece in pieces:
            writer.write(piece)
        return writer.finish()


def _whole_blocks(blocks: Store, frames: Path) -> Written:
    """The blocks of an interrupted build, up to the first that is damaged."""
    done = Written()
    while block := blocks.get(_name(done)):
        if not is_whole(frames, block.pop("part")):
            report_damage(frames, f"damaged or cut; it is built again from image {done.rows} on")
            break
        done.add(Written(**block))
    return done


def _blocks(index: Index, packing: Packing, done: Written, bad_limit: int) -> Iterator[tuple[list[bytes], Written]]:
    """(encoded frames, their record) of each block of images after those that are done."""

    def read(row: int) -> tuple[bytes, Written] | UserError:
        file, annotated = index.file(row), (0, 0) if index.sizes is None else index.sizes[row].tolist()
        if fault := index.fault(row):
            return UserError(fault)
        try:
            image = read_rgb(file, index.upright)
            boxes, change = fit_boxes(index.boxes[row], tuple(annotated), image.shape, file, index.upright)
        except UserError as error:
            return error
        frame = packing.encode(shrink(image, packing.size))
        shape = (image.shape[0], image.shape[1])
        return frame, Written([len(frame)], [zlib.crc32(frame)], [shape], [boxes.tolist()], [change])

    rows, n_bad = range(done.rows, len(index)), len(done.bad)
    frames, block = [], Written()
    for row, image in zip(rows, track(in_order(read, rows), "caching images:", len(rows)), strict=True):
        if isinstance(image, UserError):
            n_bad += 1
            if n_bad > bad_limit:
                raise UserError(f"{image}, or skip it: data.bad_limit={n_bad} or more") from image
            block.bad.append(row)
            block.reasons.append(str(image).removeprefix(f"{index.file(row)}: ").partition(";")[0])
        else:
            frames.append(image[0])
            block.add(image[1])
        if block.rows == BLOCK or row == rows[-1]:
            yield frames, block
            frames, block = [], Written()


def in_order(function: Callable[[int], T], rows: Iterable[int], ahead: int = 256) -> Iterator[T]:
    """function(row) of every row, in order, computed by threads at most `ahead` rows early."""
    pending: deque[Future[T]] = deque()
    threads = ThreadPoolExecutor(max_workers=n_threads())
    try:
        for row in rows:
            pending.append(threads.submit(function, row))
            if len(pending) == ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


# ---- reading ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class StoredFrames:
    """Frames in one file that read like an array (n, size, size, 3) uint8.

    Indexing by a row or an array of rows copies raw frames, and decodes JPEG ones in threads; the first time in a
    process their CRC-32 is compared. Slices and `take` are views. Raises UserError when a frame is damaged.
    """

    data: np.ndarray  # (bytes,) uint8, memory map
    kind: str  # raw or jpeg
    starts: np.ndarray  # (n,) where each frame begins
    lengths: np.ndarray  # (n,) bytes
    checksums: np.ndarray  # (n,) CRC-32
    whole: np.ndarray  # (n,) bool, compared before
    size: int
    file: Path

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), self.size, self.size, 3

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            return self.take(rows)
        if np.ndim(rows) == 0:
            return self._decode(int(rows))
        rows = np.arange(len(self))[rows]
        if self.kind == "raw":
            return self._gather(rows)
        return fill(np.empty((len(rows), *self.shape[1:]), np.uint8), lambda i: self._decode(rows[i]))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "data": None}  # the file is mapped again where this is unpickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, data=_map_bytes(state["file"]))

    def take(self, rows: Any, axis: int = 0) -> StoredFrames:
        """The frames of `rows`, still as stored."""
        if axis != 0:
            raise ValueError("frames are taken along axis 0")
        starts, lengths, checksums = self.starts[rows], self.lengths[rows], self.checksums[rows]
        return replace(self, starts=starts, lengths=lengths, checksums=checksums, whole=self.whole[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[np.arange(len(self))], dtype=dtype)

    def bytes_of(self, row: int) -> np.ndarray:
        """The frame as it is stored, (bytes,) uint8."""
        start = int(self.starts[row])
        return self.data[start : start + int(self.lengths[row])]

    def is_whole(self, row: int) -> bool:
        """Whether the stored bytes have the checksum of the frame."""
        return zlib.crc32(self.bytes_of(row).data) == int(self.checksums[row])

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        """Raw frames in one copy, (b, size, size, 3)."""
        for row in rows[~self.whole[rows]]:
            self._require_whole(row)
        n_bytes = int(np.prod(self.shape[1:]))
        first = int(self.starts[0]) % n_bytes if len(self) else 0
        stored = self.data[first:].reshape(-1, *self.shape[1:])
        return stored[(self.starts[rows] - first) // n_bytes]

    def _decode(self, row: int) -> np.ndarray:
        self._require_whole(row)
        stored = self.bytes_of(row)
        frame = stored.reshape(self.shape[1:]) if self.kind == "raw" else cv2.imdecode(stored, _FLAGS)
        if frame is None or frame.shape != self.shape[1:]:
            raise self._damaged(row)
        return frame

    def _require_whole(self, row: int) -> None:
        """Compare the checksum of a frame, once. Raises UserError where it differs."""
        if not self.whole[row]:
            self.whole[row] = self.is_whole(row)
        if not self.whole[row]:
            raise self._damaged(row)

    def _damaged(self, row: int) -> UserError:
        return UserError(f"{self.file}: frame {row} is damaged; {DELETE}")


def _map_bytes(file: Path) -> np.ndarray:
    """The bytes of a file as a read-only memory map."""
    return np.memmap(file, np.uint8, "r").view(np.ndarray) if file.stat().st_size else np.zeros(0, np.uint8)


def open_frames(folder: Path, packing: Packing, lengths: np.ndarray, checksums: np.ndarray) -> StoredFrames:
    """The frames that `write_frames` wrote to `folder`. Raises OSError or ValueError when the file is incomplete."""
    file, header = folder / FILES[packing.kind], len(packing.header(0))
    expected = header + int(lengths.sum())
    if file.stat().st_size != expected:
        raise ValueError(f"{file.name} has {file.stat().st_size} bytes and should have {expected}")
    data = _map_bytes(file)
    starts, whole = header + np.cumsum(lengths) - lengths, np.zeros(len(lengths), bool)
    return StoredFrames(data, packing.kind, starts, lengths, checksums, whole, packing.size, file)


def damaged_frames(frames: StoredFrames) -> list[int]:
    """Rows whose bytes on disk do not have their checksum."""
    rows = range(len(frames))
    checked = track(in_order(frames.is_whole, rows), "frames checked:", len(rows))
    return [row for row, whole in zip(rows, checked, strict=True) if not whole]


def fill(out: np.ndarray, make: Callable[[int], np.ndarray]) -> np.ndarray:
    """`out` with out[i] = make(i) for every i, in threads where it is large."""

    def fill_part(rows: range) -> None:
        for i in rows:
            out[i] = make(i)

    rows = range(len(out))
    step = max(1, CHUNK * len(out) // max(out.nbytes, 1), -(-len(out) // (4 * n_threads())))
    if step >= len(out) or n_threads() == 1:
        fill_part(rows)
    else:
        list(_threads(os.getpid()).map(fill_part, [rows[start : start + step] for start in rows[::step]]))
    return out


def n_threads() -> int:
    """Threads that read images in this process: its share of the machine's cores, at most 16."""
    return max(1, min(16, n_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The reading threads of this process, apart from those of a process that it was forked from."""
    return ThreadPoolExecutor(max_workers=n_threads(), thread_name_prefix="frames")
