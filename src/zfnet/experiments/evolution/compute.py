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
    settled_alone       = the same where one layer at a time is that of the snapshot, see alone.py
    changed(t)          = share of maps whose strongest image is not that of the snapshot before
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.attribution.fields import receptive_field
from zfnet.attribution.strongest import Strongest
from zfnet.attribution.units import CHUNK, project_units
from zfnet.core.statistics import Measure
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.evolution.alone import project_alone, project_noise, relative_changes
from zfnet.experiments.evolution.figure import draw, draw_chart, pictures, write_steps
from zfnet.experiments.evolution.options import EvolutionOptions
from zfnet.experiments.strongest import find_strongest
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches
from zfnet.pipeline.record import Outcome, skipped
from zfnet.plots.grid import write

SETTLED = 0.9  # mean cosine to the last snapshot


def run(
    options: EvolutionOptions,
    checkpoints: Sequence[tuple[int, Path]],
    images: Images,
    out: Path,
    seed: int,
    load: Callable[[Path], Network],
    workers: Workers = ALONE,
) -> Outcome:
    """Figure 4 from (epoch, file) snapshots, a picture a layer, and the epoch at which each layer has settled.

    Skipped where there are fewer than two snapshots.
    """
    if len(checkpoints) < 2:
        return skipped("a single snapshot of the training shows no change; keep more with train.snapshots")
    epochs = [epoch for epoch, _ in checkpoints]
    networks = [load(path) for _, path in checkpoints]
    rows = _drawn_rows(len(images), options.n_images, seed)
    by_snapshot = find_strongest(networks, images, rows, 1, options.batch, workers)
    numbers: dict[str, Any] = {"epochs": epochs, "n_images": len(rows), "layers": {}}
    numbers["control"] = {"epochs": epochs, "relative_changes": relative_changes(networks), "layers": {}}
    figures: dict[str, str] = {}
    similarities: dict[str, np.ndarray] = {}
    steps: dict[str, dict[int, str]] = {}
    last = networks[-1]
    crop = last.inputs.crop
    for n, (number, layer) in enumerate(last.feature_maps.items()):
        best = [snapshot[layer] for snapshot in by_snapshot]
        maps = _choose(best[-1], options.n_measured, np.random.default_rng([seed, n]))
        if not len(maps):
            continue
        own, fixed = project_snapshots(networks, images, layer, best, maps)
        name, field = f"layer{number}", receptive_field(last.module, layer, crop)
        shown = pictures(own[:, : options.n_maps], field, crop, best, maps)
        write(out / f"{name}.png", draw(shown, maps, epochs))
        figures[f"{name}.png"] = (
            f"Layer {number}: the projection of the strongest training image of {len(shown[0])} random feature maps "
            f"(rows) at epochs {', '.join(map(str, epochs))} (columns)."
        )
        steps[name] = write_steps(shown, maps, epochs, out, name)
        similarities[str(number)] = cosine(fixed, fixed[-1]).T
        of_shown = cosine(own, own[-1]).T
        alone = project_alone(networks, images, number, best[-1], maps)
        noise = project_noise(networks, images, number, best[-1], maps, seed)
        values = _numbers(similarities[str(number)], of_shown, best, maps, epochs, seed)
        values["settled_alone"] = _settled(cosine(alone, alone[-1]).T, epochs, seed)
        numbers["layers"][str(number)] = values
        of_noise = _settled(cosine(noise, alone[-1]).T, epochs, seed)
        numbers["control"]["layers"][str(number)] = {"settled_alone": of_noise}
    if not similarities:
        return skipped("no feature map fires in the last snapshot; train longer or with another train.lr")
    figures |= draw_chart(similarities, epochs, out, seed)
    settled = {n: values["settled"]["value"] for n, values in numbers["layers"].items()}
    headline = "settled at epoch " + ", ".join(f"{epoch:.1f} (layer {n})" for n, epoch in settled.items())
    return Outcome(numbers, figures, headline, steps)


def project_snapshots(
    networks: Sequence[Network], images: Images, layer: str, best: Sequence[Strongest], maps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Projections of `maps` at every snapshot, (t, maps, size, size, 3) each.

    The first in the snapshot's own strongest image, the second in the one that is strongest at the end.
    """
    own = [_project(network, images, layer, at, maps) for network, at in zip(networks, best, strict=True)]
    fixed = [_project(network, images, layer, best[-1], maps) for network in networks]
    return np.stack(own), np.stack(fixed)


def _project(network: Network, images: Images, layer: str, best: Strongest, maps: np.ndarray) -> np.ndarray:
    rows, places = best.rows[maps, 0].numpy(), best.places[maps, 0].numpy()
    batches = center_batches(network, images, rows, CHUNK)
    return project_units(network.module, batches, layer, np.asarray(maps), places)


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
    low = np.take_along_axis(similarity, last[..., None], -1)[..., 0]
    high = np.take_along_axis(similarity, last[..., None] + 1, -1)[..., 0]
    share = np.clip((SETTLED - low) / np.where(high > low, high - low, 1), 0, 1)
    times = np.asarray(epochs, dtype=np.float64)
    return np.where(below.any(-1), times[last] + share * (times[last + 1] - times[last]), times[0])


def changed(best: Sequence[Strongest], maps: np.ndarray) -> list[float]:
    """Share of `maps` whose strongest image differs from the snapshot before; one number less than snapshots."""
    rows = np.stack([b.rows[maps, 0].numpy() for b in best])
    return [float(share) for share in (rows[1:] != rows[:-1]).mean(1)]


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
    return {
        "n_maps": len(maps),
        "similarity_fixed": fixed.mean(0).tolist(),
        "similarity_shown": shown.mean(0).tolist(),
        "changed": changed(best, maps),
        "settled": _settled(fixed, epochs, seed),
    }


def _settled(similarity: np.ndarray, epochs: Sequence[int], seed: int) -> dict[str, Any]:
    """When the mean similarity (maps, t) comes to stay, with its interval over maps."""

    def statistic(values: np.ndarray, axis: int) -> np.ndarray:
        return settled_epoch(values.mean(axis), epochs)

    return Measure.bootstrapped(similarity, seed, "maps", statistic).to_json()
