"""Settings chosen on images with boxes that are not scored: training images, or some of the validation images.

Quantiles that suit a photograph of 500 px need not suit a thumbnail that its object fills: at 64 px the 5 % of pixels
that [SVZ13] calls foreground know few of the object's colors, and the cut keeps a patch of it. So every combination
of `grid` (and the configured values) is tried on a few training images; the class is given, one map
an image is made once, and the lowest share of boxes with IoU < 1/2 wins, the higher mean IoU among equals. The
baselines choose in the same way: the threshold's height and smoothing, the center box's size.

An image's maps cost more than a cut; all cuts of an image are one task of the pool, resumed image by image.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.errors import UserError
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.localization.boxes import center_box, iou
from zfnet.experiments.localization.locate import Methods
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.score import ENOUGH, summarize
from zfnet.experiments.localization.tasks import Source, TaskMaker, choose_rows, draw_rows
from zfnet.networks.network import Network

SEEDS = {"quantile": ("foreground", "background"), "range": ("range_foreground", "range_background")}
AXES = {
    "grabcut": ("seeds", *SEEDS["quantile"], *SEEDS["range"], "clamp", "smoothing", "box_scale", "least_size"),
    "threshold": ("threshold", "threshold_smoothing", "threshold_box_scale"),
    "centre": ("centre",),
}
PAPER = (*AXES["grabcut"], "hard_foreground", "hard_background", "iterations", "working_size")

Values = dict[str, Any]


def published(options: LocalizationOptions) -> LocalizationOptions:
    """The options with [SVZ13]'s own values of the cut, which are the schema's defaults."""
    return replace(options, **{name: getattr(LocalizationOptions(), name) for name in PAPER})


def choices(options: LocalizationOptions, method: str) -> list[Values]:
    """Every combination that is tried for a method: the configured values, then the grid's."""
    axes = AXES[method]
    own = {axis: getattr(options, axis) for axis in axes}
    tried = [tuple(own.values())]
    for values in itertools.product(*(getattr(options.grid, axis) for axis in axes)):
        combination = dict(zip(axes, values, strict=True))
        tried.append(tuple((combination | {axis: own[axis] for axis in _unread(combination)}).values()))
    return [dict(zip(axes, values, strict=True)) for values in dict.fromkeys(tried)]


def _unread(combination: Values) -> list[str]:
    """The levels of the kinds of seeds that the combination does not take."""
    kind = combination.get("seeds")
    return [axis for other, levels in SEEDS.items() if kind and other != kind for axis in levels]


def tuning_rows(options: LocalizationOptions, network: Network, images: Images, seed: int) -> np.ndarray:
    """Rows (n,) of the `options.tune` images that choose, drawn by the seed; raises UserError where there are none."""
    labels = network.classes.labels(images.index)
    rows = choose_rows(images, 0, seed)
    rows = draw_rows(rows[labels[rows] >= 0], options.tune, seed)
    if len(rows) == 0:
        kind = "validation" if options.tune_on == "val" else "training"
        raise UserError(
            f"localization.tune: {network.title or 'the network'} knows the class of no {kind} image with a box; "
            "set localization.tune=0"
        )
    return rows


def tune(
    options: LocalizationOptions,
    network: Network,
    images: Images,
    source: Source,
    name: str,
    out: Path,
    seed: int,
    processes: int,
    workers: Workers = ALONE,
) -> tuple[LocalizationOptions, dict[str, Any]]:
    """The options with the values chosen on `options.tune` of the images, and all that was tried.

    source, name: where the maps come from. Raises UserError when no image has a box and a class that the network knows.
    """
    rows = tuning_rows(options, network, images, seed)
    labels = network.classes.labels(images.index)
    asked = {int(row): [int(labels[row])] for row in rows}
    tried = {f"{method} {i}": values for method in AXES for i, values in enumerate(choices(options, method))}
    settings = {key: replace(options, **values) for key, values in tried.items()}
    cuts = {key: values for key, values in settings.items() if key.startswith("grabcut")}
    thresholds = {key: values for key, values in settings.items() if key.startswith("threshold")}
    maker = TaskMaker(images, source(images), asked, seed)
    partial = out / f"tuning_{name}.jsonl"
    located = maker.locate_all(Methods(cuts, thresholds), network, name, partial, processes, workers)
    boxes = {key: np.array([image.boxes[key][0] for image in located]) for key in (*cuts, *thresholds)}
    for key in settings.keys() - boxes.keys():
        boxes[key] = np.array([center_box(*image.shape, settings[key].centre) for image in located])
    true = [images.index.boxes[row] for row in asked]
    overlaps = {key: _overlaps(boxes[key], true) for key in tried}
    numbers: dict[str, Any] = {"n_images": len(rows), "source": name}
    chosen: Values = {}
    for method in AXES:
        table = {key: _row(tried[key], overlaps[key]) for key in tried if key.startswith(method)}
        _, _, best = min((row["error"], -row["mean_iou"], key) for key, row in table.items())
        numbers[method] = {"chosen": tried[best], **_score(overlaps[best], seed), "grid": list(table.values())}
        chosen |= tried[best]
    return replace(options, **chosen), numbers


def compare(tuned: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Source -> the best of its own grid on the training images, by cut and by threshold."""
    kept = ("chosen", "known_error", "mean_iou")
    return {
        name: {method: {key: numbers[method][key] for key in kept} for method in ("grabcut", "threshold")}
        for name, numbers in tuned.items()
    }


def _overlaps(boxes: np.ndarray, true: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([iou(box[None], instances).max() for box, instances in zip(boxes, true, strict=True)])


def _row(values: Values, overlaps: np.ndarray) -> Values:
    return {**values, "error": 100 * float((overlaps < ENOUGH).mean()), "mean_iou": float(overlaps.mean())}


def _score(overlaps: np.ndarray, seed: int) -> dict[str, Any]:
    return summarize({"known_error": (overlaps < ENOUGH).astype(float), "mean_iou": overlaps}, seed)
