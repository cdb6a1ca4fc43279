"""The tasks of the pool: which images, for which classes, and with which maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.workers import ALONE, Workers, moved
from zfnet.data.cache.images import Images
from zfnet.experiments.localization.locate import ImageBoxes, Methods, Task
from zfnet.experiments.localization.pool import locate_all
from zfnet.networks.network import Network

Saliency = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows (b,), outputs (b,) -> maps (b, size, size) >= 0
Source = Callable[[Images], Saliency]  # how maps are made, for the images of any cache


def choose_rows(images: Images, count: int, seed: int) -> np.ndarray:
    """Rows (n,) of images that have boxes, all or `count` of them drawn by the seed, ascending."""
    rows = np.array([row for row, boxes in enumerate(images.index.boxes) if len(boxes)], dtype=np.int64)
    if len(rows) == 0:
        raise UserError(f"localization: no image of {images.index.root} has a box; choose a dataset with boxes")
    return draw_rows(rows, count, seed)


def draw_rows(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the rows drawn by the seed, ascending; all of them for 0 or where there are no more."""
    if count and count < len(rows):
        rows = np.sort(np.random.default_rng([seed, count]).choice(rows, count, replace=False))
    return rows


@dataclass(frozen=True)
class TaskMaker:
    """Makes the task of an image: its maps for the classes, computed when the pool is ready for it."""

    images: Images
    saliency: Saliency
    asked: Mapping[int, Sequence[int]]  # row -> outputs of the network
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

    def to(self, device: Any) -> TaskMaker:
        """The same with its maps made on a device."""
        return replace(self, saliency=moved(self.saliency, device))

    def locate_all(
        self,
        methods: Methods,
        network: Network,
        source: str,
        partial: Path,
        processes: int,
        workers: Workers = ALONE,
    ) -> list[ImageBoxes]:
        """The boxes of every image of `asked`, in that order; those that `partial` lacks, largest first.

        Maps are made by the workers, boxes in `processes` processes.
        """

        def make_tasks(rows: Sequence[int]) -> Iterator[Task]:
            return workers.map(make_task, rows, self)

        largest_first = sorted(self.asked, key=lambda row: (-int(self.images.shapes[row].prod()), row))
        key = self._key(methods, network, source)
        located = locate_all(largest_first, make_tasks, methods, processes, partial, key)
        by_row = {boxes.row: boxes for boxes in located}
        return [by_row[row] for row in self.asked]

    def _key(self, methods: Methods, network: Network, source: str) -> str:
        """One line that is the same just when every image's work is."""
        asked = [(row, list(classes)) for row, classes in sorted(self.asked.items())]
        images = [self.images.fingerprint(), str(self.images.index.root)]
        work = [network.fingerprint(), asdict(methods), source, images, asked, self.seed]
        return hashlib.sha256(json.dumps(work).encode()).hexdigest()


def make_task(row: int, maker: TaskMaker) -> Task:
    """The task of one image, as an item of work."""
    return maker.make(row)
