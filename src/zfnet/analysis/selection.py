"""Which images an analysis looks at: drawn by seed among those that the network classifies correctly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from zfnet.data.store import ImageStore
from zfnet.models.net import ConvNet


def correct_images(model: ConvNet, images: ImageStore, seed: int, n: int, batch: int = 64) -> Iterator[int]:
    """The first `n` rows, in an order drawn by seed, whose centre crop is classified correctly."""
    device = next(model.parameters()).device
    order = np.random.default_rng([seed, 7]).permutation(len(images))
    found = 0
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        with torch.inference_mode():
            guesses = model(images.center(rows).to(device)).argmax(1).cpu().numpy()
        for row in rows[guesses == images.index.labels[rows]]:
            if found == n:
                return
            found += 1
            yield int(row)
