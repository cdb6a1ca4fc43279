"""Which images are looked at, for which classes, and with which maps: what the pool is given to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.localization.locate import Found, Methods, Task
from zfnet.experiments.localization.pool import locate_all
from zfnet.networks.checkpoint import hash_network
from zfnet.networks.convnet import ConvNet

Saliency = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows (b,), classes (b,) -> maps (b, size, size) >= 0
Source = Callable[[ImageStore], Saliency]  # how maps are made, for the images of any store


def choose_rows(images: ImageStore, count: int, seed: int) -> np.ndarray:
    """Rows (n,) of images that have boxes, all or `count` of them drawn by the seed, ascending."""
    rows = np.array([row for row, boxes in enumerate(images.index.boxes) if len(boxes)], dtype=np.int64)
    if len(rows) == 0:
        raise UserError(f"localization: no image of {images.index.root} has a box; choose a data set with boxes")
    if count and count < len(rows):
        rows = np.sort(np.random.default_rng([seed, count]).choice(rows, count, replace=False))
    return rows


@dataclass(frozen=True)
class TaskMaker:
    """Makes the task of an image: its maps for the classes asked, computed when the pool is ready for it."""

    images: ImageStore
    saliency: Saliency
    asked: Mapping[int, Sequence[int]]  # row -> classes
    seed: int

    def make(self, row: int) -> Task:
        return self.make_for(row, self.asked[row])

    def make_for(self, row: int, classes: Sequence[int]) -> Task:
        """One image at a time: what an image gets must not depend on which others an interruption left."""
        maps = self.saliency(np.full(len(classes), row), np.array(classes))
        file = self.images.index.file(row)
        if not np.isfinite(maps).all():
            raise UserError(f"localization: the saliency of {file} is not finite; has the training diverged?")
        seed = int(np.random.default_rng([self.seed, row]).integers(2**31))
        return Task(row, file, np.asarray(maps, np.float32), seed, self.images.index.upright)

    def locate_all(self, methods: Methods, model: ConvNet, source: str, partial: Path, processes: int) -> list[Found]:
        """What was found in every image asked, in that order; the largest first, and only what `partial` lacks."""
        largest_first = sorted(self.asked, key=lambda row: (-int(self.images.shapes[row].prod()), row))
        found = locate_all(largest_first, self.make, methods, processes, partial, self._key(methods, model, source))
        by_row = {one.row: one for one in found}
        return [by_row[row] for row in self.asked]

    def _key(self, methods: Methods, model: ConvNet, source: str) -> str:
        """One line that is the same just when every image's work is."""
        asked = [(row, list(classes)) for row, classes in sorted(self.asked.items())]
        root = str(self.images.index.root)
        work = [asdict(methods), source, self.images.fingerprint(), root, asked, self.seed]
        found = hash_network(model)
        found.update(json.dumps(work).encode())
        return found.hexdigest()
