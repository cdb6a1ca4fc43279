"""Prediction files in the form of the challenge, and scoring of such a file by itself.

One line an image, in the order of the image list; up to five guesses a line, best first, each of five integers:

    label xmin ymin xmax ymax  label xmin ymin xmax ymax  ...

Labels count from 1 (output of the network + 1). A line may hold fewer guesses or none; a sixth and later ones
are ignored, as by the devkit. The truth is kept in the same form, one `label box` for each instance, so one reader
does for both. A blacklist is a file of image numbers, counted from 1, one a line, as the devkit has it; here the
number of an image is that of its line.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.files import atomic_write
from zfnet.data.tables import Row, read_rows, read_table
from zfnet.experiments.localization.score import (
    NO_GUESS,
    Truth,
    classification_errors,
    localization_errors,
    summarize,
)

GUESSES = 5
_GUESSES = "`label xmin ymin xmax ymax` in integers, once for each guess"

Line = tuple[np.ndarray, np.ndarray]  # labels (k,), boxes (k, 4)


def write_predictions(path: Path, lines: Sequence[Line]) -> None:
    """Write (labels (k,) counted from 0, boxes (k, 4)) of each image, atomically. NO_GUESS labels are left out."""
    with atomic_write(path) as temporary:
        temporary.write_text("".join(_format_line(labels, boxes) for labels, boxes in lines))


def _format_line(labels: np.ndarray, boxes: np.ndarray) -> str:
    guesses = (
        f"{label + 1} {' '.join(str(int(corner)) for corner in box)}"
        for label, box in zip(labels, boxes, strict=True)
        if label != NO_GUESS
    )
    return " ".join(guesses) + "\n"


def read_predictions(path: Path) -> list[Line]:
    """(labels (k,) counted from 0, boxes (k, 4) int64) of each line, however many it holds.

    Raises UserError naming file and line of anything that is not whole groups of five integers.
    """
    return [_parse_row(row) for row in read_rows(path, _GUESSES)]


def _parse_row(row: Row) -> Line:
    numbers = np.array(row.integers(row.cells, _GUESSES), dtype=np.int64)
    if len(numbers) % 5:
        raise UserError(f"{row.place}: {len(numbers)} numbers; expected groups of five, {_GUESSES}")
    groups = numbers.reshape(-1, 5)
    if (groups[:, 0] < 1).any():
        raise UserError(f"{row.place}: label {groups[:, 0].min()}; labels count from 1")
    return groups[:, 0] - 1, groups[:, 1:]


def read_blacklist(path: Path) -> set[int]:
    """The numbers that the file names. Raises UserError naming the first line that is no number from 1."""
    expected = "the number of an image, counted from 1"
    named = set()
    for row in read_table(path, 1, expected):
        (number,) = row.integers([row.text], expected)
        if number < 1:
            raise row.error(expected)
        named.add(number)
    return named


def score_file(predictions: Path, truth: Path, blacklist: Path | None = None) -> dict[str, dict[str, Any]]:
    """Measures in percent of top-5 and top-1 localization and classification errors of a file.

    Needs no network and no images. Raises UserError when the two files do not have the same number of lines, or no
    image is left to score.
    """
    guessed, true = read_predictions(predictions), read_predictions(truth)
    if len(guessed) != len(true):
        raise UserError(f"{predictions}: {len(guessed)} lines, but {truth} has {len(true)}; one line an image")
    labels, boxes = pack(guessed)
    known = _truth(true, truth, blacklist)
    if known.blacklisted.all():
        raise UserError(f"{truth}: " + (f"{blacklist} names every image" if true else "empty; one line an image"))
    return summarize(
        {
            "top5_error": localization_errors(labels, boxes, known),
            "top1_error": localization_errors(labels[:, :1], boxes[:, :1], known),
            "top5_class_error": classification_errors(labels, known),
            "top1_class_error": classification_errors(labels[:, :1], known),
        },
        seed=0,
    )


def pack(lines: Sequence[Line]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n, 5) and boxes (n, 5, 4) of the first five guesses a line, filled up with NO_GUESS."""
    labels = np.full((len(lines), GUESSES), NO_GUESS, dtype=np.int64)
    boxes = np.zeros((len(lines), GUESSES, 4), dtype=np.int64)
    for row, (guessed_labels, guessed_boxes) in enumerate(lines):
        count = min(GUESSES, len(guessed_labels))
        labels[row, :count] = guessed_labels[:count]
        boxes[row, :count] = guessed_boxes[:count]
    return labels, boxes


def _truth(lines: Sequence[Line], path: Path, blacklist: Path | None) -> Truth:
    for number, (labels, _) in enumerate(lines, 1):
        if len(set(labels.tolist())) != 1:
            raise UserError(f"{path}, line {number}: expected one or more boxes of one class")
    skipped = set() if blacklist is None else read_blacklist(blacklist)
    if skipped and max(skipped) > len(lines):
        raise UserError(f"{blacklist}: names image {max(skipped)}, but {path} has {len(lines)} lines")
    blacklisted = np.array([number in skipped for number in range(1, len(lines) + 1)], dtype=bool)
    return Truth(np.array([labels[0] for labels, _ in lines]), [boxes for _, boxes in lines], blacklisted)
