"""The VOC stage: Table 6 of [ZF13] 4.2, average precision of each class with a frozen network.

The paper trains one 20-way softmax, though an image may show several classes; how its labels became one target is [NS].
Here an image's target is shared evenly by its classes, and the score of a class is its probability. Beside it stands
the usual one-vs-rest SVM, which passes over, for each class, the images that show only difficult instances of it.
C is chosen by mean AP on a held-out third of the training images. A test set without labels gets result files only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.config import TransferConfig
from zfnet.data.store import ImageStore
from zfnet.models.net import ConvNet
from zfnet.record import Outcome
from zfnet.transfer.average_precision import average_precision, write_results
from zfnet.transfer.features import extract
from zfnet.transfer.gram import gram, kernels, threads_for
from zfnet.transfer.linear import LOSSES, ROUGH, SOFTMAX, Loss, decide, fit


def run(
    config: TransferConfig,
    model: ConvNet,
    train: ImageStore,
    test: ImageStore,
    out: Path,
    seed: int,
    split: str = "test",
    eleven_points: bool = False,
) -> Outcome:
    """AP by class of the softmax and the SVM on the last hidden layer, and result files under `out`/results.

    `split` is what the result files call the test images; `eleven_points` is the rule of VOC 2007.
    """
    name = model.layer(model.depth)
    stores = {"train": train, "test": test}
    features = [extract(model, images, [name], config.crops, out / "features" / part, config.batch)[name]
                for part, images in stores.items()]  # fmt: skip
    device = next(model.parameters()).device
    both = np.concatenate(features)
    products = gram(both, np.arange(len(both)), device)
    targets = _labelled(train)
    numbers: dict[str, Any] = {"n_train": len(train), "n_test": len(test), "depth": model.depth, "table6": {}}
    for kind, loss in LOSSES.items():
        with threads_for(len(train)):
            scores, c = _scores(products, targets, loss, config, seed, eleven_points)
        images = [Path(str(path)).stem for path in test.index.paths]
        write_results(out / "results" / kind, split, test.index.classes, images, scores)
        numbers["table6"][kind] = {"c": c, **_precisions(test, scores, eleven_points)}
    return Outcome(numbers, {}, _headline(numbers))


def _labelled(images: ImageStore) -> np.ndarray:
    if images.index.targets is None:
        raise ValueError("the training images of VOC carry no targets")
    return images.index.targets


def _scores(
    products: Tensor, targets: np.ndarray, loss: Loss, config: TransferConfig, seed: int, eleven_points: bool
) -> tuple[np.ndarray, float]:
    """((n_test, classes) scores, C): rows of `products` are the training images, then the test images."""
    n = len(targets)
    order = np.random.default_rng([seed, n]).permutation(n)
    kept, held = order[n // 3 :], order[: n // 3]
    v, precisions, grid = None, [], sorted(config.c_grid)
    kernel, outer = kernels(products, torch.from_numpy(kept), torch.from_numpy(held), config.scaling)
    for c in grid if len(grid) > 1 else ():
        v = fit(kernel, shared_targets(targets[kept], loss, products), loss, c, start=v, tolerance=ROUGH)
        precisions.append(_mean_precision(_confidence(outer, v, loss), targets[held], eleven_points))
    c = grid[int(np.nanargmax(precisions))] if precisions else grid[0]
    kernel, outer = kernels(products, torch.arange(n), torch.arange(n, len(products)), config.scaling)
    return _confidence(outer, fit(kernel, shared_targets(targets, loss, products), loss, c), loss), c


def shared_targets(targets: np.ndarray, loss: Loss, like: Tensor) -> Tensor:
    """Targets as a loss wants them: shares of one for the softmax; 1, -1 and 0 (left out) for the SVM."""
    present, absent = (torch.from_numpy(targets == sign).to(like) for sign in (1, 0))
    if loss is SOFTMAX:
        return present / present.sum(1, keepdim=True).clamp(min=1)
    return present - absent


def _confidence(kernel: Tensor, v: Tensor, loss: Loss) -> np.ndarray:
    f = decide(kernel, v)
    return (f.softmax(1) if loss is SOFTMAX else f).cpu().numpy()


def _mean_precision(scores: np.ndarray, targets: np.ndarray, eleven_points: bool) -> float:
    by_class = [average_precision(*pair, eleven_points) for pair in zip(scores.T, targets.T, strict=True)]
    known = [value for value in by_class if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _precisions(test: ImageStore, scores: np.ndarray, eleven_points: bool) -> dict[str, Any]:
    targets = test.index.targets
    if targets is None:
        return {}
    columns: Sequence[tuple[np.ndarray, np.ndarray]] = list(zip(scores.T, targets.T, strict=True))
    by_class = {k: average_precision(*pair, eleven_points) for k, pair in zip(test.index.classes, columns, strict=True)}
    known = {name: value for name, value in by_class.items() if np.isfinite(value)}
    return {"ap": known, "mean": float(np.mean(list(known.values())))}


def _headline(numbers: dict[str, Any]) -> str:
    means = [f"{kind} {100 * row['mean']:.1f} %" for kind, row in numbers["table6"].items() if "mean" in row]
    return f"mean AP: {', '.join(means)}" if means else "result files written; the test images have no labels"
