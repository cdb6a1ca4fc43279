"""The other way round, beyond [ZF13]: how a network trained on the small set serves the larger one.

A network trained from scratch on the transfer set's training images is frozen, and linear classifiers on its features
learn classes of the pre-training set, beside two others: the network pre-trained on that set (what there is to reach)
and one with random weights (what the architecture alone gives). All three see the same images: a fixed number of
training images a class of at most CLASSES classes, and validation images, which no network was trained on. Accuracy is
the mean over classes, its interval a bootstrap over them; C is chosen as everywhere, on held-out training images.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.progress import track
from zfnet.core.statistics import Measure
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.transfer.experiment import Task, make_task, score
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Split
from zfnet.networks.features import extract
from zfnet.networks.network import Network

CLASSES = 100  # as many as Caltech-101 has: a Gram matrix of a few thousand rows
CLASSIFIERS = ("softmax", "svm")


def serve(
    options: TransferOptions,
    networks: Mapping[str, Network],
    train: Images,
    test: Images,
    test_per_class: int,
    out: Path,
    seed: int,
    workers: Workers = ALONE,
) -> dict[str, Any]:
    """{"networks": name -> classifier -> layer -> a measure and "c"} and how many classes and images.

    `train` and `test` are the splits of the pre-training set, of the same classes; options.reverse training images a
    class, fewer where the smallest class has fewer.
    """
    (train_rows, test_rows), per_class = draw(
        train.index.labels, test.index.labels, options.reverse, test_per_class, seed
    )
    parts = {"train": train.take(np.concatenate(train_rows)), "test": test.take(np.concatenate(test_rows))}
    labels = np.concatenate([_count_up(train_rows), _count_up(test_rows)])
    n_classes, n_train = len(train_rows), len(parts["train"])
    split = Split(0, per_class, np.arange(n_train), np.arange(n_train, len(labels)))
    scores: dict[str, Any] = {}
    for name, network in track(networks.items(), "transfer, the other way round:", total=len(networks)):
        layers = {n: network.layer(n) for n in options.softmax_layers if n in network.layers}
        features = [
            extract(network, images, list(layers.values()), options.crops, out / name / part, options.batch, workers)
            for part, images in parts.items()
        ]
        scores[name] = {classifier: {} for classifier in CLASSIFIERS}
        for n, module in layers.items():
            rows = np.concatenate([part[module] for part in features])
            task = make_task(rows, labels, n_classes, np.arange(len(rows)), options, network.device)
            for classifier in CLASSIFIERS:
                scores[name][classifier][str(n)] = _cell(task, classifier, split, seed)
    sizes = {"n_classes": n_classes, "per_class": per_class, "n_test": len(parts["test"])}
    return {"networks": scores, "chance": 1 / n_classes, **sizes}


def draw(
    train: np.ndarray, test: np.ndarray, per_class: int, test_per_class: int, seed: int
) -> tuple[tuple[list[np.ndarray], list[np.ndarray]], int]:
    """((rows of the training images, rows of the test images) of every drawn class, training images a class)."""
    rng = np.random.default_rng([seed, 5])
    classes = np.intersect1d(train, test)
    classes = np.sort(rng.permutation(classes)[:CLASSES])
    train_rows = [rng.permutation(np.flatnonzero(train == k)) for k in classes]
    test_rows = [rng.permutation(np.flatnonzero(test == k)) for k in classes]
    size = min(per_class, min(len(rows) for rows in train_rows))
    return ([rows[:size] for rows in train_rows], [rows[:test_per_class] for rows in test_rows]), size


def _count_up(rows: list[np.ndarray]) -> np.ndarray:
    """The number of its class for every row, class after class."""
    return np.repeat(np.arange(len(rows)), [len(of_class) for of_class in rows])


def _cell(task: Task, classifier: str, split: Split, seed: int) -> dict[str, Any]:
    accuracies, c = score(task, classifier, split)
    return Measure.bootstrapped(accuracies, seed, "classes").to_json() | {"c": c}
