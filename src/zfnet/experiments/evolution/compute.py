"""[ZF13] Figure 4: how feature maps develop while the network is trained.

For a random choice of maps in every layer, and every snapshot, the strongest activation over the *training* images is
projected to pixels by the deconvnet. A row is a map, a column an epoch; "sudden jumps in appearance result from a
change in the image from which the strongest activation originates". The maps are drawn among those that fire in the
last snapshot ([NS]: the paper says "randomly chosen").

The claim "the lower layers converge within a few epochs, the upper ones need 40-50" in numbers [our choice]:

    similarity_shown(t) = cos(projection at t, projection at the end)            of the pictures in the figure
    similarity_fixed(t) = the same, both in the image and place that are strongest at the end
    settled             = when the mean over maps of similarity_fixed comes to stay at 0.9 or above, on the straight
                          line between the last snapshot below and the next
    changed(t)          = share of maps whose strongest image is not that of the snapshot before
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.attribution.strongest import Strongest, conv_layers, strongest
from zfnet.attribution.tiles import project_all, trim
from zfnet.core.statistics import bootstrap
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.evolution.options import EvolutionOptions
from zfnet.networks.convnet import ConvNet
from zfnet.pipeline.record import Outcome, skipped
from zfnet.plots.chart import Panel, Series, lines
from zfnet.plots.chart import save as save_chart
from zfnet.plots.grid import CUT, contrast, fit, mosaic, write

TILE = 72  # px
SETTLED = 0.9  # mean cosine to the last snapshot


def run(
    config: EvolutionOptions,
    checkpoints: Sequence[tuple[int, Path]],
    images: ImageStore,
    out: Path,
    seed: int,
    load: Callable[[Path], ConvNet],
) -> Outcome:
    """Figure 4 from (epoch, file) snapshots, a picture a layer, and the epoch at which each layer has settled.

    Passed over without at least two snapshots.
    """
    if len(checkpoints) < 2:
        return skipped("a single snapshot of the training shows no change; keep more with train.snapshots")
    epochs = [epoch for epoch, _ in checkpoints]
    models = [load(path) for _, path in checkpoints]
    rows = _drawn_rows(len(images), config.n_images, seed)
    found = [strongest(model, images, rows, 1, config.batch) for model in models]
    numbers: dict[str, Any] = {"epochs": epochs, "n_images": len(rows), "layers": {}}
    figures, shown_series = {}, {}
    steps: dict[str, dict[int, str]] = {}
    for n, layer in enumerate(conv_layers(models[-1])):
        best = [snapshot[layer] for snapshot in found]
        maps = _choose(best[-1], config.n_measured, np.random.default_rng([seed, n]))
        if not len(maps):
            continue
        shown, fixed = project_snapshots(models, images, layer, best, maps)
        name, few = f"layer{layer[4:]}", shown[:, : config.n_maps]
        write(out / f"{name}.png", draw(models[-1], layer, few, best, maps, epochs, images.crop))
        figures[f"{name}.png"] = (
            f"Layer {layer[4:]}: the projection of the strongest training image of {few.shape[1]} random feature maps "
            f"(rows) at epochs {', '.join(map(str, epochs))} (columns)."
        )
        steps[name] = _draw_steps(models[-1], layer, few, best, maps, epochs, images.crop, out)
        similarity = cosine(fixed, fixed[-1]).T
        numbers["layers"][layer[4:]] = _numbers(similarity, cosine(shown, shown[-1]).T, best, maps, epochs, seed)
        shown_series[layer[4:]] = similarity
    figures |= _chart(shown_series, epochs, out, seed)
    settled = {n: values["settled"] for n, values in numbers["layers"].items()}
    headline = "settled at epoch " + ", ".join(f"{epoch:.1f} (layer {n})" for n, epoch in settled.items())
    return Outcome(numbers, figures, headline, steps)


def project_snapshots(
    models: Sequence[ConvNet], images: ImageStore, layer: str, best: Sequence[Strongest], maps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Projections of `maps` at every snapshot, (t, maps, size, size, 3) each.

    The first in the snapshot's own strongest image, the second in the one that is strongest at the end.
    """
    units = np.asarray(maps)
    at = [(b.rows[maps, 0].numpy(), b.places[maps, 0].numpy()) for b in best]
    shown = [project_all(m, images, layer, units, *own) for m, own in zip(models, at, strict=True)]
    fixed = [project_all(m, images, layer, units, *at[-1]) for m in models]
    return np.stack(shown), np.stack(fixed)


def cosine(projections: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine over pixels of (t, n, ...) with (n, ...): (t, n); 0 where either is zero (the map does not fire)."""
    t, n = projections.shape[:2]
    a, b = projections.reshape(t, n, -1).astype(np.float64), reference.reshape(1, n, -1).astype(np.float64)
    norms = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    return (a * b).sum(2) / np.where(norms > 0, norms, np.inf)


def settled_epoch(similarity: np.ndarray, epochs: Sequence[int]) -> np.ndarray:
    """When the mean similarity (..., t) comes to stay at `SETTLED` or above, between snapshots by a straight line.

    The first epoch where it was never below; the last at the latest.
    """
    below = similarity[..., :-1] < SETTLED
    last = below.shape[-1] - 1 - below[..., ::-1].argmax(-1)  # snapshot below; any where none is
    low, high = (np.take_along_axis(similarity, at[..., None], -1)[..., 0] for at in (last, last + 1))
    share = np.clip((SETTLED - low) / np.where(high > low, high - low, 1), 0, 1)
    times = np.asarray(epochs, dtype=np.float64)
    return np.where(below.any(-1), times[last] + share * (times[last + 1] - times[last]), times[0])


def changed(best: Sequence[Strongest], maps: np.ndarray) -> list[float]:
    """Share of `maps` whose strongest image differs from the snapshot before; one number less than snapshots."""
    rows = np.stack([b.rows[maps, 0].numpy() for b in best])
    return [float(share) for share in (rows[1:] != rows[:-1]).mean(1)]


def draw(
    model: ConvNet, layer: str, shown: np.ndarray, best: Sequence[Strongest], maps: np.ndarray, epochs: Sequence[int],
    crop: int,
) -> np.ndarray:  # fmt: skip
    """Figure 4 of one layer: shown (t, maps, size, size, 3) as maps in rows, epochs in columns."""
    columns = []
    for tiles, snapshot in zip(shown, best, strict=True):
        places = snapshot.places[maps[: len(tiles)], 0].numpy()
        columns.append([fit(tile, TILE) for tile in trim(contrast(tiles, CUT), model, layer, places, crop)])
    rows = [list(row) for row in zip(*columns, strict=True)]
    labels = [f"map {unit}" for unit in maps[: len(rows)]]
    return mosaic(rows, gap=3, row_labels=labels, column_labels=[f"epoch {epoch}" for epoch in epochs])


def _draw_steps(
    model: ConvNet, layer: str, shown: np.ndarray, best: Sequence[Strongest], maps: np.ndarray, epochs: Sequence[int],
    crop: int, out: Path,
) -> dict[int, str]:  # fmt: skip
    """The figure's columns as pictures of their own, epoch -> file, for dashboards that have a slider."""
    files = {epoch: f"epochs/layer{layer[4:]}_{epoch:04d}.png" for epoch in epochs}
    for t, epoch in enumerate(epochs):
        column = shown[t : t + 1], best[t : t + 1], maps, epochs[t : t + 1]
        write(out / files[epoch], draw(model, layer, *column, crop))
    return files


def _drawn_rows(n: int, n_images: int, seed: int) -> np.ndarray:
    """All rows, or `n_images` of them drawn at random."""
    if not 0 < n_images < n:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, 4]).choice(n, n_images, replace=False))


def _choose(best: Strongest, n_maps: int, rng: np.random.Generator) -> np.ndarray:
    """`n_maps` of the maps that fire, in random order (the first of them are shown)."""
    return rng.permutation(np.flatnonzero((best.values[:, 0] > 0).numpy()))[:n_maps]


def _numbers(
    fixed: np.ndarray, shown: np.ndarray, best: Sequence[Strongest], maps: np.ndarray, epochs: Sequence[int], seed: int
) -> dict[str, Any]:
    interval = bootstrap(fixed, seed, lambda v, axis: settled_epoch(v.mean(axis), epochs))
    return {
        "n_maps": len(maps),
        "similarity_fixed": fixed.mean(0).tolist(),
        "similarity_shown": shown.mean(0).tolist(),
        "changed": changed(best, maps),
        "settled": float(settled_epoch(fixed.mean(0), epochs)),
        "settled_interval": list(interval),
    }


def _chart(similarity: dict[str, np.ndarray], epochs: Sequence[int], out: Path, seed: int) -> dict[str, str]:
    series = []
    for n, values in similarity.items():
        intervals = [bootstrap(column, seed) for column in values.T]
        low, high = zip(*intervals, strict=True)
        series.append(Series(f"layer {n}", epochs, values.mean(0).tolist(), low, high))
    panel = Panel("Similarity to the last snapshot", "epoch", "cosine of projections", series, (0.0, 1.0))
    save_chart(lines([panel]), out / "convergence.svg")
    text = "Cosine similarity of the projections at each epoch to those of the last snapshot, one line a layer."
    return {"convergence.svg": text}
