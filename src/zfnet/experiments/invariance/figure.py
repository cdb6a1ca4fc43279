"""The pictures of invariance, as [ZF13] Fig. 5: a row a transformation; two distances and the probability.

Thin lines are single images, the banded one the mean over many. The images themselves are drawn beside their far
ends, so that one sees what the network was given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zfnet.core.statistics import bootstrap
from zfnet.data.cache.images import Images
from zfnet.experiments.invariance.curves import Curves
from zfnet.networks.inputs import Inputs
from zfnet.plots import chart, grid

X_LABELS = {"translation": "vertical shift (px at 224)", "scale": "scale (factor)", "rotation": "rotation (degrees)"}
TILE = 112  # px, about


def draw_curves(
    shown: Mapping[str, Curves],
    scored: Mapping[str, Curves],
    names: Sequence[str],
    layers: tuple[int, int],
    path: Path,
) -> None:
    """Small multiples: the images called `names` one by one, and the mean of all scored images with its bootstrap band.

    Of images whose class the network does not know there is no probability: their lines are left out.
    """
    panels = []
    for kind, curves in shown.items():
        for n in layers:
            title, label = f"{kind.capitalize()}: layer {n}", "distance (1: another image)"
            series = _series(curves.amounts, curves.distances[n], scored[kind].distances[n], names)
            panels.append(chart.Panel(title, X_LABELS[kind], label, series))
        title, label = f"{kind.capitalize()}: output", "p(true class)"
        series = _series(curves.amounts, curves.probability, scored[kind].probability, names)
        panels.append(chart.Panel(title, X_LABELS[kind], label, series, (0.0, 1.0)))
    chart.save(chart.lines(panels, columns=3), path)


def draw_images(
    inputs: Inputs,
    images: Images,
    rows: np.ndarray,
    views: Mapping[str, np.ndarray],
    names: list[str],
    path: Path,
) -> None:
    """Each image untouched and as `views` (name -> (n, crop, crop, 3) pictures) shows it."""
    untouched = inputs.center_pixels(images.frames(rows))
    tiles = [[untouched[i], *(pictures[i] for pictures in views.values())] for i in range(len(rows))]
    scale = max(1, TILE // inputs.crop)
    grid.write(path, grid.mosaic(tiles, scale=scale, gap=6, row_labels=names, column_labels=["original", *views]))


def _series(amounts: np.ndarray, shown: np.ndarray, scored: np.ndarray, names: Sequence[str]) -> list[chart.Series]:
    x, scored = amounts.tolist(), scored[np.isfinite(scored).all(1)]
    series = []
    if len(scored):
        band = [bootstrap(column, seed=0) for column in scored.T]
        low, high = [ends[0] for ends in band], [ends[1] for ends in band]
        series.append(chart.Series(f"mean of {len(scored)}", x, scored.mean(0).tolist(), low, high))
    for name, values in zip(names, shown, strict=True):
        if np.isfinite(values).all():
            series.append(chart.Series(name, x, values.tolist()))
    return series
