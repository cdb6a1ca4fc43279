"""The pictures of [ZF13] Figure 4: a row a map, a column an epoch; and the chart of how similar they are to the end."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zfnet.attribution.fields import Field
from zfnet.attribution.strongest import Strongest
from zfnet.attribution.units import in_place
from zfnet.core.statistics import bootstrap
from zfnet.plots import chart
from zfnet.plots.grid import CUT, contrast, fit, mosaic, write

TILE = 72  # px
CHART = "convergence.svg"


def pictures(
    projections: np.ndarray, field: Field, crop: int, best: Sequence[Strongest], maps: np.ndarray
) -> list[list[np.ndarray]]:
    """Projections (t, n, size, size, 3) of the first n of `maps` as pictures (TILE, TILE, 3): one list a snapshot."""
    by_snapshot = []
    for tiles, snapshot in zip(projections, best, strict=True):
        places = snapshot.places[maps[: len(tiles)], 0].numpy()
        by_snapshot.append([fit(tile, TILE) for tile in in_place(contrast(tiles, CUT), field, places, crop)])
    return by_snapshot


def draw(by_snapshot: Sequence[Sequence[np.ndarray]], maps: np.ndarray, epochs: Sequence[int]) -> np.ndarray:
    """Figure 4 of one layer: maps in rows, epochs in columns."""
    rows = [list(row) for row in zip(*by_snapshot, strict=True)]
    labels = [f"map {unit}" for unit in maps[: len(rows)]]
    return mosaic(rows, gap=3, row_labels=labels, column_labels=[f"epoch {epoch}" for epoch in epochs])


def write_steps(
    by_snapshot: Sequence[Sequence[np.ndarray]], maps: np.ndarray, epochs: Sequence[int], out: Path, name: str
) -> dict[int, str]:
    """The figure's columns as pictures of their own, epoch -> file, for dashboards that have a slider."""
    files = {}
    for tiles, epoch in zip(by_snapshot, epochs, strict=True):
        files[epoch] = f"epochs/{name}_{epoch:04d}.png"
        write(out / files[epoch], draw([tiles], maps, [epoch]))
    return files


def draw_chart(similarity: Mapping[str, np.ndarray], epochs: Sequence[int], out: Path, seed: int) -> dict[str, str]:
    """Write the mean of the similarities (maps, t) of every layer with its interval; the file and its text."""
    series = []
    for number, values in similarity.items():
        intervals = [bootstrap(column, seed) for column in values.T]
        low, high = zip(*intervals, strict=True)
        series.append(chart.Series(f"layer {number}", epochs, values.mean(0).tolist(), low, high))
    panel = chart.Panel("Similarity to the last snapshot", "epoch", "cosine of projections", series, (0.0, 1.0))
    chart.save(chart.lines([panel]), out / CHART)
    text = "Cosine similarity of the projections at each epoch to those of the last snapshot, one line a layer."
    return {CHART: text}
