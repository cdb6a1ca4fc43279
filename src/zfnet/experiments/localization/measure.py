"""The boxes as numbers, files and a picture. Methods share the class guesses, so that only the box differs."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.data.cache.images import Images
from zfnet.experiments.localization.boxes import center_box, whole_box
from zfnet.experiments.localization.locate import ImageBoxes
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.picture import Example, draw
from zfnet.experiments.localization.predictions import GUESSES, read_blacklist, write_predictions
from zfnet.experiments.localization.score import UNKNOWN, Truth, classification_errors, compare, score, summarize
from zfnet.experiments.localization.segment import FALLBACKS
from zfnet.experiments.localization.tasks import TaskMaker
from zfnet.plots.grid import write

COMPARED = ("svz13", "threshold", "centre", "whole")  # with which `grabcut` is compared, image by image


def truth_of(images: Images, rows: np.ndarray, labels: np.ndarray, blacklist: str) -> Truth:
    """The truth of the images `rows`, whose classes are the network's outputs `labels` (n,), UNKNOWN where it has none.

    An image's number in the blacklist is the one its file name ends with (ILSVRC2012_val_00000037: 37).
    """
    skipped = read_blacklist(Path(blacklist)) if blacklist else set()
    numbers = [re.search(r"(\d+)$", Path(str(images.index.paths[row])).stem) for row in rows]
    blacklisted = np.array([match is not None and int(match[1]) in skipped for match in numbers], dtype=bool)
    if skipped and not blacklisted.any():
        raise UserError(f"localization.blacklist: {blacklist} names none of these {len(rows)} images")
    if blacklisted.all():
        raise UserError(f"localization.blacklist: {blacklist} names all of these {len(rows)} images; none is left")
    return Truth(labels, [images.index.boxes[row] for row in rows], blacklisted)


def measure(
    located: Sequence[ImageBoxes],
    asked: Sequence[Sequence[int]],
    guesses: np.ndarray,
    truth: Truth,
    options: LocalizationOptions,
    seed: int,
) -> dict:
    """Every number of the stage; located, asked, guesses (n, j) and truth are of the same n images in one order.

    Of images whose class the network does not know only `first_error` and `first_iou` are scored; what no image has
    is left out.
    """
    outcomes = {}
    at_truth = [
        list(classes).index(label) if label != UNKNOWN else 0
        for classes, label in zip(asked, truth.labels, strict=True)
    ]
    for method, boxes in _boxes_by_method(located, options).items():
        known = np.stack([of_image[at] for of_image, at in zip(boxes, at_truth, strict=True)])
        guessed = np.stack([of_image[: guesses.shape[1]] for of_image in boxes])
        outcomes[method] = _present(score(guesses, guessed, known, truth))
    fallbacks = Counter(kind for image in located for kind in image.fallbacks["grabcut"])
    return {
        "n_images": len(located),
        "n_known": int((truth.labels != UNKNOWN).sum()),
        "n_blacklisted": int(truth.blacklisted.sum()),
        "n_guesses": int(guesses.shape[1]),
        "classification": _classification(guesses, truth, seed),
        **{method: summarize(kinds, seed) for method, kinds in outcomes.items()},
        "differences": {name: compare(outcomes["grabcut"], outcomes[name], seed) for name in COMPARED},
        "n_boxes": sum(len(image.boxes["grabcut"]) for image in located),
        "fallbacks": {kind: fallbacks[kind] for kind in FALLBACKS},
        "seconds_per_image": float(np.mean([image.seconds for image in located])),  # of one process, all methods
    }


def _classification(guesses: np.ndarray, truth: Truth, seed: int) -> dict:
    kinds = {
        "top5_error": classification_errors(guesses[:, :GUESSES], truth),
        "top1_error": classification_errors(guesses[:, :1], truth),
    }
    return summarize(_present(kinds), seed)


def _present(outcomes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the kinds that no image has."""
    return {kind: values for kind, values in outcomes.items() if not np.isnan(values).all()}


def _boxes_by_method(located: Sequence[ImageBoxes], options: LocalizationOptions) -> dict[str, list[np.ndarray]]:
    """For each method, n arrays (k, 4): a box for each class. `svz13` was cut separately only if it differs."""

    def repeat(box: Callable[..., np.ndarray], *arguments: float) -> list[np.ndarray]:
        return [np.tile(box(*image.shape, *arguments), (len(image.boxes["grabcut"]), 1)) for image in located]

    return {
        "grabcut": [np.array(image.boxes["grabcut"]) for image in located],
        "svz13": [np.array(image.boxes.get("svz13", image.boxes["grabcut"])) for image in located],
        "threshold": [np.array(image.boxes["threshold"]) for image in located],
        "centre": repeat(center_box, options.centre),
        "whole": repeat(whole_box),
    }


def write_files(
    out: Path, images: Images, rows: np.ndarray, guesses: np.ndarray, located: Sequence[ImageBoxes], truth: Truth
) -> None:
    """predictions.txt, truth.txt, images.txt and blacklist.txt, of the images whose class the network knows."""
    lines, true = [], []
    known = [at for at, label in enumerate(truth.labels) if label != UNKNOWN]
    for at in known:
        lines.append((guesses[at], np.array(located[at].boxes["grabcut"])[: guesses.shape[1]]))
        true.append((np.full(len(truth.boxes[at]), truth.labels[at]), truth.boxes[at]))
    write_predictions(out / "predictions.txt", lines)
    write_predictions(out / "truth.txt", true)
    _write_lines(out / "images.txt", [str(images.index.paths[rows[at]]) for at in known])
    _write_lines(out / "blacklist.txt", [str(line) for line, at in enumerate(known, 1) if truth.blacklisted[at]])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_picture(
    path: Path, tasks: TaskMaker, names: Sequence[str], guesses: np.ndarray, truth: Truth, options: LocalizationOptions
) -> None:
    """The picture of `options.n_shown` images drawn by the seed, each with the map of its most probable class.

    names: of the network's classes. guesses (n, j) and truth are of the n images of `tasks`, in its order.
    """
    index, rows = tasks.images.index, list(tasks.asked)
    examples = []
    shown = np.random.default_rng([tasks.seed, 3]).permutation(len(rows))[: options.n_shown]
    for at in np.sort(shown):
        row, first = rows[at], int(guesses[at, 0])
        label, true = names[first], int(index.labels[row])
        if truth.labels[at] != first:
            label += f" (is: {index.names[true] if true != UNKNOWN else 'unknown'})"
        examples.append(Example(tasks.make_for(row, [first]), index.boxes[row], label))
    write(path, draw(examples, options))
