"""The pictures of invariance, as [ZF13] Fig. 5: a row a transformation; two distances and the probability.

Thin lines are single images, the banded one the mean over many. The images themselves are drawn beside their far
ends, so that one sees what the network was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zfnet.core.statistics import bootstrap
from zfnet.data.cache.images import ImageStore
from zfnet.plots import chart, grid

if TYPE_CHECKING:
    from zfnet.experiments.invariance.compute import Curves

X_LABELS = {"translation": "vertical shift (px at 224)", "scale": "scale (factor)", "rotation": "rotation (degrees)"}
TILE = 112  # px, about


def draw_curves(
    samples: Mapping[str, Curves],
    many: Mapping[str, Curves],
    names: Sequence[str],
    layers: tuple[int, int],
    path: Path,
) -> None:
    """Small multiples: the images called `names` one by one, and the mean of many with its bootstrap band."""
    panels = []
    for kind, curves in samples.items():
        for n in layers:
            title, label = f"{kind.capitalize()}: layer {n}", "distance (1: another image)"
            series = _series(curves.amounts, curves.distances[n], many[kind].distances[n], names)
            panels.append(chart.Panel(title, X_LABELS[kind], label, series))
        series = _series(curves.amounts, curves.probability, many[kind].probability, names)
        panels.append(chart.Panel(f"{kind.capitalize()}: output", X_LABELS[kind], "p(true class)", series, (0.0, 1.0)))
    chart.save(chart.lines(panels, columns=3), path)


def draw_images(
    images: ImageStore, rows: np.ndarray, views: Mapping[str, np.ndarray], names: list[str], path: Path
) -> None:
    """Each image untouched and as `views` (name -> (n, crop, crop, 3) pictures) shows it."""
    tiles = [
        [images.center_pixels([row])[0], *(pictures[i] for pictures in views.values())] for i, row in enumerate(rows)
    ]
    scale = max(1, TILE // images.crop)
    grid.write(path, grid.mosaic(tiles, scale=scale, gap=6, row_labels=names, column_labels=["original", *views]))


def _series(amounts: np.ndarray, single: np.ndarray, many: np.ndarray, names: Sequence[str]) -> list[chart.Series]:
    band = [bootstrap(column, seed=0) for column in many.T]
    mean = chart.Series(
        f"mean of {len(many)}",
        amounts.tolist(),
        many.mean(0).tolist(),
        [low for low, _ in band],
        [high for _, high in band],
    )
    return [
        mean,
        *(chart.Series(name, amounts.tolist(), row.tolist()) for name, row in zip(names, single, strict=True)),
    ]
