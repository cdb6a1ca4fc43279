"""The strongest activations of every feature map over a set of images, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.networks.walk import Visitor, visit


@dataclass(frozen=True)
class Strongest:
    """Per map of one layer its strongest images, strongest first; row -1 and value -inf where there are too few."""

    values: Tensor  # (c, top)
    rows: Tensor  # (c, top) int64, numbers of the images
    places: Tensor  # (c, top, 2) int64, row and column in the map

    def cpu(self) -> Strongest:
        return Strongest(self.values.cpu(), self.rows.cpu(), self.places.cpu())


def strongest(
    module: nn.Module, batches: Iterable[Tensor], rows: np.ndarray, layers: Sequence[str], top: int = 9
) -> dict[str, Strongest]:
    """The `top` strongest images of every map of the modules `layers`, on the CPU.

    batches: network inputs (b, 3, h, w). rows: (n,) the number of each input, ascending in the order of the batches.
    Raises ValueError for a layer whose output is not made of maps (b, c, h, w).
    """
    best: dict[str, Strongest] = {}
    start = 0
    with torch.inference_mode():
        for x in batches:
            numbers = torch.as_tensor(rows[start : start + len(x)], device=x.device)
            visit(module, x, {layer: _updating(best, layer, numbers, top) for layer in layers})
            start += len(x)
    return {layer: best[layer].cpu() for layer in layers}


def _updating(best: dict[str, Strongest], layer: str, rows: Tensor, top: int) -> Visitor:
    """What is called with a layer's maps: `best` of the layer after them."""

    def visitor(inputs: Tensor, maps: Tensor) -> None:
        if maps.ndim != 4:
            raise ValueError(f"{layer}: its output has shape {tuple(maps.shape)}, not (b, c, h, w)")
        best[layer] = update(best.get(layer), maps, rows, top)

    return visitor


def update(best: Strongest | None, activations: Tensor, rows: Tensor, top: int) -> Strongest:
    """`best` after one more batch: activations (b, c, h, w) of the images `rows` (b,), which follow those seen."""
    c, w = activations.shape[1], activations.shape[3]
    best = _nothing(c, top, activations) if best is None else best
    peaks = activations.amax((2, 3)).T  # c b
    values, order = torch.cat([best.values, peaks], 1).sort(dim=1, descending=True, stable=True)
    values, order = values[:, :top], order[:, :top]
    is_new = order >= top
    maps = torch.arange(c, device=rows.device)[:, None].expand(-1, top)
    new = order[is_new] - top
    at = activations[new, maps[is_new]].flatten(1).argmax(1)  # only of the maps that enter
    old = order.clamp(max=top - 1)
    places = best.places.gather(1, old[..., None].expand(-1, -1, 2))
    places[is_new] = torch.stack([at // w, at % w], 1)
    kept_rows = torch.where(is_new, rows[(order - top).clamp(min=0)], best.rows.gather(1, old))
    return Strongest(values, kept_rows, places)


def merge(first: Strongest, second: Strongest) -> Strongest:
    """The strongest of two parts of the images, of which those of `second` follow those of `first`: as in one pass."""
    top = first.values.shape[1]
    values, order = torch.cat([first.values, second.values], 1).sort(dim=1, descending=True, stable=True)
    order = order[:, :top]
    rows = torch.cat([first.rows, second.rows], 1).gather(1, order)
    places = torch.cat([first.places, second.places], 1).gather(1, order[..., None].expand(-1, -1, 2))
    return Strongest(values[:, :top], rows, places)


def _nothing(c: int, top: int, like: Tensor) -> Strongest:
    values = torch.full((c, top), float("-inf"), dtype=like.dtype, device=like.device)
    rows = torch.full((c, top), -1, dtype=torch.int64, device=like.device)
    return Strongest(values, rows, torch.zeros((c, top, 2), dtype=torch.int64, device=like.device))


def choose_maps(best: Strongest, n_maps: int, rng: np.random.Generator) -> np.ndarray:
    """A random choice of maps that fire in all their images, ascending; all of them where they are fewer."""
    alive = np.flatnonzero((best.values[:, -1] > 0).numpy())
    return np.sort(rng.permutation(alive)[:n_maps])
