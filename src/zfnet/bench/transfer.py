"""Rows of `make bench`: the classifiers through inner products beside scikit-learn's LinearSVC on the raw features.

Synthetic rectified features of the shape of Caltech-101 at 30 images a class; LinearSVC at its defaults, once a width
(it takes minutes). The widths are those of pool5, and of layer 2, at 224 px. LinearSVC knows one thread, ours takes
all: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 before the command gives the ratios of one thread against one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.bench.row import in_turn, rate_row, time_row, timed
from zfnet.experiments.transfer.duplicates import correlating, normalized
from zfnet.linear.gram import gram, kernels
from zfnet.linear.solver import ROUGH, SVM, Space, decide, fit, targets_of

N_CLASSES, N_TEST = 101, 500
WIDTHS = {9_216: 10.0, 43_264: 40.0}  # features: how many times LinearSVC's speed to reach
LAYER_1, LAYER_1_TARGET = 290_400, 75.0
C_GRID = (0.01, 0.1, 1.0, 10.0)
SIZES = (5, 10, 15, 30)  # training images a class


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """The rows {name, ours, peer, unit, ratio, target, holds, note}; ratio > 1 means ours is better."""
    widths = {64: 1.0, 96: 1.0} if quick else WIDTHS
    sizes = SIZES[:1] if quick else SIZES
    table, times = [], []
    for width, target in widths.items():
        features, labels = _draw(width, max(sizes))
        ours, peer, difference = _compare(features, labels)
        times.append((width, ours, peer))
        note = f"decision values differ by at most {difference:.1e}"
        table.append(time_row(f"linear SVM, {width:,} features", sum(ours), peer, target, note))
        if width == min(widths):
            table.append(_grid_row(features, labels, sizes))
    return [*table, _extrapolated(times), _duplicates_row(100 if quick else 1000)]


def _draw(width: int, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of `per_class` training images a class and N_TEST test images after them, and all labels."""
    rng, n_train = np.random.default_rng(width), per_class * N_CLASSES
    labels = np.arange(n_train + N_TEST) % N_CLASSES
    centres = rng.standard_normal((N_CLASSES, width), dtype=np.float32)
    features = rng.standard_normal((len(labels), width), dtype=np.float32) + 0.25 * centres[labels]
    features = np.maximum(features - 0.3, 0)
    return features / np.linalg.norm(features[:n_train], axis=1).mean(), labels


def _compare(features: np.ndarray, labels: np.ndarray) -> tuple[tuple[float, float], float, float]:
    """((seconds of the Gram matrix, of the fit), seconds of LinearSVC, largest difference of decision values)."""
    from sklearn.svm import LinearSVC

    n_train, svm = len(features) - N_TEST, LinearSVC()
    products, gram_seconds = timed(lambda: gram(features, np.arange(len(features))))
    kernel, outer = products[:n_train, :n_train], products[n_train:, :n_train]
    targets = targets_of(torch.from_numpy(labels[:n_train]), N_CLASSES, SVM)
    v = fit(kernel, targets, SVM, 1.0)  # the first also warms up; LinearSVC takes minutes, so one round
    fit_seconds, peer_seconds = in_turn(
        lambda: fit(kernel, targets, SVM, 1.0),
        lambda: svm.fit(features[:n_train], labels[:n_train]),
        rounds=1,
        warm_up=0,
    )
    difference = np.abs(svm.decision_function(features[n_train:]) - decide(outer, v).numpy()).max()
    return (gram_seconds, fit_seconds), peer_seconds, float(difference)


def _grid_row(features: np.ndarray, labels: np.ndarray, sizes: Sequence[int]) -> dict[str, Any]:
    n_train = len(features) - N_TEST
    products, gram_seconds = timed(lambda: gram(features[:n_train], np.arange(n_train)))
    classes = torch.from_numpy(labels[:n_train])

    def kernel_of(size: int) -> tuple[Tensor, Tensor]:
        some = torch.arange(size * N_CLASSES)
        return kernels(products, some, some[:1], "mean")[0], targets_of(classes[some], N_CLASSES, SVM)

    def search() -> None:
        for size in sizes:
            (kernel, targets), v = kernel_of(size), None
            space = Space.of(kernel)
            for c in C_GRID:
                v = fit(space, targets, SVM, c, start=v, tolerance=ROUGH)

    one_seconds, grid_seconds = in_turn(lambda: fit(*kernel_of(max(sizes)), SVM, 1.0), search, rounds=1)
    note = f"{len(C_GRID)} values of C x {len(sizes)} training sizes; peer: one fit at C = 1 and the Gram matrix"
    return time_row("grid of C and sizes", grid_seconds, one_seconds + gram_seconds, 0.5, note)


def _extrapolated(times: Sequence[tuple[int, tuple[float, float], float]]) -> dict[str, Any]:
    width, (gram_seconds, fit_seconds), peer = times[-1]
    ours, theirs = gram_seconds * LAYER_1 / width + fit_seconds, peer * LAYER_1 / width
    note = f"extrapolated from {width:,}: Gram matrix and LinearSVC in proportion to the width"
    return time_row(f"linear SVM, {LAYER_1:,} features", ours, theirs, LAYER_1_TARGET, note)


def _duplicates_row(n: int) -> dict[str, Any]:
    from scipy.spatial.distance import cdist

    thumbnails = torch.randn(3 * n, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images, others = normalized(thumbnails[:n]), normalized(thumbnails[n:])
    ours, peer = in_turn(
        lambda: correlating(images, others, 0.9), lambda: cdist(images, others, "correlation") < 0.1, rounds=3
    )
    pairs = len(images) * len(others) / 1e6
    note = "thumbnails of 16 x 16; peer: scipy's cdist"
    return rate_row("near-duplicate search", pairs / ours, pairs / peer, "M pairs/s", 10.0, note)
