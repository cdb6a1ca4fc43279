"""How far a linear classifier gets on the pixels themselves: what a network must beat to have learnt anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zfnet.core.statistics import Measure
from zfnet.data.cache.images import Images
from zfnet.data.crops import crop_size
from zfnet.linear.gram import gram, kernels
from zfnet.linear.solver import LOSSES, decide, fit, targets_of

MOST = 4000  # training images: the Gram matrix is that wide squared
C_GRID = (1e-3, 1e-2, 1e-1)


def pixel_baseline(train: Images, val: Images, seed: int) -> dict[str, Any]:
    """Top-1 error in percent of a softmax on the pixels of the centre crop, C chosen on a held-out tenth of training.

    At most 4000 training and 4000 validation images, drawn by `seed`; the numbers say how many.
    """
    rng = np.random.default_rng([seed, 17])
    rows, held = rng.permutation(len(train))[:MOST], rng.permutation(len(val))[:MOST]
    pixels = np.concatenate([center_crops(train, rows), center_crops(val, held)]).reshape(len(rows) + len(held), -1)
    products = gram(pixels.astype(np.float32) / 255, np.arange(len(pixels)), "cpu")
    labels = torch.from_numpy(np.concatenate([train.index.labels[rows], val.index.labels[held]]))
    n, n_classes = len(rows), len(train.index.classes)
    everything = torch.arange(len(pixels))

    def error(fitted: torch.Tensor, tested: torch.Tensor, c: float) -> float:
        kernel, outer = kernels(products, fitted, tested, "center")
        v = fit(kernel, targets_of(labels[fitted], n_classes, LOSSES["softmax"]), LOSSES["softmax"], c)
        return 100 * float((decide(outer, v).argmax(1) != labels[tested]).double().mean())

    split = max(1, n - n // 10)
    c = min(C_GRID, key=lambda c: error(everything[:split], everything[split:n], c)) if n >= 10 else C_GRID[0]
    measure = Measure.percentage(error(everything[:n], everything[n:], c), len(held))
    return {"top1_error": measure.to_json(), "c": c, "n_train": n, "n_val": len(held)}


def center_crops(images: Images, rows: np.ndarray) -> np.ndarray:
    """The center crops of the cached frames, (b, crop, crop, 3) uint8."""
    side = crop_size(images.size)
    middle = slice((images.size - side) // 2, (images.size + side) // 2)
    return images.frames(rows)[:, middle, middle]
