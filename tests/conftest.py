"""Shared fixtures: a handful of real JPEG files in the ImageFolder layout, and their caches."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zfnet.core.machine import one_thread as one_thread_of_torch
from zfnet.data.cache.images import ImageStore, build_store
from zfnet.data.index import make_index
from zfnet.data.sources.folder import read_folder

torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(scope="module")
def one_thread():
    """For many tiny steps: threads would only wait for each other."""
    with one_thread_of_torch():
        yield


def write_pictures(root: Path, classes: int = 3, count: int = 10, side: int = 72) -> Path:
    """Textured pictures whose class is a colour and a stripe width, so that a network can learn them."""
    rng = np.random.default_rng(7)
    for k in range(classes):
        folder = root / f"class_{k}"
        folder.mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 90, (side, side + 10, 3))
            image[:, :: 3 + 2 * k, k % 3] += 140
            cv2.imwrite(str(folder / f"{i:03d}.jpg"), image.astype(np.uint8))
    return root


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def store_folders(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Caches of the training and validation split, 36-px frames and 32-px crops."""
    folder = tmp_path_factory.mktemp("stores")
    train, val = read_folder(picture_folder, 0.2, seed=0)
    mean = build_store(train, folder / "train", 36, 64.0).mean
    build_store(val, folder / "val", 36, 64.0, mean)
    return folder / "train", folder / "val"


@pytest.fixture
def stores(store_folders: tuple[Path, Path]) -> tuple[ImageStore, ImageStore]:
    from zfnet.data.cache.images import open_store

    train, val = (open_store(folder, 64.0) for folder in store_folders)
    return train, val


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real images (tiny-imagenet-200, caltech101, ...), where ZFNET_REAL_DATA names it."""
    if "ZFNET_REAL_DATA" not in os.environ:
        pytest.skip("ZFNET_REAL_DATA does not name a folder with the real images")
    return Path(os.environ["ZFNET_REAL_DATA"])


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
