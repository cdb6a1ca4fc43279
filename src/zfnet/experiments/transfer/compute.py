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
from zfnet.core.statistics import Measure
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.data.index import Index
from zfnet.experiments.transfer.duplicates import Pairs, find_pairs
from zfnet.experiments.transfer.experiment import Task, make_task, score_folds
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Protocol, Split, choose_protocol, draw_split, write_splits
from zfnet.networks.features import extract, feature_key
from zfnet.networks.network import Network
from zfnet.pipeline.record import Outcome
from zfnet.plots import chart, grid

Train = Callable[[Split, int], Sequence[float]]  # (split of the transfer set, seed) -> accuracy of each class
Splits = dict[int, list[Split]]  # training images a class -> folds
CELLS = 2  # version of what cells.jsonl holds
COLUMNS, PAGE, TILE = 12, 120, 96  # pairs a row, pairs in all and px a picture on the page of near-duplicates


def run(
    options: TransferOptions,
    network: Network,
    images: Images,
    out: Path,
    seed: int,
    duplicates_of: Images | None = None,
    trained: Mapping[str, Train] | None = None,
    workers: Workers = ALONE,
) -> Outcome:
    """Tables, curve and figures of a frozen network on the transfer set `images`.

    Layers that the options name and the network lacks are left out.

    duplicates_of: the pre-training images, searched for near-duplicates. trained: conditions in which a whole
    network is trained on the split's training images, by name ("scratch", "fine-tuned"); each gives the
    accuracy of every class on the split's test images.
    """
    index = images.index
    protocol = choose_protocol(options.source, options.per_class, options.test_per_class, options.folds)
    splits = _draw_splits(options, index, protocol, seed)
    write_splits(out / "splits.json", index, protocol, seed, [split for folds in splits.values() for split in folds])
    chosen = [n for n in sorted(network.layers) if n in options.layers or n == network.depth]
    names = [network.layer(n) for n in chosen]
    features = extract(network, images, names, options.crops, out / "features", options.batch, workers)
    table7, few_shot, per_class = _score_layers(options, network, images, splits, features, out)
    table4 = {"pretrained": {str(size): few_shot[str(size)] for size in protocol.per_class}}
    for name, train in (trained or {}).items():
        table4[name] = {
            str(size): _train_folds(train, splits[size][: options.trained_folds], seed) for size in protocol.per_class
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
        "depth": network.depth,
        "protocol": {**vars(protocol), "per_class": list(protocol.per_class)},
    }
    figures = _draw(numbers, out)
    if duplicates_of is not None:
        pairs = find_pairs(images, duplicates_of, options.duplicates)
        numbers["duplicates"] = _write_pairs(pairs, images, duplicates_of, options.duplicates, out)
        figures |= _draw_pairs(pairs, images, duplicates_of, out)
    return Outcome(numbers, figures, _headline(numbers))


def _draw_splits(options: TransferOptions, index: Index, protocol: Protocol, seed: int) -> Splits:
    few = [size for size in options.few_shot if size < max(protocol.per_class)]
    folds = range(protocol.folds)
    sizes = sorted({*few, *protocol.per_class})
    return {size: [draw_split(index, protocol, size, fold, seed) for fold in folds] for size in sizes}


def _score_layers(
    options: TransferOptions,
    network: Network,
    images: Images,
    splits: Splits,
    features: Mapping[str, np.ndarray],
    out: Path,
) -> tuple[dict[str, Any], dict[str, Any], list[float]]:
    """(table7, few_shot, accuracy of each class); one Gram matrix a layer serves all that is fitted on it.

    cells.jsonl, beside the features, keeps each cell as it is made.
    """
    layers = {n: name for n, name in sorted(network.layers.items()) if name in features}
    used = np.concatenate([rows for folds in splits.values() for split in folds for rows in (split.train, split.test)])
    origin = _origin(options, splits, feature_key(network, images, list(features), options.crops))
    cells = Store(out / "features" / "cells.jsonl", origin)
    svm, softmax, few_shot, largest = {}, {}, {}, max(splits)
    for n, name in track(layers.items(), "transfer, layers:", total=len(layers)):
        labels, n_classes = images.index.labels, len(images.index.classes)
        # The Gram matrix is made where a cell is missing.
        task = cache(partial(make_task, features[name], labels, n_classes, used, options, network.device))
        score = partial(_score, task, splits)
        if n in options.layers:
            svm[str(n)] = cells.get_or_make(f"svm {largest} {n}", score, "svm", largest)
        if n == network.depth:
            few_shot = {str(size): cells.get_or_make(f"softmax {size} {n}", score, "softmax", size) for size in splits}
            softmax[str(n)] = few_shot[str(largest)]
        elif n in options.softmax_layers:
            softmax[str(n)] = cells.get_or_make(f"softmax {largest} {n}", score, "softmax", largest)
    by_class = few_shot[str(largest)]["classes"]
    for cell in (*svm.values(), *softmax.values(), *few_shot.values()):
        cell.pop("classes", None)
    return {"svm": svm, "softmax": softmax}, few_shot, by_class


def _score(task: Callable[[], Task], splits: Splits, classifier: str, size: int) -> dict[str, Any]:
    return score_folds(task(), classifier, splits[size])


def _origin(options: TransferOptions, splits: Splits, features: dict[str, Any]) -> dict[str, Any]:
    """What the scores are made from: the features, the splits, and how classifiers are chosen."""
    rows = [part.tobytes() for folds in splits.values() for split in folds for part in (split.train, split.test)]
    drawn = hashlib.sha256(b"".join(rows)).hexdigest()[:16]
    chosen_by = {"scaling": options.scaling, "c_grid": sorted(options.c_grid)}
    return {"version": CELLS, "features": features, "splits": drawn, **chosen_by}


def _train_folds(train: Train, splits: Sequence[Split], seed: int) -> dict[str, Any]:
    accuracies = [torch.tensor(train(split, seed + split.fold)).double().nanmean().item() for split in splits]
    return Measure.over_repeats(accuracies, "folds").to_json()


def _headline(numbers: dict[str, Any]) -> str:
    size = str(max(numbers["protocol"]["per_class"]))
    words = [f"{name} {100 * row[size]['value']:.1f} %" for name, row in numbers["table4"].items()]
    return f"{', '.join(words)} at {size} images a class (chance {100 * numbers['chance']:.1f} %)"


def _draw(numbers: dict[str, Any], out: Path) -> dict[str, str]:
    table7 = numbers["table7"]
    by_layer = [_series("SVM", table7["svm"]), _series("softmax", table7["softmax"])]
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
    x = [float(value) for value in row]
    y = [100 * cell["value"] for cell in row.values()]
    low = [100 * (cell["value"] - cell.get("std", 0)) for cell in row.values()]
    high = [100 * (cell["value"] + cell.get("std", 0)) for cell in row.values()]
    return chart.Series(label, x, y, low, high, dots=dots)


def _write_pairs(pairs: Pairs, images: Images, others: Images, threshold: float, out: Path) -> dict[str, Any]:
    triples = zip(pairs.rows, pairs.others, pairs.correlations, strict=True)
    listed = [
        {"image": str(images.index.paths[row]), "other": str(others.index.paths[other]), "correlation": float(r)}
        for row, other, r in triples
    ]
    leave_out = [str(others.index.paths[row]) for row in pairs.left_out()]
    write_json(out / "duplicates.json", {"threshold": threshold, "pairs": listed, "leave_out": leave_out})
    with atomic_write(out / "leave_out.txt") as temporary:
        temporary.write_text("".join(f"{path}\n" for path in leave_out), encoding="utf-8")
    rows = np.unique(pairs.rows)
    most = int(np.bincount(images.index.labels[rows]).max()) if len(rows) else 0
    sizes = {"pairs": len(pairs), "images": len(rows), "most_in_class": most, "leave_out": len(leave_out)}
    return {"threshold": threshold, **sizes}


def _draw_pairs(pairs: Pairs, images: Images, others: Images, out: Path) -> dict[str, str]:
    if not len(pairs):
        return {}
    tiles: list[list[np.ndarray]] = []
    labels = []
    for start in range(0, min(len(pairs), PAGE), COLUMNS):
        columns = slice(start, min(start + COLUMNS, PAGE))
        tiles.append([_tile(images, row) for row in pairs.rows[columns]])
        tiles.append([_tile(others, row) for row in pairs.others[columns]])
        labels += ["transfer", "training"]
    grid.write(out / "duplicates.png", grid.mosaic(tiles, row_labels=labels))
    shown = f"the {PAGE} most similar of {len(pairs)} pairs" if len(pairs) > PAGE else "the most similar first"
    return {"duplicates.png": f"Near-duplicates, {shown}: images of the transfer set above the training images."}


def _tile(images: Images, row: int) -> np.ndarray:
    return grid.fit(images.pixels[row], min(TILE, images.size))
