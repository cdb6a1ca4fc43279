"""Features of the layers of a frozen network, computed once and kept on disk ([ZF13] 5.3, Table 7).

Where layer n is tapped is [NS]: here at its last module (norm1, norm2, relu3, relu4, pool5, relu6, relu7),
dropout off, the maps flattened. Crops are [NS] too: the center crop, or the mean over the ten crops of [ZF13] 3.

    <folder>/<module>.npy      (n, d) float32, opened as a memory map
    <folder>/features.jsonl    what they were computed from, and the checksums of each shard of rows

One forward pass fills all layers, shard by shard of rows. A later run computes the shards that are missing or damaged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.core.files import npy_header, os_errors_named
from zfnet.core.progress import track
from zfnet.core.resume import Part, PartWriter, Store, is_whole, report_damage
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.walk import outputs

SHARD = 1024  # rows between two records in the resume store


def extract(
    network: Network,
    images: Images,
    modules: Sequence[str],
    crops: str,
    folder: Path,
    batch: int = 64,
    workers: Workers = ALONE,
) -> dict[str, np.ndarray]:
    """(n, d) features of all images at the named modules, as read-only memory maps by module name.

    crops: "center" or "ten" (averaged). Features on disk of the same weights and images are reused.
    """
    store = Store(folder / "features.jsonl", feature_key(network, images, modules, crops))
    widths = store.get_or_make("widths", _widths, network, images, modules)
    files = {name: _File(folder / f"{name}.npy", len(images), width) for name, width in widths.items()}
    shards = [range(start, min(start + SHARD, len(images))) for start in range(0, len(images), SHARD)]
    missing = [rows for rows in shards if not _is_done(store, rows, files)]
    if missing:
        for file in files.values():
            file.allocate()
    plan = _Plan(tuple(modules), crops, files, batch)
    written = track(workers.map(_write_shard, missing, network, images, plan), "features, shards:", len(missing))
    for rows, parts in zip(missing, written, strict=True):
        store.put(str(rows), parts)
    return {name: file.open() for name, file in files.items()}


@dataclass(frozen=True)
class _Plan:
    """Which features are computed of all shards, and the file of each module."""

    modules: tuple[str, ...]
    crops: str
    files: Mapping[str, _File]
    batch: int


def _write_shard(rows: range, network: Network, images: Images, plan: _Plan) -> dict[str, Part]:
    """The parts of the files with the features of these rows, which are written there."""
    with contextlib.ExitStack() as stack:
        writers = {name: stack.enter_context(file.writer(rows.start)) for name, file in plan.files.items()}
        for _, features in _forward(network, images, plan.modules, plan.crops, np.array(rows), plan.batch):
            for name, values in features.items():
                writers[name].write(values.float().cpu().numpy().tobytes())
        return {name: writer.finish() for name, writer in writers.items()}


@torch.inference_mode()
def _forward(
    network: Network, images: Images, modules: Sequence[str], crops: str, rows: np.ndarray, batch: int
) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    """(rows of a batch, module -> outputs (b, d), means over the crops of each image)."""
    inputs = network.inputs
    for part in np.split(rows, range(batch, len(rows), batch)):
        frames = images.frames(part)
        views = inputs.ten_crops(frames) if crops == "ten" else inputs.center(frames)[:, None]  # (b, crops, 3, h, w)
        shape = views.shape[:2]

        def mean_over_crops(output: Tensor, shape: torch.Size = shape) -> Tensor:
            return output.flatten(1).unflatten(0, shape).mean(1)

        yield part, outputs(network.module, views.flatten(0, 1).to(network.device), modules, mean_over_crops)


def _widths(network: Network, images: Images, modules: Sequence[str]) -> dict[str, int]:
    _, features = next(_forward(network, images, modules, "center", np.arange(1), 1))
    return {name: values.shape[1] for name, values in features.items()}


@dataclass(frozen=True)
class _File:
    """The .npy file of one module, (n_rows, width) float32."""

    path: Path
    n_rows: int
    width: int

    @property
    def header(self) -> bytes:
        return npy_header((self.n_rows, self.width), "<f4")

    def allocate(self) -> None:
        """Give the file its header and size; existing rows stay."""
        header = self.header
        with os_errors_named(self.path), self.path.open("r+b" if self.path.is_file() else "w+b") as file:
            file.write(header)
            file.truncate(len(header) + 4 * self.n_rows * self.width)

    def writer(self, row: int) -> PartWriter:
        return PartWriter(self.path, len(self.header) + 4 * row * self.width)

    def open(self) -> np.memmap:
        return np.memmap(self.path, np.float32, "r", len(self.header), (self.n_rows, self.width))


def _is_done(store: Store, rows: range, files: Mapping[str, _File]) -> bool:
    """Whether the rows are recorded and undamaged in every file."""
    parts: dict[str, Part] | None = store.get(str(rows))
    if parts is None:
        return False
    damaged = [files[name].path for name, part in parts.items() if not is_whole(files[name].path, part)]
    for path in damaged:
        report_damage(path, "damaged or cut; its missing rows are computed again")
    return not damaged


def feature_key(network: Network, images: Images, modules: Sequence[str], crops: str) -> dict[str, Any]:
    """What features are computed from, as plain JSON."""
    return {
        "network": network.fingerprint(),
        "images": images.fingerprint(),
        "modules": list(modules),
        "crops": crops,
    }
