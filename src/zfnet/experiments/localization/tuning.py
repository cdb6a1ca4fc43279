"""Settings chosen on training images with boxes, so that validation images are only ever scored.

Quantiles that suit a photograph of 500 px need not suit a thumbnail that its object fills: at 64 px the 5 % of pixels
that [SVZ13] calls foreground know few of the object's colours, and the cut keeps a patch of it. So every combination
of `grid` (and the values of the configuration itself) is tried on a few training images; the class is given, one map
an image is made once, and the lowest share of boxes with IoU < 1/2 wins, the higher mean IoU among equals. The
baselines choose by the same right: the threshold's height and smoothing, the centre box's size.

An image's maps cost more than a cut; all cuts of an image are one task of the pool, resumed image by image.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.data.cache.images import ImageStore
from zfnet.experiments.localization.boxes import centre_box, iou
from zfnet.experiments.localization.locate import Methods
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.score import ENOUGH, summarise
from zfnet.experiments.localization.tasks import Source, TaskMaker, choose_rows
from zfnet.networks.convnet import ConvNet

AXES = {
    "grabcut": ("foreground", "background", "clamp", "smoothing", "least_size"),
    "threshold": ("threshold", "threshold_smoothing"),
    "centre": ("centre",),
}
PAPER = (*AXES["grabcut"], "hard_foreground", "hard_background", "iterations", "working_size")

Values = dict[str, Any]


def published(config: LocalizationOptions) -> LocalizationOptions:
    """The configuration with [SVZ13]'s own values of the cut, which are the schema's defaults."""
    return replace(config, **{name: getattr(LocalizationOptions(), name) for name in PAPER})


def choices(config: LocalizationOptions, method: str) -> list[Values]:
    """Every combination that is tried for a method: the configuration's own values, then the grid's."""
    axes = AXES[method]
    own = tuple(getattr(config, axis) for axis in axes)
    combinations = itertools.product(*(getattr(config.grid, axis) for axis in axes))
    return [dict(zip(axes, values, strict=True)) for values in dict.fromkeys([own, *combinations])]


def tune(
    config: LocalizationOptions,
    model: ConvNet,
    train: ImageStore,
    source: Source,
    name: str,
    out: Path,
    seed: int,
    processes: int,
) -> tuple[LocalizationOptions, dict[str, Any]]:
    """The configuration with the values chosen on `config.tune` images of `train`, and all that was tried.

    source, name: where the maps come from. Raises UserError when no training image has a box.
    """
    rows = choose_rows(train, config.tune, seed)
    asked = {int(row): [int(train.index.labels[row])] for row in rows}
    tried = {f"{method} {i}": values for method in AXES for i, values in enumerate(choices(config, method))}
    settings = {key: replace(config, **values) for key, values in tried.items()}
    cuts, thresholds = ({key: settings[key] for key in settings if key.startswith(m)} for m in ("grabcut", "threshold"))
    maker = TaskMaker(train, source(train), asked, seed)
    found = maker.locate_all(Methods(cuts, thresholds), model, name, out / f"tuning_{name}.jsonl", processes)
    boxes = {key: np.array([one.boxes[key][0] for one in found]) for key in (*cuts, *thresholds)}
    for key in settings.keys() - boxes.keys():
        boxes[key] = np.array([centre_box(*one.shape, settings[key].centre) for one in found])
    true = [train.index.boxes[row] for row in asked]
    overlaps = {key: _overlaps(boxes[key], true) for key in tried}
    numbers: dict[str, Any] = {"n_images": len(rows), "source": name}
    chosen: Values = {}
    for method in AXES:
        table = {key: _row(tried[key], overlaps[key]) for key in tried if key.startswith(method)}
        _, _, best = min((row["error"], -row["mean_iou"], key) for key, row in table.items())
        numbers[method] = {"chosen": tried[best], **_score(overlaps[best], seed), "grid": list(table.values())}
        chosen |= tried[best]
    return replace(config, **chosen), numbers


def compare(tuned: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Source -> the best of its own grid on the training images, by cut and by threshold."""
    kept = ("chosen", "known_error", "mean_iou")
    return {
        name: {method: {key: numbers[method][key] for key in kept} for method in ("grabcut", "threshold")}
        for name, numbers in tuned.items()
    }


def _overlaps(boxes: np.ndarray, true: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([iou(box[None], some).max() for box, some in zip(boxes, true, strict=True)])


def _row(values: Values, overlaps: np.ndarray) -> Values:
    return {**values, "error": 100 * float((overlaps < ENOUGH).mean()), "mean_iou": float(overlaps.mean())}


def _score(overlaps: np.ndarray, seed: int) -> dict[str, Any]:
    return summarise({"known_error": (overlaps < ENOUGH).astype(float), "mean_iou": overlaps}, seed)
