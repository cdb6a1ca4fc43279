"""Features of layers 1 to 7 of a frozen network, computed once, kept on disk ([ZF13] 5.3, Table 7).

Where layer n is tapped is [NS]: here at its last module (norm1, norm2, relu3, relu4, pool5, relu6, relu7),
dropout off, the maps laid out in one row. Crops are [NS] too: the centre crop, or the mean over the ten crops
of [ZF13] 3.

    <folder>/<module>.npy     (n, d) float32, opened as a memory map
    <folder>/features.json    what they were computed from, and how many rows are done

One forward pass fills all the layers, a shard of rows after the other, and ends at the last one asked for; an
interrupted run goes on at its last shard. The network is any module: it is tapped by hooks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.core.files import write_json
from zfnet.core.progress import track
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.walk import outputs

SHARD = 1024  # rows between two notes of how far we are


def extract(
    network: Network, images: Images, modules: Sequence[str], crops: str, folder: Path, batch: int = 64
) -> dict[str, np.ndarray]:
    """(n, d) features of all images at the named modules, as read-only memory maps by module name.

    `crops` is "center" or "ten" (averaged). What is on disk already, from the same weights and images, is not
    computed again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(network, images, modules, crops)
    done = _rows_done(folder, key)
    if done < len(images):
        maps = _open_maps(folder, _widths(network, images, modules), len(images), fresh=done == 0)
        for start in track(range(done, len(images), SHARD), "features, shards:"):
            end = min(start + SHARD, len(images))
            for rows, features in _forward(network, images, modules, crops, np.arange(start, end), batch):
                for name, values in features.items():
                    maps[name][rows] = values.cpu().numpy()
            for stored in maps.values():
                stored.flush()
            write_json(folder / "features.json", {"key": key, "done": end})
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in modules}


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


def _open_maps(folder: Path, widths: dict[str, int], n: int, fresh: bool) -> dict[str, np.memmap]:
    mode = "w+" if fresh else "r+"
    if fresh:
        (folder / "features.json").unlink(missing_ok=True)
    return {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode, np.float32, (n, width) if fresh else None)
        for name, width in widths.items()
    }


def _rows_done(folder: Path, key: dict[str, Any]) -> int:
    try:
        note = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    whole = all((folder / f"{name}.npy").is_file() for name in key["modules"])
    return int(note["done"]) if whole and note.get("key") == key else 0


def _key(network: Network, images: Images, modules: Sequence[str], crops: str) -> dict[str, Any]:
    return {
        "network": network.fingerprint(),
        "images": images.fingerprint(),
        "modules": list(modules),
        "crops": crops,
    }
