"""The tiles of [ZF13] Figure 2: an activation's projection, and the patch of the image that the unit sees.

The patch is the unit's exact receptive field, grey where that reaches over the border; a field larger than the image
is shown as it lies in the image.
"""

from __future__ import annotations

import numpy as np
import torch

from zfnet.attribution.window import cut, project_window, receptive_field
from zfnet.data.cache.images import ImageStore
from zfnet.networks.convnet import ConvNet
from zfnet.plots.grid import CUT, PAPER, contrast, fit, mosaic

TILE, GAP = 52, 2  # px: a tile as it is shown, between tiles
GREY = 128  # what lies outside the image or the field
CHUNK = 48  # projections computed at once


def project_all(
    model: ConvNet, images: ImageStore, layer: str, units: np.ndarray, rows: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Deconvnet projections of `units` (n,) at `places` (n, 2) in the images `rows` (n,): (n, size, size, 3)."""
    device = next(model.parameters()).device
    pieces = []
    for start in range(0, len(units), CHUNK):
        part = slice(start, start + CHUNK)
        some_units, some_places = (torch.as_tensor(v[part], device=device) for v in (units, places))
        x = images.center(rows[part]).to(device)
        pieces.append(project_window(model, x, layer, some_units, some_places).cpu())
    return torch.cat(pieces).permute(0, 2, 3, 1).numpy()


def patches(model: ConvNet, images: ImageStore, layer: str, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What the units at `places` see, (n, size, size, 3) uint8, mid grey outside the image."""
    pixels = torch.from_numpy(images.center_pixels(rows).copy()).permute(0, 3, 1, 2)
    seen = cut(pixels, receptive_field(model, layer), torch.as_tensor(places), fill=GREY)
    return seen.permute(0, 2, 3, 1).numpy().astype(np.uint8)


def side_by_side(
    model: ConvNet, images: ImageStore, layer: str, units: np.ndarray, rows: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is shown of `units` (n,): their projections as pictures and what they see, each (n, h, h, 3) uint8."""
    shown = contrast(project_all(model, images, layer, units, rows, places), CUT)
    seen = patches(model, images, layer, rows, places)
    return trim(shown, model, layer, places, images.crop), trim(seen, model, layer, places, images.crop)


def trim(tiles: np.ndarray, model: ConvNet, layer: str, places: np.ndarray, side: int) -> np.ndarray:
    """Tiles (n, size, size, 3) of receptive fields; where those exceed the image, as they lie in the image."""
    field = receptive_field(model, layer)
    if field.size <= side:
        return tiles
    whole = np.full((len(tiles), side, side, 3), GREY, dtype=np.uint8)
    for image, tile, start in zip(whole, tiles, field.start(torch.as_tensor(places)).tolist(), strict=True):
        (y, x), (top, left) = (max(s, 0) for s in start), (max(-s, 0) for s in start)
        part = tile[top : top + side - y, left : left + side - x]
        image[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole


def block(tiles: np.ndarray, background: tuple[int, int, int] = PAPER) -> np.ndarray:
    """Tiles (n, h, h, 3) uint8 as a square of tiles, e.g. nine as 3 x 3."""
    side = int(np.ceil(np.sqrt(len(tiles))))
    fitted = [fit(tile, TILE) for tile in tiles]
    return mosaic([fitted[i : i + side] for i in range(0, len(fitted), side)], gap=GAP, background=background)
