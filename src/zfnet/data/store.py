"""The cache of one split: every image shrunk once to its frame, kept as raw uint8 in one memory map.

    <folder>/pixels.npy   (n, size, size, 3) uint8 RGB
    <folder>/mean.npy     (size, size, 3) float32, per-pixel mean of the training split ([ZF13] 3)
    <folder>/index.npz    paths, labels, boxes, and height and width of the originals
    <folder>/store.json   classes, and what the cache was made from; written last

Network input = (pixel - mean) / divisor. The papers use a divisor of 1 (inputs in about [-128, 128]).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.data.crops import Frame, crop_size, shrink, ten_crop_places
from zfnet.data.images import read_rgb
from zfnet.data.index import Index
from zfnet.errors import UserError
from zfnet.progress import track
from zfnet.record import atomic_write, write_json

Rows = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class ImageStore:
    """The images of one split as frames in memory, and the only place that makes network inputs of them."""

    index: Index
    pixels: np.ndarray  # (n, size, size, 3) uint8
    shapes: np.ndarray  # (n, 2) height, width of the originals
    mean: np.ndarray  # (size, size, 3) float32
    divisor: float

    def __len__(self) -> int:
        return len(self.index)

    @property
    def size(self) -> int:
        return self.pixels.shape[1]

    @property
    def crop(self) -> int:
        return crop_size(self.size)

    def take(self, rows: Rows) -> ImageStore:
        """The images of `rows` only."""
        rows = np.asarray(rows)
        return ImageStore(self.index.take(rows), self.pixels[rows], self.shapes[rows], self.mean, self.divisor)

    def frame(self, row: int) -> Frame:
        return Frame(int(self.shapes[row, 0]), int(self.shapes[row, 1]), self.size)

    def center(self, rows: Rows) -> Tensor:
        """Network inputs of the centre crops, (b, 3, crop, crop) float32."""
        return self.prepare(self.center_pixels(rows))

    def center_pixels(self, rows: Rows) -> np.ndarray:
        """The centre crops as they look, (b, crop, crop, 3) uint8."""
        return self.pixels[np.asarray(rows)][:, self._middle, self._middle]

    def crops(self, rows: Rows, top: Rows, left: Rows, flip: Rows) -> Tensor:
        """Network inputs of one crop an image, its place given per image, (b, 3, crop, crop) float32."""
        side, frames = self.crop, self.pixels[np.asarray(rows)]
        places = list(zip(top, left, strict=True))
        cut = np.stack([frames[i, y : y + side, x : x + side] for i, (y, x) in enumerate(places)])
        mean = torch.stack([self._mean[:, y : y + side, x : x + side] for y, x in places])
        inputs = (_to_tensor(cut) - mean) / self.divisor
        mirrored = torch.as_tensor(np.asarray(flip, dtype=bool))
        return torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)

    def ten_crops(self, rows: Rows) -> Tensor:
        """Network inputs of the ten crops, (b, 10, 3, crop, crop) float32, in the order of `ten_crop_places`."""
        side = self.crop
        frames = (_to_tensor(self.pixels[np.asarray(rows)]) - self._mean) / self.divisor
        views = [
            frames[:, :, top : top + side, left : left + side].flip(3)
            if flip
            else frames[:, :, top : top + side, left : left + side]
            for top, left, flip in ten_crop_places(self.size)
        ]
        return torch.stack(views, dim=1)

    def prepare(self, pixels: np.ndarray) -> Tensor:
        """Pictures at the place of the centre crop, (b, crop, crop, 3) in 0..255, as network inputs."""
        return (_to_tensor(pixels) - self.center_mean()) / self.divisor

    def to_pixels(self, inputs: Tensor) -> np.ndarray:
        """Network inputs at the place of the centre crop as pictures, (b, crop, crop, 3) uint8: mean added back."""
        pixels = inputs.detach().float().cpu() * self.divisor + self.center_mean()
        return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()

    def center_mean(self) -> Tensor:
        """The mean image under the centre crop, (3, crop, crop) in pixel units."""
        return self._mean[:, self._middle, self._middle]

    @property
    def _middle(self) -> slice:
        start = (self.size - self.crop) // 2
        return slice(start, start + self.crop)

    @cached_property
    def _mean(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.mean.transpose(2, 0, 1)))


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """(b, h, w, 3) -> (b, 3, h, w) float32, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()


def build_store(
    index: Index, folder: Path, size: int, divisor: float, mean: np.ndarray | None = None, bad_limit: int = 0
) -> ImageStore:
    """Shrink every image of `index` into `folder` (threads, progress) unless it is there, and open it.

    mean: the training split's mean image; None computes it from these images (the training split itself).
    Raises UserError naming the first file that cannot be read once more than `bad_limit` are bad; those within the
    limit are left out and named in store.json.
    """
    key = {"fingerprint": index.fingerprint(), "root": str(index.root), "size": size, "format": 1}
    if _facts(folder).get("key") != key:
        _write_store(index, folder, size, mean, bad_limit, key)
    return open_store(folder, divisor)


def open_store(folder: Path, divisor: float) -> ImageStore:
    """Open the cache that `build_store` left in `folder`. Raises UserError when it is not whole."""
    facts = _facts(folder)
    try:
        arrays = np.load(folder / "index.npz")
        boxes = np.split(arrays["boxes"], np.cumsum(arrays["n_boxes"])[:-1])
        targets = arrays.get("targets")
        classes, names = tuple(facts["classes"]), tuple(facts["names"])
        index = Index(
            Path(facts["key"]["root"]), arrays["paths"], arrays["labels"], classes, names, tuple(boxes), targets
        )
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        return ImageStore(index, pixels, arrays["shapes"], np.load(folder / "mean.npy"), divisor)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: no whole image cache ({error}); delete it and run stage=data again") from error


def _facts(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write_store(
    index: Index, folder: Path, size: int, mean: np.ndarray | None, bad_limit: int, key: dict[str, Any]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "store.json").unlink(missing_ok=True)
    shapes, bad = np.zeros((len(index), 2), dtype=np.int32), []
    with atomic_write(folder / "pixels.npy") as temporary:
        pixels: np.ndarray = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(index), size, size, 3))
        for row, image in _frames(index, size):
            if isinstance(image, UserError):
                bad.append(row)
                if len(bad) > bad_limit:
                    raise image
                continue
            pixels[row], shapes[row] = image
        kept = np.setdiff1d(np.arange(len(index)), bad)
        if bad:
            pixels = _keep_rows(pixels, kept, temporary)
        mean = _mean_image(pixels) if mean is None else mean
        del pixels  # written to the file
    bad_files = [str(index.paths[row]) for row in bad]
    _write_index(index.take(kept), shapes[kept], folder)
    with atomic_write(folder / "mean.npy") as temporary:
        np.save(temporary, mean)
    facts = {"key": key, "bad_files": bad_files, "classes": index.classes, "names": index.names}
    write_json(folder / "store.json", facts)


def _keep_rows(pixels: np.ndarray, kept: np.ndarray, path: Path, chunk: int = 2048) -> np.ndarray:
    """Replace the file at `path`, mapped as `pixels`, by one with the `kept` rows only, block by block."""
    with atomic_write(path) as compact:
        fewer = np.lib.format.open_memmap(compact, "w+", np.uint8, (len(kept), *pixels.shape[1:]))
        for start in range(0, len(kept), chunk):
            fewer[start : start + chunk] = pixels[kept[start : start + chunk]]
        fewer.flush()
    return fewer


def _write_index(index: Index, shapes: np.ndarray, folder: Path) -> None:
    arrays = {
        "paths": index.paths,
        "labels": index.labels,
        "shapes": shapes,
        "n_boxes": np.array([len(boxes) for boxes in index.boxes], dtype=np.int64),
        "boxes": np.concatenate([np.zeros((0, 4), dtype=np.int64), *index.boxes]),
    }
    if index.targets is not None:
        arrays["targets"] = index.targets
    with atomic_write(folder / "index.npz") as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _frames(index: Index, size: int) -> Iterator[tuple[int, tuple[np.ndarray, tuple[int, int]] | UserError]]:
    """(row, (frame, shape of the original) or the UserError) of every image, in order, read by threads."""

    def read(row: int) -> tuple[np.ndarray, tuple[int, int]] | UserError:
        try:
            image = read_rgb(index.file(row))
        except UserError as error:
            return error
        return shrink(image, size), (image.shape[0], image.shape[1])

    ahead = 512  # images in flight: bounds the memory
    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as threads:
        rows = range(len(index))
        blocks = (rows[start : start + ahead] for start in range(0, len(index), ahead))
        images = (pair for block in blocks for pair in zip(block, threads.map(read, block), strict=True))
        yield from track(images, "caching images:", total=len(index))


def _mean_image(pixels: np.ndarray, chunk: int = 2048) -> np.ndarray:
    """Per-pixel mean over all images, (size, size, 3) float32, accumulated in float64."""
    total = np.zeros(pixels.shape[1:], dtype=np.float64)
    for start in range(0, len(pixels), chunk):
        total += pixels[start : start + chunk].sum(axis=0, dtype=np.float64)
    return (total / max(len(pixels), 1)).astype(np.float32)
