"""The pictures of [ZF13] Figure 2: projections of a map's strongest activations beside the patches that caused them."""

import numpy as np

from zfnet.attribution.fields import receptive_field
from zfnet.attribution.strongest import Strongest
from zfnet.attribution.units import CHUNK, in_place, patches, project_units
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches
from zfnet.plots.grid import CUT, PAPER, contrast, fit, headed, mosaic

TILE, GAP = 52, 2  # px: a tile as it is shown, between tiles
PER_ROW = 4  # maps in a row of the figure


def side_by_side(
    network: Network, images: Images, layer: str, units: np.ndarray, rows: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is shown of `units` (n,) of `layer` at `places` (n, 2) in the images `rows` (n,).

    Returns their projections as pictures and the patches that they see, each (n, h, h, 3) uint8.
    """
    crop = network.inputs.crop
    field = receptive_field(network.module, layer, crop)
    batches = center_batches(network, images, rows, CHUNK)
    projections = contrast(project_units(network.module, batches, layer, units, places), CUT)
    seen = patches(network.inputs.center_pixels(images.frames(rows)), field, places)
    return in_place(projections, field, places, crop), in_place(seen, field, places, crop)


def draw(network: Network, images: Images, layer: str, best: Strongest, maps: np.ndarray) -> np.ndarray:
    """The figure of one layer: for every map a block of projections beside the block of patches."""
    top = best.rows.shape[1]
    units = np.repeat(maps, top)
    rows, places = best.rows[maps].numpy().reshape(-1), best.places[maps].numpy().reshape(-1, 2)
    projections, seen = side_by_side(network, images, layer, units, rows, places)
    blocks = []
    for m, unit in enumerate(maps):
        own = slice(m * top, (m + 1) * top)
        pair = np.concatenate([block(projections[own]), block(seen[own])], axis=1)
        blocks.append(headed(pair, f"map {unit}"))
    return mosaic([blocks[i : i + PER_ROW] for i in range(0, len(blocks), PER_ROW)], gap=10)


def block(tiles: np.ndarray, background: tuple[int, int, int] = PAPER) -> np.ndarray:
    """Tiles (n, h, h, 3) uint8 as a square of tiles, e.g. nine as 3 x 3."""
    side = int(np.ceil(np.sqrt(len(tiles))))
    fitted = [fit(tile, TILE) for tile in tiles]
    return mosaic([fitted[i : i + side] for i in range(0, len(fitted), side)], gap=GAP, background=background)
