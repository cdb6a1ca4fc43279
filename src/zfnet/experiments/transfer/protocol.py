"""Protocols of the transfer experiments ([ZF13] 5.2, Tables 4, 5 and 7), and the splits they draw.

In each fold the images of every class are put in a random order. The training images are the first m of it,
the test images the last ones, as many as the protocol allows: so training sets of growing m are nested, a
curve over m is paired, and a small class still gets all the test images it has. What the papers leave open
[NS] is said in the row. Accuracy is the mean over classes of the share of that class's test images that are
right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.files import write_json
from zfnet.data.index import Index


@dataclass(frozen=True)
class Protocol:
    per_class: tuple[int, ...]  # training images a class, one column of the table each
    test_per_class: int  # at most
    folds: int
    source: str


PROTOCOLS = {
    "caltech101": Protocol((15, 30), 50, 5, "Fei-Fei et al.; [ZF13] 5.2, Table 4"),
    "caltech256": Protocol((15, 30, 45, 60), 25, 5, "Griffin et al.; [ZF13] Table 5; test size and folds [NS]"),
    "menagerie": Protocol((15, 30), 20, 5, "ours, after Caltech-101"),
}


@dataclass(frozen=True)
class Split:
    """Rows of an index: one fold at one training size."""

    fold: int
    per_class: int
    train: np.ndarray
    test: np.ndarray


def choose_protocol(source: str, per_class: Sequence[int], test_per_class: int, folds: int) -> Protocol:
    """The row of PROTOCOLS for `source`, with what is given (not empty, not 0) in place of its values."""
    row = PROTOCOLS[source]
    sizes = tuple(sorted(per_class)) or row.per_class
    return replace(row, per_class=sizes, test_per_class=test_per_class or row.test_per_class, folds=folds or row.folds)


def draw_split(index: Index, protocol: Protocol, per_class: int, fold: int, seed: int) -> Split:
    """Training and test rows of one fold, the same for the same seed.

    Raises UserError naming a class that has no image left to test on.
    """
    counts = np.bincount(index.labels, minlength=len(index.classes))
    small = int(counts.argmin())
    if counts[small] <= per_class:
        raise UserError(
            f"transfer.per_class: {per_class} images a class leave none of {index.names[small]!r} to test on "
            f"(it has {counts[small]})"
        )
    rng = np.random.default_rng([seed, fold])
    orders = [rng.permutation(np.flatnonzero(index.labels == k)) for k in range(len(index.classes))]
    train = [order[:per_class] for order in orders]
    test = [order[per_class:][-protocol.test_per_class :] for order in orders]
    return Split(fold, per_class, np.concatenate(train), np.concatenate(test))


def hold_out(train: np.ndarray, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `train` (whole classes, one after the other) to fit on and to choose C on, the last third.

    With one image a class nothing can be held out: the second part is empty.
    """
    rank = np.arange(len(train)) % per_class
    first_held = per_class - max(per_class // 3, int(per_class > 1))
    return np.flatnonzero(rank < first_held), np.flatnonzero(rank >= first_held)


def class_accuracies(guesses: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Share of right guesses among the images of each class, (classes,); nan for a class without images."""
    right = np.bincount(labels[guesses == labels], minlength=n_classes)
    count = np.bincount(labels, minlength=n_classes)
    return np.where(count > 0, right / np.maximum(count, 1), np.nan)


def write_splits(path: Path, index: Index, protocol: Protocol, seed: int, splits: Sequence[Split]) -> None:
    """The splits as JSON that needs none of our code to be repeated: file names once, then rows of that list."""
    content = {
        "protocol": {**vars(protocol)},
        "seed": seed,
        "classes": list(index.classes),
        "images": [str(path) for path in index.paths],
        "labels": index.labels.tolist(),
        "splits": [
            {
                "fold": split.fold,
                "per_class": split.per_class,
                "train": split.train.tolist(),
                "test": split.test.tolist(),
            }
            for split in splits
        ],
    }
    write_json(path, content)
