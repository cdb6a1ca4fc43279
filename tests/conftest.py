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
from zfnet.data.cache.images import Images, build_cache, open_cache
from zfnet.data.index import make_index
from zfnet.data.sources.folder import read_folder
from zfnet.networks.checkpoint import trained_network
from zfnet.networks.convnet import ConvNet
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Classes, Network

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else min(2, os.cpu_count() or 1))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked slow or zoo run only when -m names the mark."""
    for mark in ("slow", "zoo"):
        if mark not in config.getoption("-m"):
            skip = pytest.mark.skip(reason=f"runs with -m {mark}")
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(skip)


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
    build_cache(train, folder / "train", 36, mean=True)
    build_cache(val, folder / "val", 36)
    return folder / "train", folder / "val"


@pytest.fixture
def stores(store_folders: tuple[Path, Path]) -> tuple[Images, Images]:
    """The cached training and validation images."""
    train, val = store_folders
    return open_cache(train), open_cache(val)


@pytest.fixture
def inputs(stores: tuple[Images, Images]) -> Inputs:
    """The preprocessing of a network that is trained on these images."""
    return Inputs.of_mean_image(mean_of(stores[0]), 64.0)


@pytest.fixture
def wrap(stores: tuple[Images, Images], inputs: Inputs) -> Callable[..., Network]:
    """wrap(module, images) -> a Network for the shared images, or for others (divisor 60 and their own mean)."""

    def make(module: torch.nn.Module, images: Images | None = None) -> Network:
        index = (images or stores[0]).index
        preprocessing = inputs if images is None else Inputs.of_mean_image(mean_of(images), 60.0)
        classes = Classes(index.classes, index.names)
        if isinstance(module, ConvNet):
            return trained_network(module.eval(), preprocessing, classes, "zfnet")
        return Network(module.eval(), preprocessing, classes, {}, {}, type(module).__name__)

    return make


def mean_of(images: Images) -> np.ndarray:
    """The mean image, (size, size, 3) float32."""
    if images.mean is not None:
        return images.mean
    return np.asarray(images.pixels).mean(0).astype(np.float32)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real images (tiny-imagenet-200, caltech101, ...), where ZFNET_REAL_DATA names it."""
    if "ZFNET_REAL_DATA" not in os.environ:
        pytest.skip("ZFNET_REAL_DATA does not name a folder with the real images")
    return Path(os.environ["ZFNET_REAL_DATA"])


@pytest.fixture
def make_store() -> Callable[..., Images]:
    """make_store(classes, per_class, seed): small images whose colour tells their class, through noise."""

    def make(n_classes: int = 3, per_class: int = 8, seed: int = 0, size: int = 32) -> Images:
        rng = np.random.default_rng([seed, n_classes])
        labels = np.repeat(np.arange(n_classes), per_class)
        colours = np.random.default_rng(9).integers(40, 216, (n_classes, 1, 1, 3))
        noise = rng.normal(0, 30, (len(labels), size, size, 3))
        pixels = np.clip(colours[labels] + noise, 0, 255).astype(np.uint8)
        names = [f"c{k}" for k in range(n_classes)]
        rows = [(f"c{k}/{i}.jpg", int(k)) for i, k in enumerate(labels)]
        shapes = np.full((len(labels), 2), size)
        mean = pixels.mean(0).astype(np.float32)
        return Images(make_index(Path("."), rows, names), pixels, shapes, mean)

    return make
