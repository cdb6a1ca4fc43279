"""The score of ILSVRC's classification-with-localization task, by the devkit's rule, and figures beside it.

Image i with true class g and true boxes z_1..z_m; guesses (c_j, b_j), j = 1..5, best first:

    d_ijm = max([iou(b_j, z_m) < 0.5], [c_j != g])       e_i = min over j, m of d_ijm       error = mean of e_i

so one guess of five suffices, any instance counts, and IoU exactly one half is correct. Images of the blacklist
(boxes not good enough) are left out of the localization errors but not of the classification errors.

    top5  the challenge's error          top1   the same with the first guess alone
    known error of the box asked for the true class, whatever the class guesses ("GT-known")
    iou   of that box, with its best instance
    first error of the first guess's box, whatever its class (1 - "CorLoc"), and first_iou: they need no class that the
          network knows; an image whose class it does not know (UNKNOWN) has no other outcome

An interval is a percentile bootstrap over images (95 %); a difference is bootstrapped in pairs, image by image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zfnet.core.statistics import Measure
from zfnet.experiments.localization.boxes import iou

ENOUGH = 0.5  # IoU
NO_GUESS = UNKNOWN = -1
ERRORS = ("top5_error", "top1_error", "known_error", "first_error")


@dataclass(frozen=True)
class Truth:
    """Of n images: class or UNKNOWN (n,), boxes (n arrays (k, 4) of that class), which are blacklisted (n,) bool."""

    labels: np.ndarray
    boxes: Sequence[np.ndarray]
    blacklisted: np.ndarray

    def __post_init__(self) -> None:
        for row, boxes in enumerate(self.boxes):
            if len(boxes) == 0 and not self.blacklisted[row]:
                raise ValueError(f"image {row} has no true box and is not blacklisted: it cannot be scored")


def localization_errors(labels: np.ndarray, boxes: np.ndarray, truth: Truth) -> np.ndarray:
    """Devkit outcome (n,) of each image: 0.0 found, 1.0 not; nan where blacklisted or of unknown class.

    labels (n, j) with NO_GUESS where there are fewer, boxes (n, j, 4); take `[:, :1]` of both for top-1.
    """
    good = best_overlaps(boxes, truth) >= ENOUGH
    right = (labels == truth.labels[:, None]) & (labels != NO_GUESS)
    return np.where(truth.blacklisted | (truth.labels == UNKNOWN), np.nan, 1.0 - (good & right).any(axis=1))


def best_overlaps(boxes: np.ndarray, truth: Truth) -> np.ndarray:
    """IoU (n, j) of each box (n, j, 4) with the instance that it fits best; 0 where there is none."""
    best = np.zeros(boxes.shape[:2])
    for row, true in enumerate(truth.boxes):
        if len(true):
            best[row] = iou(boxes[row], true).max(axis=1)
    return best


def classification_errors(labels: np.ndarray, truth: Truth) -> np.ndarray:
    """Outcome (n,) of each image: 0.0 when one of the guesses (n, j) is the true class; blacklisted ones too."""
    wrong = 1.0 - (labels == truth.labels[:, None]).any(axis=1)
    return np.where(truth.labels == UNKNOWN, np.nan, wrong)


def score(labels: np.ndarray, boxes: np.ndarray, known_boxes: np.ndarray, truth: Truth) -> dict[str, np.ndarray]:
    """Outcomes (n,) of every image, nan where there is none: the ERRORS, `mean_iou` and `first_iou`.

    labels (n, j) and boxes (n, j, 4): the guesses; known_boxes (n, 4): the boxes for the true classes.
    """
    nothing = truth.blacklisted | (truth.labels == UNKNOWN)
    known = np.where(nothing, np.nan, best_overlaps(known_boxes[:, None], truth)[:, 0])
    first = np.where(truth.blacklisted, np.nan, best_overlaps(boxes[:, :1], truth)[:, 0])
    return {
        "top5_error": localization_errors(labels[:, :5], boxes[:, :5], truth),
        "top1_error": localization_errors(labels[:, :1], boxes[:, :1], truth),
        "known_error": np.where(np.isnan(known), np.nan, known < ENOUGH),
        "first_error": np.where(np.isnan(first), np.nan, first < ENOUGH),
        "mean_iou": known,
        "first_iou": first,
    }


def summarize(outcomes: dict[str, np.ndarray], seed: int) -> dict[str, dict[str, Any]]:
    """The measure of each kind of outcome as JSON: errors in percent, IoU as it is."""
    measures = {}
    for key, values in outcomes.items():
        unit = 100.0 if key.endswith("error") else 1.0
        measures[key] = Measure.bootstrapped(unit * values[~np.isnan(values)], seed, "images").to_json()
    return measures


def compare(ours: dict[str, np.ndarray], baseline: dict[str, np.ndarray], seed: int) -> dict[str, dict[str, Any]]:
    """Measures of ours - baseline over the same images; a negative difference of an error favors ours."""
    return summarize({key: ours[key] - baseline[key] for key in ours}, seed)
