"""Maps of crops put back in their places in the frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from zfnet.attribution.engine import Backprojection, Target
from zfnet.data.cache.images import ImageStore
from zfnet.data.crops import ten_crop_places
from zfnet.networks.convnet import ConvNet


def saliency_maps(
    model: ConvNet,
    images: ImageStore,
    rows: np.ndarray,
    classes: np.ndarray,
    method: str = "gradient",
    crops: str = "ten",
    patterns: Mapping[str, Tensor] | None = None,
) -> np.ndarray:
    """Maps M of `classes` (b,) in the images `rows` (b,) as frames (b, size, size) float32, all at once.

    crops: "ten" averages over the ten crops, "center" takes the centre crop and leaves 0 around it.
    patterns: by module name, for the methods of [K17].
    """
    device = next(model.parameters()).device
    every, side = _places(images.size, images.crop, crops), images.crop
    inputs = images.ten_crops(rows) if crops == "ten" else images.center(rows)[:, None]
    units = torch.as_tensor(classes).repeat_interleave(len(every)).to(device)
    signal = Backprojection(model, method, patterns).project(inputs.flatten(0, 1).to(device), Target(units))
    maps = signal.abs().amax(1).unflatten(0, (len(rows), len(every))).float().cpu()
    total = torch.zeros((len(rows), images.size, images.size))
    covered = torch.zeros((images.size, images.size))
    for i, (top, left, flip) in enumerate(every):
        at = (..., slice(top, top + side), slice(left, left + side))
        total[at] += maps[:, i].flip(2) if flip else maps[:, i]
        covered[at] += 1
    return (total / covered.clamp(min=1)).numpy()


def _places(size: int, crop: int, crops: str) -> tuple[tuple[int, int, bool], ...]:
    middle = (size - crop) // 2
    return ten_crop_places(size) if crops == "ten" else ((middle, middle, False),)
