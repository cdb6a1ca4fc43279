"""Order and crops of the training images as functions of (seed, epoch), the same for any number of processes.

The draws of an epoch are made for all images at once and looked up by the image's row.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zfnet.data.crops import crop_size, ten_crop_places

SPREAD = 2654435769  # 2^32 / golden ratio: keeps the steps of different seeds apart in 32 bits


@dataclass(frozen=True)
class EpochPlan:
    """One epoch: the order of the n images and each image's crop (top, left, mirrored), all (n,)."""

    order: np.ndarray
    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray


def plan_epoch(n_images: int, size: int, crops: str, seed: int, epoch: int) -> EpochPlan:
    """The plan of `epoch` over frames of `size` px: one of the `ten` fixed crops ([ZF13] 3) or a `random` place."""
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = rng.permutation(n_images)
    if crops == "ten":
        places = np.array(ten_crop_places(size))[rng.integers(0, 10, n_images)]
        return EpochPlan(order, places[:, 0], places[:, 1], places[:, 2].astype(bool))
    top, left = rng.integers(0, size - crop_size(size) + 1, (2, n_images))
    return EpochPlan(order, top, left, rng.random(n_images) < 0.5)


def dropout_masks(
    units: dict[str, int], p: float, batch: int, seed: int, step: int, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Inverted-dropout masks (batch, units) of every dropout module for the whole batch of `step`.

    Each process draws the masks of the whole batch and uses its own rows, so that any number of processes drops the
    same units of the same images. They are drawn on `device`, and differ between kinds of device.
    """
    generator = torch.Generator(device).manual_seed((step + seed * SPREAD) % 2**32)
    return {
        name: (torch.rand((batch, count), generator=generator, device=device) >= p).float() / (1 - p)
        for name, count in units.items()
    }
