"""The VOC stage: Table 6 of [ZF13] 5.2, average precision of each class with a frozen network.

The paper trains one 20-way softmax, though an image may show several classes; how its labels became one target is [NS].
Here an image's target is shared evenly by its classes, and the score of a class is its probability. Beside it stands
the usual one-vs-rest SVM, which passes over, for each class, the images that show only difficult instances of it.
C is chosen by mean AP on a held-out third of the training images. A test set without labels gets result files only.

    <out>/<classifier>/results/VOC<year>/Main/comp2_cls_<split>_<class>.txt    as the evaluation server takes them

The paper's numbers are of a training on train + val and of the test set, whose labels of 2012 are not public.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.core.statistics import Measure
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.voc.options import VocOptions
from zfnet.linear.average_precision import average_precision, bootstrap_precisions, write_results
from zfnet.linear.choice import choose
from zfnet.linear.gram import gram, kernels
from zfnet.linear.solver import LOSSES, ROUGH, SOFTMAX, Loss, Space, decide, fit
from zfnet.networks.features import extract
from zfnet.networks.network import Network
from zfnet.pipeline.record import Outcome
from zfnet.plots import chart, grid

ALL_POINTS_SINCE = 2010  # before, AP was the mean over eleven recalls
SHOWN = 8  # images a class in the picture
WRONG = (200, 60, 40)  # color of the frame of an image that does not show the class


def run(
    options: VocOptions,
    network: Network,
    train: Images,
    test: Images,
    out: Path,
    seed: int,
    year: int,
    split: str,
    workers: Workers = ALONE,
) -> Outcome:
    """AP by class of the softmax and the SVM on the last hidden layer, by the rule of `year`, and result files.

    `split` is what the result files call the test images.
    """
    products = _products(options, network, train, test, out, workers)
    targets, classes = _targets(train), test.index.classes
    eleven = year < ALL_POINTS_SINCE
    stems = [Path(str(path)).stem for path in test.index.paths]
    numbers: dict[str, Any] = {"n_train": len(train), "n_test": len(test), "n_classes": len(classes), "year": year}
    numbers |= {"depth": network.depth, "split": split, "rule": "eleven points" if eleven else "all points"}
    if test.index.targets is not None:
        numbers["chance"] = chance(test.index.targets)
    scores = {}
    numbers["table6"] = {}
    for kind in ("softmax", "svm"):
        scores[kind], c = _scores(products, targets, LOSSES[kind], options, seed, eleven)
        write_results(out / kind / "results" / f"VOC{year}" / "Main", split, classes, stems, scores[kind])
        numbers["table6"][kind] = {"c": c, **_precisions(test, scores[kind], seed, eleven)}
    figures = _draw(numbers, test, scores["softmax"], out)
    return Outcome(numbers, figures, _headline(numbers))


def _products(
    options: VocOptions, network: Network, train: Images, test: Images, out: Path, workers: Workers
) -> Tensor:
    """Inner products of the features of the training images, then the test images."""
    name = network.layer(network.depth)
    features = [
        extract(network, images, [name], options.crops, out / "features" / part, options.batch, workers)[name]
        for part, images in {"train": train, "test": test}.items()
    ]
    both = np.concatenate(features)
    return gram(both, np.arange(len(both)), network.device)


def _targets(images: Images) -> np.ndarray:
    if images.index.targets is None:
        raise ValueError("the training images of VOC carry no targets")
    return images.index.targets


def chance(targets: np.ndarray) -> float:
    """About the mean average precision of a random order, in percent: the share of images that show the class.

    targets (n, classes): 1 present, 0 absent, -1 only difficult instances, which do not count.
    """
    counted = np.maximum((targets >= 0).sum(0), 1)
    return 100 * float(((targets == 1).sum(0) / counted).mean())


def _scores(
    products: Tensor, targets: np.ndarray, loss: Loss, options: VocOptions, seed: int, eleven: bool
) -> tuple[np.ndarray, float]:
    """((n_test, classes) scores, C): rows of `products` are the training images, then the test images."""
    n = len(targets)
    order = np.random.default_rng([seed, n]).permutation(n)
    kept, held = order[n // 3 :], order[: n // 3]
    kernel, outer = kernels(products, torch.from_numpy(kept), torch.from_numpy(held), options.scaling)
    space, kept_targets = Space.of(kernel), shared_targets(targets[kept], loss, products)

    def held_out(c: float, start: Tensor | None) -> tuple[float, Tensor]:
        v = fit(space, kept_targets, loss, c, start=start, tolerance=ROUGH)
        return _mean_precision(_confidence(outer, v, loss), targets[held], eleven), v

    c = choose(options.c_grid, held_out)
    kernel, outer = kernels(products, torch.arange(n), torch.arange(n, len(products)), options.scaling)
    return _confidence(outer, fit(kernel, shared_targets(targets, loss, products), loss, c), loss), c


def shared_targets(targets: np.ndarray, loss: Loss, like: Tensor) -> Tensor:
    """Targets as a loss wants them: shares of one for the softmax; 1, -1 and 0 (left out) for the SVM."""
    present = torch.from_numpy(targets == 1).to(like)
    absent = torch.from_numpy(targets == 0).to(like)
    if loss is SOFTMAX:
        return present / present.sum(1, keepdim=True).clamp(min=1)
    return present - absent


def _confidence(kernel: Tensor, v: Tensor, loss: Loss) -> np.ndarray:
    f = decide(kernel, v)
    return (f.softmax(1) if loss is SOFTMAX else f).cpu().numpy()


def _by_class(scores: np.ndarray, targets: np.ndarray, eleven: bool) -> np.ndarray:
    return np.array([average_precision(*pair, eleven) for pair in zip(scores.T, targets.T, strict=True)])


def _mean_precision(scores: np.ndarray, targets: np.ndarray, eleven: bool) -> float:
    known = _by_class(scores, targets, eleven)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else 0.0


def _precisions(test: Images, scores: np.ndarray, seed: int, eleven: bool) -> dict[str, Any]:
    """{"ap": class -> measure, "mean": a measure, "chance": share of positives, mean over classes}."""
    targets, classes = test.index.targets, test.index.classes
    if targets is None:
        return {}
    values = _by_class(scores, targets, eleven)
    drawn = bootstrap_precisions(scores, targets, seed, eleven)
    n, columns = len(scores), zip(classes, values, drawn.T, strict=True)
    cells = {name: _cell(value, column, n) for name, value, column in columns if np.isfinite(value)}
    shares = [(column == 1).sum() / (column >= 0).sum() for column in targets.T if (column == 1).any()]
    mean = _cell(np.nanmean(values), np.nanmean(drawn, axis=1), n)
    return {"ap": cells, "mean": mean, "chance": float(np.mean(shares))}


def _cell(value: float, drawn: np.ndarray, n: int) -> dict[str, Any]:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Measure(float(value), float(low), float(high), n, "bootstrap over images").to_json()


def _draw(numbers: dict[str, Any], test: Images, scores: np.ndarray, out: Path) -> dict[str, str]:
    """The AP of every class as dots, and the images ranked first; nothing without labels."""
    if test.index.targets is None:
        return {}
    names = dict(zip(test.index.classes, test.index.names, strict=True))
    dots = []
    for name, label in names.items():
        for kind, row in numbers["table6"].items():
            if cell := row["ap"].get(name):
                dots.append(chart.Dot(f"{label}, {kind}", 100 * cell["value"], 100 * cell["low"], 100 * cell["high"]))
    chart.save(chart.dots(dots, "average precision, %"), out / "classes.svg")
    first = [np.argsort(-column, kind="stable")[:SHOWN] for column in scores.T]
    tiles = [[_tile(test, row, k) for row in rows] for k, rows in enumerate(first)]
    grid.write(out / "ranked.png", grid.mosaic(tiles, row_labels=list(names.values())))
    return {
        "classes.svg": "Average precision of each class with a softmax and with an SVM on frozen features; bars are "
        "95 % bootstrap intervals over images.",
        "ranked.png": "The test images that the softmax ranks first for each class; those that do not show it are "
        "framed in red.",
    }


def _tile(test: Images, row: int, k: int) -> np.ndarray:
    tile = np.array(test.pixels[row])
    if test.index.targets is None or test.index.targets[row, k] != 0:
        return tile
    end = test.size - 1
    return grid.draw_box(tile, (0, 0, end, end), WRONG, 3)


def _headline(numbers: dict[str, Any]) -> str:
    rows = numbers["table6"].items()
    means = [f"{kind} {100 * row['mean']['value']:.1f} %" for kind, row in rows if "mean" in row]
    return f"mean AP: {', '.join(means)}" if means else "result files written; the test images have no labels"
