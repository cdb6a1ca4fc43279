"""The atlas: [ZF13] Figure 2 for every map of every layer, not just for a random few.

    <out>/atlas/layer4/123.jpg   projections of the map's strongest activations, beside the patches that caused them
    <out>/atlas.json             every map's values, image files and classes, and how often each class is among them

One small picture a map, so that a page can load those that are looked at. Maps are projected GROUP at a time and
written at once: memory does not grow with their number. Tiles that do not fire are left out; a map without any has no
picture. *Purity* is the share of a map's most frequent class among its `top` images.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfnet.attribution.tiles import GREY, block, side_by_side
from zfnet.attribution.window import receptive_field
from zfnet.core.files import write_json
from zfnet.core.progress import track
from zfnet.data.cache.images import ImageStore
from zfnet.networks.convnet import ConvNet
from zfnet.plots.grid import write

if TYPE_CHECKING:
    from zfnet.attribution.strongest import Strongest

FOLDER, FILE = "atlas", "atlas.json"
GROUP = 16  # maps projected at once
BETWEEN = 8  # px between projections and patches


def lay_out(model: ConvNet, images: ImageStore, found: dict[str, Strongest], out: Path, n_maps: int = 0) -> None:
    """Write the pictures and atlas.json of the first `n_maps` maps (0: all) of every layer in `found`."""
    groups = [
        (layer, range(start, min(start + GROUP, count)))
        for layer, best in found.items()
        for count in [min(n_maps or len(best.values), len(best.values))]
        for start in range(0, count, GROUP)
    ]
    layers: dict[str, Any] = {
        layer[4:]: {"module": layer, "field": receptive_field(model, layer).size, "maps": []} for layer in found
    }
    for layer, units in track(groups, "atlas: group of maps"):
        folder = out / FOLDER / f"layer{layer[4:]}"
        for unit, picture in zip(units, draw(model, images, layer, found[layer], units), strict=True):
            if picture is not None:
                write(folder / f"{unit}.jpg", picture)
            layers[layer[4:]]["maps"].append(describe(images, found[layer], unit))
    write_json(out / FILE, {"names": list(images.index.names), "layers": layers})


def describe(images: ImageStore, best: Strongest, unit: int) -> dict[str, Any]:
    """A map's activations that are above zero, strongest first, with file and class (row of names) of each."""
    fires = (best.values[unit] > 0).numpy()
    rows = best.rows[unit].numpy()[fires]
    classes = images.index.labels[rows].tolist()
    counts = Counter(classes).most_common()
    return {
        "unit": unit,
        "values": [float(f"{value:.4g}") for value in best.values[unit].numpy()[fires]],
        "files": [str(path) for path in images.index.paths[rows]],
        "classes": classes,
        "counts": counts,
        "purity": counts[0][1] / len(fires) if counts else 0.0,
    }


def draw(model: ConvNet, images: ImageStore, layer: str, best: Strongest, units: range) -> list[np.ndarray | None]:
    """One picture a map of `units`: projections left, patches right; None for a map that never fires."""
    fires = (best.values[units.start : units.stop] > 0).numpy()
    if not fires.any():
        return [None] * len(units)
    rows, places = (v[units.start : units.stop].numpy()[fires] for v in (best.rows, best.places))
    of_map = np.repeat(np.asarray(units), fires.sum(1))
    pairs = side_by_side(model, images, layer, of_map, rows, places)
    return [_picture(*(_whole(tiles[of_map == unit], fires.shape[1]) for tiles in pairs)) for unit in units]


def _whole(tiles: np.ndarray, top: int) -> np.ndarray | None:
    """`tiles` with plain grey ones up to `top`."""
    if not len(tiles):
        return None
    return np.concatenate([tiles, np.full((top - len(tiles), *tiles.shape[1:]), GREY, dtype=np.uint8)])


def _picture(shown: np.ndarray | None, seen: np.ndarray | None) -> np.ndarray | None:
    if shown is None or seen is None:
        return None
    grey = (GREY, GREY, GREY)
    left, right = block(shown, grey), block(seen, grey)
    between = np.full((left.shape[0], BETWEEN, 3), GREY, dtype=np.uint8)
    return np.concatenate([left, between, right], axis=1)
