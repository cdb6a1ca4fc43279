"""Features of layers 1 to 7 of a frozen network, computed once, kept on disk ([ZF13] 5.3, Table 7).

Where layer n is tapped is [NS]: here at its last module (norm1, norm2, relu3, relu4, pool5, relu6, relu7),
dropout off, the maps laid out in one row. Crops are [NS] too: the centre crop, or the mean over the ten crops
of [ZF13] 3.

    <folder>/<module>.npy      (n, d) float32, opened as a memory map
    <folder>/features.jsonl    what they were computed from, and the checksums of each shard of rows

One forward pass fills all the layers, a shard of rows after the other, and ends at the last one asked for. A later run
computes the shards that are missing or whose bytes have changed. The network is any module: it is tapped by hooks.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.core.files import os_errors_named
from zfnet.core.progress import track
from zfnet.core.resume import Part, PartWriter, Store, is_whole, report_damage
from zfnet.data.cache.images import ImageStore
from zfnet.networks.checkpoint import hash_network

SHARD = 1024  # rows between two records of how far we are


def extract(
    model: nn.Module, images: ImageStore, modules: Sequence[str], crops: str, folder: Path, batch: int = 64
) -> dict[str, np.ndarray]:
    """(n, d) features of all images at the named modules of `model`, as read-only memory maps by module name.

    `crops` is "center" or "ten" (averaged). What is on disk already, from the same weights and images, is not
    computed again.
    """
    store = Store(folder / "features.jsonl", feature_key(model, images, modules, crops))
    widths = store.get_or_make("widths", _widths, model, images, modules)
    files = {name: _File(folder / f"{name}.npy", len(images), width) for name, width in widths.items()}
    shards = [range(start, min(start + SHARD, len(images))) for start in range(0, len(images), SHARD)]
    missing = [rows for rows in shards if not _is_done(store, rows, files)]
    if missing:
        for file in files.values():
            file.allocate()
    for rows in track(missing, "features, shards:"):
        with contextlib.ExitStack() as stack:
            writers = {name: stack.enter_context(file.writer(rows.start)) for name, file in files.items()}
            for _, outputs in _forward(model, images, modules, crops, np.array(rows), batch):
                for name, values in outputs.items():
                    writers[name].write(values.float().cpu().numpy().tobytes())
            store.put(str(rows), {name: writer.finish() for name, writer in writers.items()})
    return {name: file.open() for name, file in files.items()}


@torch.inference_mode()
def _forward(
    model: nn.Module, images: ImageStore, modules: Sequence[str], crops: str, rows: np.ndarray, batch: int
) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        for some in np.split(rows, range(batch, len(rows), batch)):
            views = images.ten_crops(some) if crops == "ten" else images.center(some)[:, None]  # (b, crops, 3, h, w)
            yield some, _tap(model, views.to(device), modules)
    finally:
        model.train(was_training)


class _Enough(Exception):
    """All that was asked for has passed."""


def _tap(model: nn.Module, views: Tensor, modules: Sequence[str]) -> dict[str, Tensor]:
    """(b, d) outputs of the named modules, means over the views (b, crops, 3, h, w) of each image.

    The mean is taken, and so copied, as an output passes: the next module may be a ReLU that works in place.
    """
    known, outputs = dict(model.named_modules()), {}
    if unknown := sorted(set(modules) - set(known)):
        raise ValueError(f"no module {unknown[0]!r} in this network")

    def taker(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def take(module: nn.Module, inputs: Any, output: Tensor) -> None:
            outputs[name] = output.flatten(1).unflatten(0, views.shape[:2]).mean(1)
            if len(outputs) == len(set(modules)):
                raise _Enough

        return take

    hooks = [known[name].register_forward_hook(taker(name)) for name in modules]
    try:
        with contextlib.suppress(_Enough):
            model(views.flatten(0, 1))
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _widths(model: nn.Module, images: ImageStore, modules: Sequence[str]) -> dict[str, int]:
    _, outputs = next(_forward(model, images, modules, "center", np.arange(1), 1))
    return {name: values.shape[1] for name, values in outputs.items()}


@dataclass(frozen=True)
class _File:
    """The .npy file of one module, (n_rows, width) float32."""

    path: Path
    n_rows: int
    width: int

    @property
    def header(self) -> bytes:
        head = io.BytesIO()
        layout = {"descr": "<f4", "fortran_order": False, "shape": (self.n_rows, self.width)}
        np.lib.format.write_array_header_1_0(head, layout)
        return head.getvalue()

    def allocate(self) -> None:
        """Give the file its header and its size; the rows that it holds already stay."""
        header = self.header
        with os_errors_named(self.path), self.path.open("r+b" if self.path.is_file() else "w+b") as file:
            file.write(header)
            file.truncate(len(header) + 4 * self.n_rows * self.width)

    def writer(self, row: int) -> PartWriter:
        return PartWriter(self.path, len(self.header) + 4 * row * self.width)

    def open(self) -> np.memmap:
        return np.memmap(self.path, np.float32, "r", len(self.header), (self.n_rows, self.width))


def _is_done(store: Store, rows: range, files: Mapping[str, _File]) -> bool:
    """Whether the rows were computed and every file holds the bytes that were written."""
    parts: dict[str, Part] | None = store.get(str(rows))
    if parts is None:
        return False
    damaged = [files[name].path for name, part in parts.items() if not is_whole(files[name].path, part)]
    for path in damaged:
        report_damage(path, "damaged or cut; what it lacks is computed again")
    return not damaged


def feature_key(model: nn.Module, images: ImageStore, modules: Sequence[str], crops: str) -> dict[str, Any]:
    """What features are computed from, as plain JSON."""
    return {
        "network": hash_network(model).hexdigest()[:16],
        "images": images.fingerprint(),
        "modules": list(modules),
        "crops": crops,
    }
