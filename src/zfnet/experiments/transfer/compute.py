"""The transfer stage: Table 4 (or 5), Table 7 and Fig. 9 of [ZF13] 5.2 on one transfer set.

    table4     softmax on the last hidden layer of the frozen network, by training images a class ("pretrained"), and
               whole networks trained on the same images, where such conditions are given ("scratch": layers
               reset)
    table7     the SVM on every layer, the softmax on some, at the largest training size
    per_class  accuracy of each class, softmax on the last hidden layer at the largest training size
    few_shot   table4's "pretrained" from one image a class on (Fig. 9)

Accuracies are in 0..1, with a standard deviation over folds. splits.json holds the splits, duplicates.json the
near-duplicates in the pre-training set, leave_out.txt their files: a clean pre-training leaves these out. Copy the file
away from here first, for the next transfer finds none of them and writes it anew:

    cp outputs/tiny_imagenet/transfer/leave_out.txt data/ && make reproduce ARGS="data.leave_out=data/leave_out.txt ..."
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zfnet.core.files import atomic_write, write_json
from zfnet.core.progress import track
from zfnet.core.resume import Store
from zfnet.data.cache.images import ImageStore
from zfnet.data.index import Index
from zfnet.experiments.transfer.duplicates import Pairs, find_pairs
from zfnet.experiments.transfer.experiment import Task, make_task, score_folds, summary
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Protocol, Split, choose_protocol, draw_split, write_splits
from zfnet.networks.convnet import ConvNet
from zfnet.networks.features import extract, feature_key
from zfnet.networks.options import TRAINED
from zfnet.networks.pretrained import Numbered
from zfnet.pipeline.record import Outcome
from zfnet.plots import chart, grid

Train = Callable[[Split, int], Sequence[float]]  # (split of the transfer set, seed) -> accuracy of each class
Splits = dict[int, list[Split]]  # training images a class -> folds
COLUMNS, PAGE, TILE = 12, 120, 96  # pairs a row, pairs in all and px a picture on the page of near-duplicates


def run(
    config: TransferOptions,
    model: ConvNet | Numbered,
    images: ImageStore,
    out: Path,
    seed: int,
    duplicates_of: ImageStore | None = None,
    trained: Mapping[str, Train] | None = None,
) -> Outcome:
    """Tables, curve and figures of a frozen `model` on the transfer set `images`.

    duplicates_of: the pre-training images, searched for near-duplicates. trained: conditions in which a whole
    network is trained on the split's training images, by name ("scratch", "fine-tuned"); each gives the
    accuracy of every class on the split's test images.
    """
    index = images.index
    protocol = choose_protocol(config.source, config.per_class, config.test_per_class, config.folds)
    splits = _draw_splits(config, index, protocol, seed)
    write_splits(out / "splits.json", index, protocol, seed, [split for folds in splits.values() for split in folds])
    table7, few_shot, per_class = _score_layers(config, model, images, splits, out)
    table4 = {"pretrained": {str(size): few_shot[str(size)] for size in protocol.per_class}}
    for name, train in (trained or {}).items():
        table4[name] = {
            str(m): _train_folds(train, splits[m][: config.trained_folds], seed) for m in protocol.per_class
        }
    numbers: dict[str, Any] = {
        "table4": table4,
        "table7": table7,
        "few_shot": few_shot,
        "per_class": dict(zip(index.names, per_class, strict=True)),
        "chance": 1 / len(index.classes),
        "n_classes": len(index.classes),
        "n_images": len(index),
        "n_test": len(splits[max(splits)][0].test),
        "depth": model.depth,
        "protocol": {**vars(protocol), "per_class": list(protocol.per_class)},
    }
    figures = _draw(numbers, out)
    if duplicates_of is not None:
        pairs = find_pairs(images, duplicates_of, config.duplicates)
        numbers["duplicates"] = _write_pairs(pairs, images, duplicates_of, config.duplicates, out)
        figures |= _draw_pairs(pairs, images, duplicates_of, out)
    return Outcome(numbers, figures, _headline(numbers))


def _draw_splits(config: TransferOptions, index: Index, protocol: Protocol, seed: int) -> Splits:
    few = [size for size in config.few_shot if size < max(protocol.per_class)]
    folds = range(protocol.folds)
    sizes = sorted({*few, *protocol.per_class})
    return {size: [draw_split(index, protocol, size, fold, seed) for fold in folds] for size in sizes}


def _score_layers(
    config: TransferOptions, model: ConvNet | Numbered, images: ImageStore, splits: Splits, out: Path
) -> tuple[dict[str, Any], dict[str, Any], list[float]]:
    """(table7, few_shot, accuracy of each class); one Gram matrix a layer serves all that is fitted on it.

    cells.jsonl, beside the features, keeps each cell as it is made.
    """
    layers = {n: model.layer(n) for n in model.numbers if n in config.layers or n == model.depth}
    folder = out / ("features" if config.network == TRAINED else f"features-{config.network}")
    names = list(layers.values())
    features = extract(model, images, names, config.crops, folder, config.batch)
    device = next(model.parameters()).device
    used = np.concatenate([rows for folds in splits.values() for split in folds for rows in (split.train, split.test)])
    origin = _origin(config, splits, feature_key(model, images, names, config.crops))
    cells = Store(folder / "cells.jsonl", origin)
    svm, softmax, few_shot, largest = {}, {}, {}, max(splits)
    for n, name in track(layers.items(), "transfer, layers:", total=len(layers)):
        labels = images.index.labels, len(images.index.classes)
        task = cache(partial(make_task, features[name], *labels, used, config, device))  # made where a cell is missing
        score = partial(_score, task, splits)
        if n in config.layers:
            svm[str(n)] = cells.get_or_make(f"svm {largest} {n}", score, "svm", largest)
        if n == model.depth:
            few_shot = {str(size): cells.get_or_make(f"softmax {size} {n}", score, "softmax", size) for size in splits}
            softmax[str(n)] = few_shot[str(largest)]
        elif n in config.softmax_layers:
            softmax[str(n)] = cells.get_or_make(f"softmax {largest} {n}", score, "softmax", largest)
    by_class = few_shot[str(largest)]["classes"]
    for cell in (*svm.values(), *softmax.values(), *few_shot.values()):
        cell.pop("classes", None)
    return {"svm": svm, "softmax": softmax}, few_shot, by_class


def _score(task: Callable[[], Task], splits: Splits, classifier: str, size: int) -> dict[str, Any]:
    return score_folds(task(), classifier, splits[size])


def _origin(config: TransferOptions, splits: Splits, features: dict[str, Any]) -> dict[str, Any]:
    """What the scores are made from: the features, the splits, and how classifiers are chosen."""
    rows = [part.tobytes() for folds in splits.values() for split in folds for part in (split.train, split.test)]
    drawn = hashlib.sha256(b"".join(rows)).hexdigest()[:16]
    return {"features": features, "splits": drawn, "scaling": config.scaling, "c_grid": sorted(config.c_grid)}


def _train_folds(train: Train, splits: Sequence[Split], seed: int) -> dict[str, Any]:
    accuracies = [torch.tensor(train(split, seed + split.fold)).double().nanmean().item() for split in splits]
    return summary(accuracies)


def _headline(numbers: dict[str, Any]) -> str:
    size = str(max(numbers["protocol"]["per_class"]))
    words = [f"{name} {100 * row[size]['mean']:.1f} %" for name, row in numbers["table4"].items()]
    return f"{', '.join(words)} at {size} images a class (chance {100 * numbers['chance']:.1f} %)"


def _draw(numbers: dict[str, Any], out: Path) -> dict[str, str]:
    by_layer = [_series(label, numbers["table7"][kind]) for kind, label in (("svm", "SVM"), ("softmax", "softmax"))]
    curve = [_series("frozen features", numbers["few_shot"])]
    curve += [_series(name, row, dots=True) for name, row in numbers["table4"].items() if name != "pretrained"]
    chance = [("chance", 100 * numbers["chance"])]
    panels = {
        "layers.svg": chart.Panel("", "layer", "accuracy, %", by_layer, levels=chance),
        "few_shot.svg": chart.Panel("", "training images a class", "accuracy, %", curve, log_x=True, levels=chance),
    }
    for name, panel in panels.items():
        chart.save(chart.lines([panel]), out / name)
    return {
        "layers.svg": "Accuracy on the transfer set of linear classifiers on the features of each layer; the band is "
        "one standard deviation over folds.",
        "few_shot.svg": "Accuracy on the transfer set by the number of training images a class; the band is one "
        "standard deviation over folds.",
    }


def _series(label: str, row: dict[str, Any], dots: bool = False) -> chart.Series:
    y, spread = ([100 * cell[key] for cell in row.values()] for key in ("mean", "std"))
    low, high = ([m + sign * s for m, s in zip(y, spread, strict=True)] for sign in (-1, 1))
    return chart.Series(label, [float(x) for x in row], y, low, high, dots=dots)


def _write_pairs(pairs: Pairs, images: ImageStore, others: ImageStore, threshold: float, out: Path) -> dict[str, Any]:
    triples = zip(pairs.rows, pairs.others, pairs.correlations, strict=True)
    found = [
        {"image": str(images.index.paths[row]), "other": str(others.index.paths[other]), "correlation": float(r)}
        for row, other, r in triples
    ]
    leave_out = [str(others.index.paths[row]) for row in pairs.left_out()]
    write_json(out / "duplicates.json", {"threshold": threshold, "pairs": found, "leave_out": leave_out})
    with atomic_write(out / "leave_out.txt") as temporary:
        temporary.write_text("".join(f"{path}\n" for path in leave_out), encoding="utf-8")
    rows = np.unique(pairs.rows)
    most = int(np.bincount(images.index.labels[rows]).max()) if len(rows) else 0
    sizes = {"pairs": len(pairs), "images": len(rows), "most_in_class": most, "leave_out": len(leave_out)}
    return {"threshold": threshold, **sizes}


def _draw_pairs(pairs: Pairs, images: ImageStore, others: ImageStore, out: Path) -> dict[str, str]:
    if not len(pairs):
        return {}
    tiles: list[list[np.ndarray]] = []
    labels = []
    for start in range(0, min(len(pairs), PAGE), COLUMNS):
        some = slice(start, min(start + COLUMNS, PAGE))
        sides = (images.pixels[pairs.rows[some]], others.pixels[pairs.others[some]])
        tiles += [[grid.fit(tile, min(TILE, images.size)) for tile in side] for side in sides]
        labels += ["transfer", "training"]
    grid.write(out / "duplicates.png", grid.mosaic(tiles, row_labels=labels))
    shown = f"the {PAGE} likest of {len(pairs)} pairs" if len(pairs) > PAGE else "the likest first"
    return {"duplicates.png": f"Near-duplicates, {shown}: images of the transfer set above the training images."}
