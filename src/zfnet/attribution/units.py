"""Single units of feature maps: the square of the image that each sees, and its projection there ([ZF13] 2.1, Fig. 2).

What a unit sees is its receptive field, gray where that reaches over the border; a field larger than the image is
shown as it lies in the image. Where layers do not follow one another (branches, additions) there is no such square:
the unit counts as seeing the whole image.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.fields import Field
from zfnet.attribution.window import cut, project_window

GRAY = 128  # what lies outside the image or the field
CHUNK = 48  # projections at once, where no other number is given


def project_units(
    module: nn.Module, batches: Iterable[Tensor], layer: str, units: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """Deconvnet projections of `units` (n,) of `layer` at `places` (n, 2), cut to what each sees: (n, size, size, 3).

    batches: network inputs (b, 3, side, side), together n: one for each unit, in their order.
    """
    pieces: list[Tensor] = []
    start = 0
    for x in batches:
        part = slice(start, start + len(x))
        here = torch.as_tensor(places[part], device=x.device)
        pieces.append(project_window(module, x, layer, torch.as_tensor(units[part], device=x.device), here).cpu())
        start += len(x)
    if not pieces:
        return np.zeros((0, 1, 1, 3), np.float32)
    return torch.cat(pieces).permute(0, 2, 3, 1).numpy()


def patches(pixels: np.ndarray, field: Field, places: np.ndarray) -> np.ndarray:
    """What the units at `places` (n, 2) see of their images (n, h, h, 3) uint8: (n, size, size, 3), gray outside."""
    images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2)
    seen = cut(images, field, torch.as_tensor(places), fill=GRAY)
    return seen.permute(0, 2, 3, 1).numpy().astype(np.uint8)


def in_place(tiles: np.ndarray, field: Field, places: np.ndarray, side: int) -> np.ndarray:
    """Tiles (n, size, size, 3) uint8 of the fields of units at `places` in images of `side` px.

    Where a field is larger than the image: as it lies in the image, (n, side, side, 3).
    """
    if field.size <= side:
        return tiles
    whole = np.full((len(tiles), side, side, 3), GRAY, dtype=np.uint8)
    for image, tile, start in zip(whole, tiles, field.start(torch.as_tensor(places)).tolist(), strict=True):
        y, x = max(start[0], 0), max(start[1], 0)
        top, left = max(-start[0], 0), max(-start[1], 0)
        part = tile[top : top + side - y, left : left + side - x]
        image[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole
