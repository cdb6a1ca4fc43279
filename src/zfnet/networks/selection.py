"""Which images an analysis looks at: drawn by seed among those that the network classifies correctly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zfnet.data.cache.images import ImageStore
from zfnet.networks.convnet import ConvNet
from zfnet.networks.predict import predict


def correct_images(model: ConvNet, images: ImageStore, seed: int, n: int) -> Iterator[int]:
    """The first `n` rows, in an order drawn by seed, whose centre crop is classified correctly."""
    order = np.random.default_rng([seed, 7]).permutation(len(images))
    found = 0
    for rows, probabilities in predict(model, images, order, "center", batch=64):
        guesses = probabilities.argmax(1).cpu().numpy()
        for row in rows[guesses == images.index.labels[rows]]:
            if found == n:
                return
            found += 1
            yield int(row)
