"""What stages are made of, taken from the configuration: folders, image caches, the trained network, trainings.

The functions of zfnet.experiments.stages share these; nothing else calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zfnet.core.errors import UserError
from zfnet.core.machine import pick_device
from zfnet.data.cache.images import ImageStore, build_store, open_store
from zfnet.data.index import Index
from zfnet.experiments.config import Config
from zfnet.networks.checkpoint import load_model
from zfnet.networks.convnet import ConvNet
from zfnet.networks.options import ModelOptions
from zfnet.running.runner import cache_folder, raw_files
from zfnet.training.distributed import join_world, launch
from zfnet.training.options import TrainOptions


def folder_of(config: Config, stage: str) -> Path:
    """Where a stage of this configuration leaves its results."""
    return Path(config.paths.outputs) / config.profile / stage


def cache(config: Config, section: str, index: Index, folder: Path, mean: np.ndarray | None) -> ImageStore:
    """The image cache of `index` in `folder`, built unless it is there; `mean` as in build_store.

    section: of the configuration, the one that says which folder the images lie in.
    """
    data, files = config.data, raw_files(config, section)
    return build_store(index, folder, data.size, data.divisor, mean, data.bad_limit, data.cache, data.quality, files)


def stores(config: Config) -> tuple[ImageStore, ImageStore]:
    """(train, val) as the data stage left them."""
    folder = cache_folder(config)
    return open_store(folder / "train", config.data.divisor), open_store(folder / "val", config.data.divisor)


def few_classes(config: Config, count: int, folder: Path) -> Path:
    """The folder of caches train/ and val/ of the data stage's first `count` classes, made here; 0: its own."""
    if count == 0:
        return cache_folder(config)
    mean = None
    for name, store in zip(("train", "val"), stores(config), strict=True):
        few = store.index.only_classes(store.index.classes[:count])
        mean = cache(config, "data", few, folder / name, mean).mean
    return folder


def trained_model(config: Config) -> ConvNet:
    """The network that stage train left."""
    return load_model(folder_of(config, "train") / "model.pt", pick_device(config.device))


def check_machine(config: Config) -> None:
    """Raise UserError where this machine cannot train as the configuration asks, before images are cached for it."""
    if config.gpus > torch.cuda.device_count():
        raise UserError(f"gpus: {config.gpus} were asked for and torch sees {torch.cuda.device_count()}")
    pick_device(config.device)
    if config.nodes > 1 and ":" not in config.rendezvous:
        raise UserError(f"rendezvous: {config.nodes} nodes need a host:port at which they meet")


def train_network(
    config: Config,
    model: ModelOptions,
    recipe: TrainOptions,
    out: Path,
    divisor: float | None = None,
    images: Path | None = None,
) -> dict[str, Any]:
    """Train one network on the data stage's images, in this process or in several started by the launcher.

    divisor: of the inputs; None: the data's. images: the folder of other caches, train/ and val/.
    """
    from zfnet.training.fit import Job, fit, read_numbers

    folder, processes = images or cache_folder(config), config.gpus or config.workers
    device, divisor = "cuda" if config.gpus else config.device, divisor or config.data.divisor
    caches = str(folder / "train"), str(folder / "val")
    job = Job(model, recipe, config.checkpoints, str(out), device, *caches, divisor)
    if processes == config.nodes == 1:
        train, val = (open_store(Path(cache), divisor) for cache in caches)
        with join_world(device) as world:
            return fit(job, world, train, val)
    job.device = device if config.gpus else "cpu"
    job.write(out / "job.json")
    launch("zfnet.training.worker", out / "job.json", processes, nodes=config.nodes, rendezvous=config.rendezvous)
    return read_numbers(out)


def trainer(config: Config, images: ImageStore, out: Path, start: ConvNet | None) -> Callable[..., list[float]]:
    """A function that trains a whole network on a split of the transfer set and gives each class's accuracy."""
    from zfnet.experiments.transfer.protocol import Split, class_accuracies
    from zfnet.networks.predict import predict
    from zfnet.training.fit import Job, fit

    options = config.transfer
    recipe = replace(
        config.train, epochs=options.trained_epochs, batch=options.trained_batch, schedule="cosine", snapshots=[]
    )

    def accuracies(split: Split, seed: int) -> list[float]:
        kind = "scratch" if start is None else "fine-tuned"
        where = out / kind / f"{split.per_class}_fold_{split.fold}"
        job = Job(config.model, replace(recipe, seed=seed), config.checkpoints, str(where), config.device)
        with join_world(config.device) as world:
            fit(job, world, images.take(split.train), images.take(split.test), start)
        model = load_model(where / "model.pt", pick_device(config.device))
        batches = predict(model, images, split.test, "ten")
        guesses = np.concatenate([probabilities.argmax(1).cpu().numpy() for _, probabilities in batches])
        labels = images.index.labels[split.test]
        return class_accuracies(guesses, labels, len(images.index.classes)).tolist()

    return accuracies
