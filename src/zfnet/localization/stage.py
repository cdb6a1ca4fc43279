"""Weakly supervised localisation [SVZ13, section 3.2]: a box for each of the five likeliest classes of an image.

    classes  five highest softmax outputs, averaged over ten crops [ZF13, section 3]
    map      saliency of the class, averaged over crops and mapped back to the frame (handed in)
    box      seeds, colour models, graph cut, largest component, its extent (locate.py, segment.py)
    score    the challenge's rule (score.py), on the validation images with boxes: those of the test set were
             never released, so the paper's 46.4 % (ILSVRC-2013 test) has no exact counterpart

Three baselines share the class guesses, so that only the box differs: a centred box, the whole image, and the box
of the thresholded map. Written beside the numbers, each one line an image: predictions.txt and truth.txt in the
challenge's form, images.txt, and blacklist.txt (line numbers), so that others can score them (predictions.score_file).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from zfnet.config import LocalizationConfig
from zfnet.data.store import ImageStore
from zfnet.errors import UserError
from zfnet.figures.grid import write
from zfnet.localization.boxes import centre_box, whole_box
from zfnet.localization.locate import Found, Task
from zfnet.localization.picture import Example, draw
from zfnet.localization.pool import locate_all
from zfnet.localization.predictions import GUESSES, read_blacklist, write_predictions
from zfnet.localization.score import Truth, classification_errors, compare, score, summarise
from zfnet.localization.segment import FALLBACKS
from zfnet.models.net import ConvNet
from zfnet.progress import track
from zfnet.record import Outcome, atomic_write

Saliency = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows (b,), classes (b,) -> maps (b, size, size) >= 0

BASELINES = ("threshold", "centre", "whole")


def run(
    config: LocalizationConfig,
    model: ConvNet,
    images: ImageStore,
    saliency: Saliency,
    out: Path,
    seed: int,
    processes: int,
) -> Outcome:
    """Errors in per cent and mean IoU of the method and the baselines, each {value, low, high}, and the picture.

    An interrupted run leaves `partial.jsonl` and goes on from it. Raises UserError when no image has a box, a
    blacklist names none of the images, or a map is not finite.
    """
    rows = choose_rows(images, config.n_images, seed)
    guesses = guess(model, images, rows, config)
    asked = {int(row): _asked(labels, images.index.labels[row]) for row, labels in zip(rows, guesses, strict=True)}
    tasks = TaskMaker(images, saliency, asked, seed)
    largest_first = sorted(asked, key=lambda row: (-int(images.shapes[row].prod()), row))
    partial, key = out / "partial.jsonl", _key(config, model, images, asked, seed)
    found = locate_all(largest_first, tasks.make, config, processes, partial, key)
    by_row = {one.row: one for one in found}
    truth = _truth(images, rows, config.blacklist)
    numbers = measure([by_row[row] for row in asked], list(asked.values()), guesses, truth, config, seed)
    numbers |= {"n_without_boxes": len(images.index) - sum(len(boxes) > 0 for boxes in images.index.boxes)}
    _write_files(out, images, rows, guesses, [by_row[row] for row in asked], truth)
    _write_picture(out, images, guesses, rows, tasks, config, seed)
    partial.unlink()
    top5, centre = numbers["grabcut"]["top5_error"]["value"], numbers["centre"]["top5_error"]["value"]
    return Outcome(
        numbers,
        {
            "localization.png": "Rows of images with the saliency of their likeliest class, the seeds, the segmented "
            "object, and its box against the true boxes in white; images drawn at random, failures included."
        },
        f"top-5 localisation error {top5:.1f} % (centre box {centre:.1f} %)",
    )


# ---------------------------------------------------------------- which images, which classes
def choose_rows(images: ImageStore, count: int, seed: int) -> np.ndarray:
    """Rows (n,) of images that have boxes, all or `count` of them drawn by the seed, ascending."""
    rows = np.array([row for row, boxes in enumerate(images.index.boxes) if len(boxes)], dtype=np.int64)
    if len(rows) == 0:
        raise UserError(f"localization: no image of {images.index.root} has a box; choose a data set with boxes")
    if count and count < len(rows):
        rows = np.sort(np.random.default_rng([seed, count]).choice(rows, count, replace=False))
    return rows


@torch.inference_mode()
def guess(model: ConvNet, images: ImageStore, rows: np.ndarray, config: LocalizationConfig) -> np.ndarray:
    """The likeliest classes (n, j) of the images, best first; j = `config.guesses`, or all classes if fewer."""
    device = next(model.parameters()).device
    count = min(config.guesses, len(images.index.classes))
    batches = np.split(rows, range(config.batch, len(rows), config.batch))
    labels = []
    for batch in track(batches, f"classifying images x{config.batch}"):
        views = images.ten_crops(batch) if config.crops == "ten" else images.center(batch)[:, None]
        scores = model(views.flatten(0, 1).to(device)).softmax(1).unflatten(0, views.shape[:2]).mean(1)
        labels.append(scores.topk(count, dim=1).indices.cpu().numpy())
    return np.concatenate(labels)


def _asked(labels: np.ndarray, true: int) -> list[int]:
    """The classes that need a box: the guesses, then the true one unless it is among them."""
    return [*labels.tolist(), *([] if true in labels else [int(true)])]


@dataclass(frozen=True)
class TaskMaker:
    """Makes the task of an image: its maps for the classes asked, computed when the pool is ready for it."""

    images: ImageStore
    saliency: Saliency
    asked: dict[int, list[int]]  # row -> classes
    seed: int

    def make(self, row: int) -> Task:
        return self.make_for(row, self.asked[row])

    def make_for(self, row: int, classes: Sequence[int]) -> Task:
        """One image at a time: what an image gets must not depend on which others an interruption left."""
        maps = self.saliency(np.full(len(classes), row), np.array(classes))
        file = self.images.index.file(row)
        if not np.isfinite(maps).all():
            raise UserError(f"localization: the saliency of {file} is not finite; has the training diverged?")
        seed = int(np.random.default_rng([self.seed, row]).integers(2**31))
        return Task(row, file, np.asarray(maps, np.float32), seed)


def _key(config: LocalizationConfig, model: ConvNet, images: ImageStore, asked: dict[int, list[int]], seed: int) -> str:
    """One line that is the same just when every image's work is."""
    work = [asdict(config), images.index.fingerprint(), images.size, sorted(asked.items()), seed]
    digest = hashlib.sha256(json.dumps(work).encode())
    for values in model.state_dict().values():
        digest.update(values.cpu().contiguous().numpy())
    return digest.hexdigest()


def _truth(images: ImageStore, rows: np.ndarray, blacklist: str) -> Truth:
    """An image's number in the blacklist is the one its file name ends with (ILSVRC2012_val_00000037: 37)."""
    skipped = read_blacklist(Path(blacklist)) if blacklist else set()
    numbers = [re.search(r"(\d+)$", Path(str(images.index.paths[row])).stem) for row in rows]
    blacklisted = np.array([found is not None and int(found[1]) in skipped for found in numbers], dtype=bool)
    if skipped and not blacklisted.any():
        raise UserError(f"localization.blacklist: {blacklist} names none of these {len(rows)} images")
    return Truth(images.index.labels[rows], [images.index.boxes[row] for row in rows], blacklisted)


# ---------------------------------------------------------------- numbers
def measure(
    found: Sequence[Found],
    asked: Sequence[Sequence[int]],
    guesses: np.ndarray,
    truth: Truth,
    config: LocalizationConfig,
    seed: int,
) -> dict:
    """Every number of the stage; found, asked, guesses (n, j) and truth are of the same n images in one order."""
    outcomes = {}
    for method, boxes in _boxes_by_method(found, config).items():
        known = np.stack([
            some[list(classes).index(label)] for some, classes, label in zip(boxes, asked, truth.labels, strict=True)
        ])  # fmt: skip
        guessed = np.stack([some[: guesses.shape[1]] for some in boxes])
        outcomes[method] = score(guesses, guessed, known, truth)
    fallbacks = Counter(kind for one in found for kind in one.fallbacks)
    classification = {
        "top5_error": classification_errors(guesses[:, :GUESSES], truth),
        "top1_error": classification_errors(guesses[:, :1], truth),
    }
    return {
        "n_images": len(found),
        "n_blacklisted": int(truth.blacklisted.sum()),
        "n_guesses": int(guesses.shape[1]),
        "classification": summarise(classification, seed),
        **{method: summarise(some, seed) for method, some in outcomes.items()},
        "differences": {name: compare(outcomes["grabcut"], outcomes[name], seed) for name in BASELINES},
        "n_boxes": sum(len(one.boxes) for one in found),
        "fallbacks": {kind: fallbacks[kind] for kind in FALLBACKS},
        "seconds_per_image": float(np.mean([one.seconds for one in found])),  # of one process
    }


def _boxes_by_method(found: Sequence[Found], config: LocalizationConfig) -> dict[str, list[np.ndarray]]:
    """For each method, n arrays (k, 4): a box for each class asked."""

    def repeat(box: Callable[..., np.ndarray], *arguments: float) -> list[np.ndarray]:
        return [np.tile(box(*one.shape, *arguments), (len(one.boxes), 1)) for one in found]

    return {
        "grabcut": [np.array(one.boxes) for one in found],
        "threshold": [np.array(one.threshold_boxes) for one in found],
        "centre": repeat(centre_box, config.centre),
        "whole": repeat(whole_box),
    }


# ---------------------------------------------------------------- files
def _write_files(
    out: Path, images: ImageStore, rows: np.ndarray, guesses: np.ndarray, found: Sequence[Found], truth: Truth
) -> None:
    lines = [(labels, np.array(one.boxes)[: len(labels)]) for labels, one in zip(guesses, found, strict=True)]
    write_predictions(out / "predictions.txt", lines)
    true = [(np.full(len(boxes), label), boxes) for label, boxes in zip(truth.labels, truth.boxes, strict=True)]
    write_predictions(out / "truth.txt", true)
    _write_lines(out / "images.txt", [str(images.index.paths[row]) for row in rows])
    _write_lines(out / "blacklist.txt", [str(line + 1) for line in np.flatnonzero(truth.blacklisted)])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _write_picture(
    out: Path,
    images: ImageStore,
    guesses: np.ndarray,
    rows: np.ndarray,
    tasks: TaskMaker,
    config: LocalizationConfig,
    seed: int,
) -> None:
    shown = np.random.default_rng([seed, 3]).permutation(len(rows))[: config.n_shown]
    names, examples = images.index.names, []
    for at in np.sort(shown):
        row, first = int(rows[at]), int(guesses[at, 0])
        true = int(images.index.labels[row])
        label = names[first] if first == true else f"{names[first]} (is: {names[true]})"
        examples.append(Example(tasks.make_for(row, [first]), images.index.boxes[row], label))
    write(out / "localization.png", draw(examples, config))
