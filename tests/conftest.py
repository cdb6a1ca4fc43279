"""Shared fixtures: a handful of real JPEG files in the ImageFolder layout, and their caches."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from zfnet.data.folder import read_folder
from zfnet.data.store import ImageStore, build_store
from zfnet.machine import one_thread as one_thread_of_torch

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
    from zfnet.data.store import open_store

    train, val = (open_store(folder, 64.0) for folder in store_folders)
    return train, val


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real images (tiny-imagenet-200, caltech101, ...), where ZFNET_REAL_DATA names it."""
    if "ZFNET_REAL_DATA" not in os.environ:
        pytest.skip("ZFNET_REAL_DATA does not name a folder with the real images")
    return Path(os.environ["ZFNET_REAL_DATA"])
