"""The other way round, beyond [ZF13]: how a network trained on the small set serves the larger one.

A network trained from scratch on the transfer set's training images is frozen, and linear classifiers on its features
learn classes of the pre-training set, beside two others: the network pre-trained on that set (what there is to reach)
and one with random weights (what the architecture alone gives). All three see the same images: so many training images
a class of at most CLASSES classes, and validation images, which no network was trained on. Accuracy is the mean over
classes, its interval a bootstrap over them; C is chosen as everywhere, on held-out training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.progress import track
from zfnet.core.statistics import interval
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.transfer.experiment import Task, make_task, score
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Split
from zfnet.networks.convnet import ConvNet
from zfnet.networks.features import extract

CLASSES = 100  # as many as Caltech-101 has: a Gram matrix of a few thousand rows


def serve(
    config: TransferOptions,
    networks: Mapping[str, ConvNet],
    train: ImageStore,
    test: ImageStore,
    test_per_class: int,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """{"networks": name -> classifier -> layer -> {"value", "low", "high", "c"}} and how many classes and images.

    `train` and `test` are the splits of the pre-training set, of the same classes; config.reverse training images a
    class, fewer where the smallest class has fewer.
    """
    chosen, per_class = draw(train.index.labels, test.index.labels, config.reverse, test_per_class, seed)
    stores = [images.take(np.concatenate(rows)) for images, rows in zip((train, test), chosen, strict=True)]
    labels = np.concatenate([np.repeat(np.arange(len(rows)), [len(some) for some in rows]) for rows in chosen])
    n_classes, n_train = len(chosen[0]), len(stores[0])
    split = Split(0, per_class, np.arange(n_train), np.arange(n_train, len(labels)))
    found: dict[str, Any] = {}
    for name, model in track(networks.items(), "transfer, the other way round:", total=len(networks)):
        layers = {n: model.layer(n) for n in config.softmax_layers if n in model.numbers}
        parts = [
            extract(model, images, list(layers.values()), config.crops, out / name / part, config.batch)
            for images, part in zip(stores, ("train", "test"), strict=True)
        ]
        found[name] = {"softmax": {}, "svm": {}}
        for n, module in layers.items():
            features = np.concatenate([part[module] for part in parts])
            rows, device = np.arange(len(features)), next(model.parameters()).device
            task = make_task(features, labels, n_classes, rows, config, device)
            for classifier, row in found[name].items():
                row[str(n)] = _cell(task, classifier, split, seed)
    sizes = {"n_classes": n_classes, "per_class": per_class, "n_test": len(stores[1])}
    return {"networks": found, "chance": 1 / n_classes, **sizes}


def draw(
    train: np.ndarray, test: np.ndarray, per_class: int, test_per_class: int, seed: int
) -> tuple[tuple[list[np.ndarray], list[np.ndarray]], int]:
    """((rows of the training images, rows of the test images) of every drawn class, training images a class)."""
    rng = np.random.default_rng([seed, 5])
    classes = np.intersect1d(train, test)
    classes = np.sort(rng.permutation(classes)[:CLASSES])
    rows = [[rng.permutation(np.flatnonzero(labels == k)) for k in classes] for labels in (train, test)]
    size = min(per_class, min(len(some) for some in rows[0]))
    return ([some[:size] for some in rows[0]], [some[:test_per_class] for some in rows[1]]), size


def _cell(task: Task, classifier: str, split: Split, seed: int) -> dict[str, float]:
    accuracies, c = score(task, classifier, split)
    return {**interval(accuracies, seed), "c": c}
