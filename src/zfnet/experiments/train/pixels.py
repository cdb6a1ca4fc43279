"""The baseline of a linear classifier on pixels, which a network that has learned something must beat."""

from typing import Any

import numpy as np
import torch

from zfnet.core.statistics import Measure
from zfnet.data.cache.images import Images
from zfnet.data.crops import crop_size
from zfnet.linear.gram import gram, kernels
from zfnet.linear.solver import LOSSES, decide, fit, targets_of

MAX_IMAGES = 6000  # of each split: all of the default profile; the Gram matrix has the square of that
MAX_VALUES = 2**27  # of the pixels of each split: 0.5 GB, reached by 4000 images of 105 px
C_GRID = (1e-3, 1e-2, 1e-1)


def pixel_baseline(train: Images, val: Images, seed: int) -> dict[str, Any]:
    """Top-1 error in percent of a softmax on the pixels of the center crop, and C, chosen on a held-out tenth.

    At most MAX_IMAGES of each split, and MAX_VALUES of their pixels, are drawn by `seed`.
    """
    rng = np.random.default_rng([seed, 17])
    side = crop_size(train.size)
    most = min(MAX_IMAGES, MAX_VALUES // (3 * side**2))
    train_rows = rng.permutation(len(train))[:most]
    val_rows = rng.permutation(len(val))[:most]
    center = slice((train.size - side) // 2, (train.size + side) // 2)
    frames = np.concatenate([train.frames(train_rows), val.frames(val_rows)])
    pixels = frames[:, center, center].reshape(len(frames), -1)
    products = gram(pixels.astype(np.float32) / 255, np.arange(len(pixels)), "cpu")
    labels = torch.from_numpy(np.concatenate([train.index.labels[train_rows], val.index.labels[val_rows]]))
    n, n_classes = len(train_rows), len(train.index.classes)
    rows = torch.arange(len(pixels))

    def error(fitted: torch.Tensor, tested: torch.Tensor, c: float) -> float:
        kernel, outer = kernels(products, fitted, tested, "center")
        v = fit(kernel, targets_of(labels[fitted], n_classes, LOSSES["softmax"]), LOSSES["softmax"], c)
        return 100 * float((decide(outer, v).argmax(1) != labels[tested]).double().mean())

    split = max(1, n - n // 10)
    c = min(C_GRID, key=lambda c: error(rows[:split], rows[split:n], c)) if n >= 10 else C_GRID[0]
    measure = Measure.percentage(error(rows[:n], rows[n:], c), len(val_rows))
    return {"top1_error": measure.to_json(), "c": c, "n_train": n, "n_val": len(val_rows)}
