"""The linear classifier on pixels: it learns colors, is bounded in memory, and survives equal images."""

import tracemalloc

import numpy as np

from zfnet.experiments.train import pixels
from zfnet.experiments.train.pixels import pixel_baseline


def test_colors_are_told_apart_and_equal_images_are_guessed(make_store):
    train, val = make_store(seed=0), make_store(seed=0)
    assert pixel_baseline(train, val, seed=0)["top1_error"]["value"] == 0
    train.pixels[:], val.pixels[:] = 7, 7
    assert abs(pixel_baseline(train, val, seed=0)["top1_error"]["value"] - 200 / 3) < 1e-9


def test_the_pixels_of_a_split_are_bounded(make_store, monkeypatch):
    train, val = make_store(per_class=20), make_store(per_class=20)
    monkeypatch.setattr(pixels, "MAX_VALUES", 12 * 3 * 28**2)
    numbers = pixel_baseline(train, val, seed=0)
    assert (numbers["n_train"], numbers["n_val"]) == (12, 12) and np.isfinite(numbers["top1_error"]["value"])


def test_memory_does_not_grow_with_the_number_of_images(make_store, monkeypatch):
    monkeypatch.setattr(pixels, "MAX_IMAGES", 9)
    pixel_baseline(make_store(), make_store(), seed=0)  # imports count for nothing
    peaks = []
    for per_class in (4, 40):
        train, val = make_store(per_class=per_class), make_store(per_class=per_class)
        tracemalloc.start()
        pixel_baseline(train, val, seed=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
