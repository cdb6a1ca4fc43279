"""The cache of one split: every image shrunk once to its frame, kept as raw uint8 or JPEG in one memory map.

    <folder>/pixels.npy     (n, size, size, 3) uint8 RGB, or
    <folder>/pixels.jpegs   the frames as JPEG files end to end (zfnet.data.cache.frames)
    <folder>/mean.npy       (size, size, 3) float32, per-pixel mean of the training split ([ZF13] 3)
    <folder>/index.npz      paths, labels, boxes, height and width of the originals; length and CRC-32 of the frames
    <folder>/store.json     classes, and what the cache was made from; written last

Network input = (pixel - mean) / divisor. The papers use a divisor of 1 (inputs in about [-128, 128]).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write, write_json
from zfnet.core.lock import lock_folder
from zfnet.core.progress import track
from zfnet.data.cache.frames import (
    PackedFrames,
    Packing,
    Written,
    damaged_frames,
    fill,
    finish_build,
    open_frames,
    write_frames,
)
from zfnet.data.crops import Frame, crop_size, ten_crop_places
from zfnet.data.index import Index

Rows = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class ImageStore:
    """The images of one split as frames in memory, and the only place that makes network inputs of them."""

    index: Index
    pixels: np.ndarray | PackedFrames  # (n, size, size, 3) uint8
    shapes: np.ndarray  # (n, 2) height, width of the originals
    mean: np.ndarray  # (size, size, 3) float32
    divisor: float
    checksums: np.ndarray | None = None  # (n,) CRC-32 of the frames as they are stored; None: made when asked for

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
        checksums = None if self.checksums is None else self.checksums[rows]
        pixels, shapes = self.pixels.take(rows, axis=0), self.shapes[rows]
        return replace(self, index=self.index.take(rows), pixels=pixels, shapes=shapes, checksums=checksums)

    def fingerprint(self) -> str:
        """Hash of all that a network gets to see: which images, their pixels, the mean and the divisor."""
        checksums = self.checksums
        if checksums is None:
            checksums = np.array([zlib.crc32(self.pixels[row].tobytes()) for row in range(len(self))], np.int64)
        digest = hashlib.sha256(f"{self.index.fingerprint()} {self.size} {self.divisor} {_digest(self.mean)}".encode())
        digest.update(np.ascontiguousarray(checksums, np.int64).tobytes())
        return digest.hexdigest()[:16]

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
        return self.normalise(self.raw_crops(rows, top, left), top, left, flip)

    def raw_crops(self, rows: Rows, top: Rows, left: Rows) -> Tensor:
        """The pixels of one crop an image, (b, crop, crop, 3) uint8 on the host, cut by threads.

        In pinned memory where there is a GPU, so that it can travel while the GPU computes.
        """
        side, rows = self.crop, np.asarray(rows)
        cut = torch.empty((len(rows), side, side, 3), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
        fill(cut.numpy(), lambda i: self.pixels[rows[i]][top[i] : top[i] + side, left[i] : left[i] + side])
        return cut

    def normalise(self, cut: Tensor, top: Rows, left: Rows, flip: Rows) -> Tensor:
        """`raw_crops` of these places as network inputs, on the device of `cut`, (b, 3, crop, crop) float32.

        The layout is channels last.
        """
        places = (np.asarray(top, np.int64), np.asarray(left, np.int64), np.flatnonzero(np.asarray(flip)))
        y, x, mirrored = (torch.from_numpy(place).to(cut.device, non_blocking=True) for place in places)
        inputs = cut.float()
        inputs -= self._mean_windows(cut.device)[y, x]
        inputs /= self.divisor
        inputs[mirrored] = inputs[mirrored].flip(2)
        return inputs.permute(0, 3, 1, 2)

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

    def _mean_windows(self, device: torch.device) -> Tensor:
        """The mean image under the crop at each place, (tops, lefts, crop, crop, 3), a view of one copy a device."""
        if device not in self._means:
            self._means[device] = torch.from_numpy(np.ascontiguousarray(self.mean)).to(device)
        windows = self._means[device].unfold(0, self.crop, 1).unfold(1, self.crop, 1)
        return windows.permute(0, 1, 3, 4, 2)

    @cached_property
    def _means(self) -> dict[torch.device, Tensor]:
        return {}


def _to_tensor(pixels: np.ndarray) -> Tensor:
    """(b, h, w, 3) -> (b, 3, h, w) float32, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()


def build_store(
    index: Index,
    folder: Path,
    size: int,
    divisor: float,
    mean: np.ndarray | None = None,
    bad_limit: int = 0,
    cache: str = "raw",
    quality: int = 90,
    files: str = "",
) -> ImageStore:
    """Shrink every image of `index` into `folder` (threads, progress, resumable) unless it is there, and open it.

    mean: the training split's mean image; None computes it from these images (the training split itself).
    cache, quality: `raw` pixels, or `jpeg` of that quality.
    files: a digest of the image files; where it is another than before, they are read anew.
    Raises UserError naming the first file that cannot be read once more than `bad_limit` are bad; those within the
    limit are left out and named in store.json.
    """
    packing = Packing(size, cache, quality if cache == "jpeg" else 0)
    key = {"format": 2, "fingerprint": index.fingerprint(), "root": str(index.root), "files": files, **vars(packing)}
    if index.upright:
        key["upright"] = True
    told = {"key": key, "mean": _digest(mean), "classes": list(index.classes), "names": list(index.names)}
    with lock_folder(folder, f"{folder}: another run is building this image cache; waiting for it", wait=True):
        facts = _facts(folder)
        if facts.get("key") != key or len(facts["bad_files"]) > bad_limit:
            (folder / "store.json").unlink(missing_ok=True)
            written = write_frames(index, folder, packing, bad_limit, key)
            kept = np.setdiff1d(np.arange(len(index)), written.bad)
            _write_index(index.take(kept), written, folder)
            facts = {"bad_files": [str(index.paths[row]) for row in written.bad]}
        if facts != told | {"bad_files": facts["bad_files"]}:  # newly written, or with another mean or other names
            _write_mean(folder, packing, mean)
            write_json(folder / "store.json", told | {"bad_files": facts["bad_files"]})
        finish_build(folder, cache)
    return open_store(folder, divisor)


def open_store(folder: Path, divisor: float) -> ImageStore:
    """Open the cache that `build_store` left in `folder`. Raises UserError when it is not whole."""
    facts = _facts(folder)
    try:
        arrays = np.load(folder / "index.npz")
        flat, ends = arrays["boxes"], np.cumsum(arrays["n_boxes"]).tolist()
        boxes = [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        targets = arrays.get("targets")
        classes, names = tuple(facts["classes"]), tuple(facts["names"])
        root, upright = Path(facts["key"]["root"]), facts["key"].get("upright", False)
        index = Index(root, arrays["paths"], arrays["labels"], classes, names, tuple(boxes), targets, upright)
        pixels = _open_pixels(folder, facts["key"], arrays)
        mean, checksums = np.load(folder / "mean.npy"), arrays["checksums"]
        return ImageStore(index, pixels, arrays["shapes"], mean, divisor, checksums)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: no whole image cache ({error}); delete it and run stage=data again") from error


def damaged_files(folder: Path) -> list[str]:
    """The images of the cache in `folder` whose frames are not as they were written. Raises as `open_store`."""
    store = open_store(folder, 1.0)
    checksums = np.load(folder / "index.npz")["checksums"]
    return [str(store.index.paths[row]) for row in damaged_frames(store.pixels, checksums)]


def _open_pixels(folder: Path, key: dict[str, Any], arrays: Any) -> np.ndarray | PackedFrames:
    packing = Packing(key["size"], key.get("kind", "raw"), key.get("quality", 0))
    return open_frames(folder, packing, arrays["lengths"], arrays["checksums"])


def _facts(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _digest(mean: np.ndarray | None) -> str | None:
    return None if mean is None else hashlib.sha256(np.ascontiguousarray(mean, np.float32).tobytes()).hexdigest()[:16]


def _write_index(index: Index, written: Written, folder: Path) -> None:
    arrays = {
        "paths": index.paths,
        "labels": index.labels,
        "shapes": np.array(written.shapes, np.int32).reshape(-1, 2),
        "lengths": np.array(written.lengths, np.int64),
        "checksums": np.array(written.checksums, np.int64),
        "n_boxes": np.array([len(boxes) for boxes in index.boxes], dtype=np.int64),
        "boxes": np.concatenate([np.zeros((0, 4), dtype=np.int64), *index.boxes]),
    }
    if index.targets is not None:
        arrays["targets"] = index.targets
    with atomic_write(folder / "index.npz") as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _write_mean(folder: Path, packing: Packing, mean: np.ndarray | None) -> None:
    """The given mean image, or that of the frames in `folder`."""
    if mean is None:
        arrays = np.load(folder / "index.npz")
        mean = _mean_image(open_frames(folder, packing, arrays["lengths"], arrays["checksums"]))
    with atomic_write(folder / "mean.npy") as temporary:
        np.save(temporary, mean)


def _mean_image(pixels: np.ndarray | PackedFrames, chunk: int = 512) -> np.ndarray:
    """Per-pixel mean over all images, (size, size, 3) float32, from exact sums."""
    total = np.zeros(pixels.shape[1:], dtype=np.int64)
    for start in track(range(0, len(pixels), chunk), f"mean image, blocks of {chunk} images:"):
        total += np.asarray(pixels[start : start + chunk]).sum(axis=0, dtype=np.int32)
    return (total / max(len(pixels), 1)).astype(np.float32)
