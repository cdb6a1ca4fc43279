"""The atlas: [ZF13] Figure 2 for every map of every layer, not just for a random few.

    <out>/atlas/layer4/123.jpg   projections of the map's strongest activations, beside the patches that caused them
    <out>/atlas.json             every map's values, image files and classes, and how often each class is among them

One small picture a map, so that a page can load those that are looked at. Maps are projected GROUP at a time and
written at once: memory does not grow with their number. Tiles that do not fire are left out; a map without any has no
picture. *Purity* is the share of a map's most frequent class among its `top` images.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.attribution.fields import receptive_field
from zfnet.attribution.strongest import Strongest
from zfnet.attribution.units import GRAY
from zfnet.core.files import write_json
from zfnet.core.progress import track
from zfnet.data.cache.images import Images
from zfnet.experiments.top_activations.figure import block, side_by_side
from zfnet.networks.network import Network
from zfnet.plots.grid import write

FOLDER, FILE = "atlas", "atlas.json"
GROUP = 16  # maps projected at once
BETWEEN = 8  # px between projections and patches


def write_atlas(network: Network, images: Images, layers: Mapping[int, Strongest], out: Path, n_maps: int = 0) -> None:
    """Write the pictures and atlas.json of the first `n_maps` maps (0: all) of every layer by its number."""
    content: dict[str, Any] = {}
    for number, best in layers.items():
        name = network.feature_maps[number]
        field = receptive_field(network.module, name, network.inputs.crop)
        shown = range(min(n_maps or len(best.values), len(best.values)))
        maps = [describe(images, best, unit) for unit in shown]
        content[str(number)] = {"module": name, "field": field.size, "maps": maps}
    for number, units in track(_groups(content), "atlas: group of maps"):
        pictures = draw(network, images, network.feature_maps[number], layers[number], units)
        for unit, picture in zip(units, pictures, strict=True):
            if picture is not None:
                write(out / FOLDER / f"layer{number}" / f"{unit}.jpg", picture)
    write_json(out / FILE, {"names": list(images.index.names), "layers": content})


def _groups(content: Mapping[str, Any]) -> list[tuple[int, range]]:
    """(layer, maps that are projected at once) of all layers."""
    groups = []
    for number, layer in content.items():
        count = len(layer["maps"])
        groups += [(int(number), range(start, min(start + GROUP, count))) for start in range(0, count, GROUP)]
    return groups


def describe(images: Images, best: Strongest, unit: int) -> dict[str, Any]:
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


def draw(network: Network, images: Images, layer: str, best: Strongest, units: range) -> list[np.ndarray | None]:
    """One picture a map of `units`: projections left, patches right; None for a map that never fires."""
    own = slice(units.start, units.stop)
    fires = (best.values[own] > 0).numpy()
    if not fires.any():
        return [None] * len(units)
    rows, places = best.rows[own].numpy()[fires], best.places[own].numpy()[fires]
    of_map = np.repeat(np.asarray(units), fires.sum(1))
    projections, seen = side_by_side(network, images, layer, of_map, rows, places)
    top = fires.shape[1]
    return [_picture(projections[of_map == unit], seen[of_map == unit], top) for unit in units]


def _picture(projections: np.ndarray, seen: np.ndarray, top: int) -> np.ndarray | None:
    if not len(projections):
        return None
    background = (GRAY, GRAY, GRAY)
    left, right = block(_padded(projections, top), background), block(_padded(seen, top), background)
    between = np.full((left.shape[0], BETWEEN, 3), GRAY, dtype=np.uint8)
    return np.concatenate([left, between, right], axis=1)


def _padded(tiles: np.ndarray, top: int) -> np.ndarray:
    """`tiles` with plain gray ones up to `top`."""
    missing = np.full((top - len(tiles), *tiles.shape[1:]), GRAY, dtype=np.uint8)
    return np.concatenate([tiles, missing])
