"""The pictures of [ZF13] Figure 6: the filters of the first layer, and projections of the second layer's maps."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from zfnet.plots.grid import contrast, enlarge, fit, headed, mosaic, write

SHOWN, TILE = 4, 60  # the layer-2 picture: SHOWN x SHOWN maps of TILE px
PICTURE = 380  # px: width of one network's filters
TEXTS = {
    "filters_own": "First-layer filters, each scaled by its own largest weight: ",
    "filters_common": "The same filters scaled by the largest weight of all, where dominating filters show: ",
    "layer2": "Projections of the strongest activation of random layer-2 maps: ",
}


def common_contrast(w: np.ndarray) -> np.ndarray:
    """Filters (n, k, k, 3) as pictures, all scaled by the largest weight of all."""
    return contrast(w.reshape(-1, *w.shape[2:])).reshape(w.shape)


def draw_filters(w: np.ndarray, scale: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Filters (n, k, k, 3) as a square mosaic about PICTURE px wide, colored by `scale`."""
    side = int(np.ceil(np.sqrt(len(w))))
    tiles = [enlarge(tile, max(1, PICTURE // (side * w.shape[1]))) for tile in scale(w)]
    return mosaic([tiles[i : i + side] for i in range(0, len(tiles), side)], gap=1)


def draw_projections(tiles: np.ndarray) -> np.ndarray:
    """The first SHOWN x SHOWN of the pictures (n, h, h, 3) uint8."""
    fitted = [fit(tile, TILE) for tile in tiles[: SHOWN**2]]
    return mosaic([fitted[i : i + SHOWN] for i in range(0, len(fitted), SHOWN)])


def write_figures(pictures: Mapping[str, Mapping[str, np.ndarray]], out: Path) -> dict[str, str]:
    """Write the pictures, figure -> title of a network -> picture, side by side; file -> alternative text."""
    figures = {}
    for key, by_title in pictures.items():
        if by_title:
            titled = [headed(picture, title) for title, picture in by_title.items()]
            write(out / f"{key}.png", mosaic([titled], gap=12))
            figures[f"{key}.png"] = TEXTS[key] + "; ".join(by_title) + "."
    return figures
