from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zfnet.data.index import make_index
from zfnet.data.store import ImageStore


@pytest.fixture
def make_store() -> Callable[..., ImageStore]:
    """make_store(classes, per_class, seed): small images whose colour tells their class, through noise."""

    def make(n_classes: int = 3, per_class: int = 8, seed: int = 0, size: int = 32) -> ImageStore:
        rng = np.random.default_rng([seed, n_classes])
        labels = np.repeat(np.arange(n_classes), per_class)
        colours = np.random.default_rng(9).integers(40, 216, (n_classes, 1, 1, 3))
        noise = rng.normal(0, 30, (len(labels), size, size, 3))
        pixels = np.clip(colours[labels] + noise, 0, 255).astype(np.uint8)
        names = [f"c{k}" for k in range(n_classes)]
        rows = [(f"c{k}/{i}.jpg", int(k)) for i, k in enumerate(labels)]
        shapes = np.full((len(labels), 2), size)
        mean = pixels.mean(0).astype(np.float32)
        return ImageStore(make_index(Path("."), rows, names), pixels, shapes, mean, 60.0)

    return make
