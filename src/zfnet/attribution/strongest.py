"""The strongest activations of every feature map over a set of images, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zfnet.core.progress import track
from zfnet.data.cache.images import ImageStore
from zfnet.networks.convnet import ConvNet


@dataclass(frozen=True)
class Strongest:
    """Per map of one layer its strongest images, strongest first; row -1 and value -inf where there are too few."""

    values: Tensor  # (c, top)
    rows: Tensor  # (c, top) int64, rows of the store
    places: Tensor  # (c, top, 2) int64, row and column in the map


def conv_layers(model: ConvNet) -> list[str]:
    """Names of the ReLUs of the convolutional layers, lowest first."""
    return [f"relu{name[4:]}" for name, _ in model.named_children() if name.startswith("conv")]


def strongest(
    model: ConvNet,
    images: ImageStore,
    rows: np.ndarray,
    top: int = 9,
    batch: int = 256,
    layers: Sequence[str] | None = None,
) -> dict[str, Strongest]:
    """The `top` strongest images of every map of `layers` (default: all convolutional) among `rows` of the store."""
    layers = conv_layers(model) if layers is None else list(layers)
    device = next(model.parameters()).device
    best: dict[str, Strongest] = {}
    with torch.inference_mode():
        for start in track(range(0, len(rows), batch), "strongest activations: batch"):
            some = np.sort(rows)[start : start + batch]
            x = images.center(some).to(device)
            for name, module in model.named_children():
                x = module(x)
                if name in layers:
                    best[name] = update(best.get(name), x, torch.as_tensor(some, device=device), top)
                if name == layers[-1]:
                    break
    return {name: Strongest(s.values.cpu(), s.rows.cpu(), s.places.cpu()) for name, s in best.items()}


def update(best: Strongest | None, activations: Tensor, rows: Tensor, top: int) -> Strongest:
    """`best` after one more batch: activations (b, c, h, w) of the images `rows` (b,), which follow those seen."""
    b, c, _, w = activations.shape
    best = _nothing(c, top, activations) if best is None else best
    peaks = activations.amax((2, 3)).T  # c b
    values, order = torch.cat([best.values, peaks], 1).sort(dim=1, descending=True, stable=True)
    values, order = values[:, :top], order[:, :top]
    is_new = order >= top
    maps = torch.arange(c, device=rows.device)[:, None].expand(-1, top)
    fresh = order[is_new] - top
    at = activations[fresh, maps[is_new]].flatten(1).argmax(1)  # only of the maps that enter
    old = order.clamp(max=top - 1)
    places = best.places.gather(1, old[..., None].expand(-1, -1, 2))
    places[is_new] = torch.stack([at // w, at % w], 1)
    kept_rows = torch.where(is_new, rows[(order - top).clamp(min=0)], best.rows.gather(1, old))
    return Strongest(values, kept_rows, places)


def merge(first: Strongest, second: Strongest) -> Strongest:
    """The strongest of two shards of a set; the order of the two does not matter."""
    top = first.values.shape[1]
    values = torch.cat([first.values, second.values], 1)
    rows = torch.cat([first.rows, second.rows], 1)
    places = torch.cat([first.places, second.places], 1)
    by_row = rows.sort(dim=1, stable=True).indices
    order = by_row.gather(1, values.gather(1, by_row).sort(dim=1, descending=True, stable=True).indices)[:, :top]
    kept_places = places.gather(1, order[..., None].expand(-1, -1, 2))
    return Strongest(values.gather(1, order), rows.gather(1, order), kept_places)


def _nothing(c: int, top: int, like: Tensor) -> Strongest:
    values = torch.full((c, top), float("-inf"), dtype=like.dtype, device=like.device)
    rows = torch.full((c, top), -1, dtype=torch.int64, device=like.device)
    return Strongest(values, rows, torch.zeros((c, top, 2), dtype=torch.int64, device=like.device))


def choose_maps(best: Strongest, n_maps: int, rng: np.random.Generator) -> np.ndarray:
    """A random choice of maps that fire in all their images, ascending; all of them where they are fewer."""
    alive = np.flatnonzero((best.values[:, -1] > 0).numpy())
    return np.sort(rng.permutation(alive)[:n_maps])
