"""One number of a transfer table: a classifier on the features of one layer, fold and training size.

C is chosen on the held-out third of the training images, by mean per-class accuracy (see zfnet.linear.choice); then
the classifier is fitted to all the training images. With one image a class nothing can be held out, and C is the middle
of the grid. The test images are looked at once, at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.core.statistics import Measure
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Split, class_accuracies, hold_out
from zfnet.linear.choice import choose
from zfnet.linear.gram import gram, kernels
from zfnet.linear.solver import LOSSES, ROUGH, Loss, Space, decide, fit, targets_of


@dataclass(frozen=True)
class Task:
    """Inner products of the features of one layer, for the images that any split uses."""

    rows: np.ndarray  # (n,) of those images, ascending
    products: Tensor  # (n, n) float64
    labels: Tensor  # of all the images
    n_classes: int
    scaling: str
    c_grid: Sequence[float]

    def kernels(self, train: np.ndarray, test: np.ndarray) -> tuple[Tensor, Tensor]:
        """(train, train) and (test, train) inner products of scaled features, for rows of the index."""
        train_at = torch.from_numpy(np.searchsorted(self.rows, train))
        test_at = torch.from_numpy(np.searchsorted(self.rows, test))
        return kernels(self.products, train_at, test_at, self.scaling)


def make_task(
    features: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    rows: np.ndarray,
    options: TransferOptions,
    device: torch.device | str,
) -> Task:
    """The task of one layer from (n, d) features and their (n,) labels; computes the Gram matrix of `rows`."""
    rows = np.unique(rows)
    products = gram(features, rows, device)
    return Task(rows, products, torch.from_numpy(labels), n_classes, options.scaling, sorted(options.c_grid))


def score(task: Task, classifier: str, split: Split) -> tuple[np.ndarray, float]:
    """(accuracy of each class on the test images, the C chosen) of "svm" or "softmax"."""
    loss = LOSSES[classifier]
    c = choose_c(task, loss, split)
    kernel, outer = task.kernels(split.train, split.test)
    v = fit(kernel, _targets(task, split.train, loss, kernel), loss, c)
    return _accuracies(task, decide(outer, v), split.test), c


def choose_c(task: Task, loss: Loss, split: Split) -> float:
    """The C that does best on the held-out part of the training images."""
    fitted_at, held_at = hold_out(split.train, split.per_class)
    train, held = split.train[fitted_at], split.train[held_at]
    if len(held) == 0:
        return task.c_grid[len(task.c_grid) // 2]
    kernel, outer = task.kernels(train, held)
    space, targets = Space.of(kernel), _targets(task, train, loss, kernel)

    def held_out(c: float, start: Tensor | None) -> tuple[float, Tensor]:
        v = fit(space, targets, loss, c, start=start, tolerance=ROUGH)
        return float(np.nanmean(_accuracies(task, decide(outer, v), held))), v

    return choose(task.c_grid, held_out)


def _targets(task: Task, rows: np.ndarray, loss: Loss, like: Tensor) -> Tensor:
    return targets_of(task.labels[rows], task.n_classes, loss).to(like)


def _accuracies(task: Task, decisions: Tensor, rows: np.ndarray) -> np.ndarray:
    guesses, labels = decisions.argmax(1).cpu().numpy(), task.labels[rows].numpy()
    return class_accuracies(guesses, labels, task.n_classes)


def score_folds(task: Task, classifier: str, splits: Sequence[Split]) -> dict[str, Any]:
    """The measure over the given splits, accuracies in 0..1; "c", one a fold; "classes", means over folds."""
    scores = [score(task, classifier, split) for split in splits]
    by_class = np.stack([accuracies for accuracies, _ in scores])
    means = {"c": [c for _, c in scores], "classes": by_class.mean(0).tolist()}
    return Measure.over_repeats(np.nanmean(by_class, 1).tolist(), "folds").to_json() | means
