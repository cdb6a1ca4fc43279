"""Rows of `make bench`: the classifiers through inner products beside scikit-learn's LinearSVC on the raw features.

Synthetic rectified features of the shape of Caltech-101 at 30 images a class; LinearSVC at its defaults, once a width
(it takes minutes). The widths are those of pool5, and of layer 2, at 224 px.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.bench.row import rate_row, time_row
from zfnet.transfer.duplicates import correlating, normalised
from zfnet.transfer.gram import gram, kernels
from zfnet.transfer.linear import ROUGH, SVM, decide, fit, targets_of

PER_CLASS, N_CLASSES, N_TEST = 30, 101, 500
N_TRAIN = PER_CLASS * N_CLASSES  # 3,030
WIDTHS = {9_216: 10.0, 43_264: 40.0}  # features: how many times LinearSVC's speed to reach
LAYER_1, LAYER_1_TARGET = 290_400, 75.0
C_GRID = (0.01, 0.1, 1.0, 10.0)
SIZES = (5, 10, 15, 30)


def rows(widths: Sequence[int] = tuple(WIDTHS), against_peer: bool = True) -> list[dict[str, Any]]:
    """The rows {name, ours, peer, unit, ratio, target, holds, note}; ratio > 1 means ours is better.

    Without `against_peer`, only the rows that need no LinearSVC.
    """
    found, times = [], []
    for width in widths:
        features, labels = _draw(width)
        if against_peer:
            ours, peer, difference = _compare(features, labels)
            times.append((width, ours, peer))
            note = f"decision values differ by at most {difference:.1e}"
            found.append(time_row(f"linear SVM, {width:,} features", sum(ours), peer, WIDTHS[width], note))
        if width == min(widths):
            found.append(_grid_row(features, labels))
    if len(times) > 1:
        found.append(_extrapolated(times))
    return [*found, _duplicates_row()]


def _draw(width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(width)
    labels = np.arange(N_TRAIN + N_TEST) % N_CLASSES
    centres = rng.standard_normal((N_CLASSES, width), dtype=np.float32)
    features = rng.standard_normal((len(labels), width), dtype=np.float32) + 0.25 * centres[labels]
    features = np.maximum(features - 0.3, 0)
    return features / np.linalg.norm(features[:N_TRAIN], axis=1).mean(), labels


def _compare(features: np.ndarray, labels: np.ndarray) -> tuple[tuple[float, float], float, float]:
    """((seconds of the Gram matrix, of the fit), seconds of LinearSVC, largest difference of decision values)."""
    from sklearn.svm import LinearSVC

    products, gram_seconds = _timed(lambda: gram(features, np.arange(len(features))))
    kernel, outer = products[:N_TRAIN, :N_TRAIN], products[N_TRAIN:, :N_TRAIN]
    targets = targets_of(torch.from_numpy(labels[:N_TRAIN]), N_CLASSES, SVM)
    v, fit_seconds = min((_timed(lambda: fit(kernel, targets, SVM, 1.0)) for _ in range(3)), key=lambda pair: pair[1])
    peer, peer_seconds = _timed(lambda: LinearSVC().fit(features[:N_TRAIN], labels[:N_TRAIN]))
    difference = np.abs(peer.decision_function(features[N_TRAIN:]) - decide(outer, v).numpy()).max()
    return (gram_seconds, fit_seconds), peer_seconds, float(difference)


def _grid_row(features: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    products, gram_seconds = _timed(lambda: gram(features[:N_TRAIN], np.arange(N_TRAIN)))
    classes = torch.from_numpy(labels[:N_TRAIN])

    def kernel_of(size: int) -> tuple[Tensor, Tensor]:
        some = torch.arange(size * N_CLASSES)
        return kernels(products, some, some[:1], "mean")[0], targets_of(classes[some], N_CLASSES, SVM)

    def search() -> None:
        for size in SIZES:
            (kernel, targets), v = kernel_of(size), None
            for c in C_GRID:
                v = fit(kernel, targets, SVM, c, start=v, tolerance=ROUGH)

    _, one_seconds = _timed(lambda: fit(*kernel_of(PER_CLASS), SVM, 1.0))
    _, grid_seconds = _timed(search)
    note = f"{len(C_GRID)} values of C x {len(SIZES)} training sizes; peer: one fit at C = 1 and the Gram matrix"
    return time_row("grid of C and sizes", grid_seconds, one_seconds + gram_seconds, 0.5, note)


def _extrapolated(times: Sequence[tuple[int, tuple[float, float], float]]) -> dict[str, Any]:
    width, (gram_seconds, fit_seconds), peer = times[-1]
    ours, theirs = gram_seconds * LAYER_1 / width + fit_seconds, peer * LAYER_1 / width
    note = f"extrapolated from {width:,}: Gram matrix and LinearSVC in proportion to the width"
    return time_row(f"linear SVM, {LAYER_1:,} features", ours, theirs, LAYER_1_TARGET, note)


def _duplicates_row() -> dict[str, Any]:
    from scipy.spatial.distance import cdist

    thumbnails = torch.randn(3000, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images, others = normalised(thumbnails[:1000]), normalised(thumbnails[1000:])
    _, ours = _timed(lambda: correlating(images, others, 0.9))
    _, peer = _timed(lambda: cdist(images, others, "correlation") < 0.1)
    pairs = len(images) * len(others) / 1e6
    note = "thumbnails of 16 x 16; peer: scipy's cdist"
    return rate_row("near-duplicate search", pairs / ours, pairs / peer, "M pairs/s", 10.0, note)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
