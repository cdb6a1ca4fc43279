"""[ZF13] Figure 6: what the first layer has learned, and what its stride does to the second.

Without the renormalization of their RMS a few filters dominate (Fig. 6a); Krizhevsky's 11x11 filters at stride 4 mix
very high and very low frequencies with little in between, and more of them are dead (6b against 6c); their stride
causes aliasing in layer 2 (6d against 6e). Each is a number here; the paper gives no definitions, so these are ours:

    dead        share of filters whose largest response over the images, or whose RMS, is under 1 % of the median
                filter's
    dominance   share of all filters' energy (sum of w^2) in the strongest tenth of them; 0.1 when all are equal
    bands       share of the filters' energy in low (< 0.1), mid (< 0.25) and high frequencies, cycles per pixel
    aliased     share of energy at frequencies above what the stride can sample, 1 / (2 stride) cycles per pixel in
                either direction: of the filters, and of the projections of layer 2's strongest activations. It is cut
                at each network's own limit, so that a larger stride has more of any spectrum that falls: it describes
                a network and compares none
    shift       mean over shifts of the picture by 1, 2 and 3 px of ||m(shifted) - m|| / D, m the spatial means of
                layer 2's maps, D the mean distance between the m of two pictures. The mean of a signal that is sampled
                finely enough does not depend on where the samples lie; what a stride folds onto frequency 0 does. It
                is the same for all networks and may come out either way

Networks of one recipe differ by their seeds, so dead, dominance and shift are given for each of them under `seeds`.
`normalization` is how far the contrast normalization departs from a constant factor: the largest deviation of its
factor from the median one, over all places of some pictures.

The first layer is the network's first convolution, its response what follows the ReLU: max(0, output); layer 2 is the
second of its layers of feature maps. The filters are shown twice: each scaled by its own maximum, and all by the common
one, which alone shows dominance.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zfnet.attribution.fields import receptive_field
from zfnet.attribution.strongest import Strongest, choose_maps, strongest
from zfnet.attribution.units import CHUNK, in_place, project_units
from zfnet.core.errors import UserError
from zfnet.core.statistics import Measure
from zfnet.data.cache.images import Images
from zfnet.experiments.first_layer.figure import common_contrast, draw_filters, draw_projections, write_figures
from zfnet.experiments.first_layer.options import FirstLayerOptions
from zfnet.networks.network import Network
from zfnet.networks.normalization import departures
from zfnet.networks.predict import center_batches
from zfnet.networks.walk import outputs
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import CUT, contrast

LOW, HIGH = 0.1, 0.25  # cycles per pixel: borders of the bands
DEAD = 0.01  # of the median filter's response or RMS
GRID = 32  # px: filters are padded to this for their spectra
N_PROJECTED = 48  # maps of layer 2 whose projections are measured
SHIFTS = (1, 2, 3)  # px: less than the largest stride
NORMALIZED = 16  # pictures on which the contrast normalization is measured
COMPARED = ("dead", "dominance", "shift")  # numbers that are compared between recipes, seed by seed


def run(
    options: FirstLayerOptions,
    networks: Mapping[str, Sequence[Network]],
    images: Images,
    out: Path,
    seed: int,
    seeds: Sequence[int] = (),
) -> Outcome:
    """Figure 6 for networks, by title, side by side, and the numbers of each.

    networks: by title those of one recipe, one for each of `seeds`, of which the first is shown; or a single one.
    Raises UserError for a network whose first convolution does not take colors.
    """
    rows = np.sort(np.random.default_rng([seed, 6]).permutation(len(images))[: options.n_images])
    numbers: dict[str, Any] = {"n_images": len(rows), "networks": {}, "seeds": {"numbers": list(seeds)}}
    pictures: dict[str, dict[str, np.ndarray]] = {"filters_own": {}, "filters_common": {}, "layer2": {}}
    for title, of_recipe in networks.items():
        measured = [_measure_network(options, network, images, rows, seed) for network in of_recipe]
        values, tiles = measured[0]
        w = filters(first_convolution(of_recipe[0].module)[1])
        numbers["networks"][title] = values
        if len(of_recipe) == len(seeds):
            numbers["seeds"][title] = _by_seed([values for values, _ in measured])
        pictures["filters_own"][title] = draw_filters(w, contrast)
        pictures["filters_common"][title] = draw_filters(w, common_contrast)
        if len(tiles):
            pictures["layer2"][title] = draw_projections(tiles)
    title, values = next(iter(numbers["networks"].items()))
    figures = write_figures(pictures, out)
    dead, strongest_tenth = values["dead"]["value"], values["dominance"]["value"]
    headline = f"{title}: {dead:.0%} dead filters, {strongest_tenth:.0%} of energy in the top tenth"
    return Outcome(numbers, figures, headline)


def _measure_network(
    options: FirstLayerOptions, network: Network, images: Images, rows: np.ndarray, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """The numbers of one network, and the projections of its second layer, none where it has no second."""
    name, conv = first_convolution(network.module)
    second = list(network.feature_maps.values())[1:2]
    batches = center_batches(network, images, rows, options.batch, "strongest activations: batch")
    best = strongest(network.module, batches, rows, [name, *second], top=1)
    stride = int(conv.stride[0])
    numbers = measure(filters(conv), stride, best[name].values[:, 0].relu().numpy(), seed)
    numbers["normalization"] = departures(network.module, network.center(images.frames(rows[:NORMALIZED])))
    if not second:
        return numbers, np.zeros(0)
    values, tiles = _second_layer(network, images, second[0], best[second[0]], stride, seed)
    shifted = shift_sensitivity(network, images, rows[: options.n_shifted], second[0], options.batch)
    shift = Measure.bootstrapped(shifted, seed, "images").to_json()
    return {**numbers, **values, "shift": shift}, tiles


def _by_seed(measured: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The numbers that are compared between recipes, one a seed."""
    kinds = [kind for kind in COMPARED if kind in measured[0]]
    return {kind: [values[kind]["value"] for values in measured] for kind in kinds}


def shift_sensitivity(network: Network, images: Images, rows: np.ndarray, layer: str, batch: int) -> np.ndarray:
    """How far small shifts of each picture change the spatial means of a layer's maps, (n,); 1: another picture."""
    means = {shift: _spatial_means(network, images, rows, layer, shift, batch) for shift in (0, *SHIFTS)}
    apart = np.linalg.norm(means[0] - np.roll(means[0], 1, axis=0), axis=1).mean()
    moved = [np.linalg.norm(means[shift] - means[0], axis=1) for shift in SHIFTS]
    return np.mean(moved, axis=0) / max(float(apart), 1e-30)


def _spatial_means(
    network: Network, images: Images, rows: np.ndarray, layer: str, shift: int, batch: int
) -> np.ndarray:
    """(n, maps) means of a layer's maps on the center crops of frames moved down by `shift` px."""
    parts = []
    for start in range(0, len(rows), batch):
        frames = network.inputs.frames(images.frames(rows[start : start + batch]))
        moved = np.ascontiguousarray(np.roll(frames, shift, axis=1))
        with torch.inference_mode():
            maps = outputs(network.module, network.center(moved), [layer])[layer]
        parts.append(maps.mean((2, 3)).double().cpu().numpy())
    return np.concatenate(parts)


def first_convolution(module: nn.Module) -> tuple[str, nn.Conv2d]:
    """Name and module of the first convolution. Raises UserError where there is none that takes three colors."""
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d):
            if part.in_channels != 3:
                raise UserError(f"first_layer: convolution {name} takes {part.in_channels} channels, not the 3 colors")
            return name, part
    raise UserError(f"first_layer: {type(module).__name__} has no module nn.Conv2d whose filters could be shown")


def filters(conv: nn.Conv2d) -> np.ndarray:
    """The filters of a convolution as pictures (n, k, k, 3)."""
    return conv.weight.detach().float().cpu().permute(0, 2, 3, 1).numpy()


def measure(w: np.ndarray, stride: int, responses: np.ndarray, seed: int) -> dict[str, Any]:
    """The numbers of filters w (n, k, k, 3) with their largest responses (n,) over images; see the module.

    `seed` draws the bootstrap over filters behind the interval of the dominance.
    """
    energy = (w.astype(np.float64) ** 2).sum((1, 2, 3))
    rms = np.sqrt(energy / w[0].size)
    dead = (responses <= DEAD * np.median(responses)) | (rms <= DEAD * np.median(rms))
    power, frequency, steepest = spectrum(w)
    low, mid = frequency < LOW, (frequency >= LOW) & (frequency < HIGH)
    shares = {"low": power[low], "mid": power[mid], "high": power[~low & ~mid]}
    total = max(power.sum(), 1e-300)
    return {
        "n_filters": len(w),
        "size": w.shape[1],
        "stride": stride,
        "dead": Measure.percentage(100 * dead.mean(), len(w), "filters").scaled(0.01).to_json(),
        "dominance": Measure.bootstrapped(energy, seed, "filters", dominance).to_json(),
        "bands": {band: float(part.sum() / total) for band, part in shares.items()},
        "aliased_filters": float(power[steepest > 0.5 / stride].sum() / total),
    }


def dominance(energy: np.ndarray, axis: int = 0) -> np.ndarray:
    """Share of the total energy that the strongest tenth of the filters holds, along `axis`."""
    n_strong = max(1, round(energy.shape[axis] / 10))
    top = np.take(np.sort(energy, axis=axis), range(-n_strong, 0), axis=axis)
    return top.sum(axis) / np.maximum(energy.sum(axis), 1e-300)


def spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy spectrum of pictures (n, h, w, 3), summed over pictures and colors, (g, g).

    With it the frequency of each cell in cycles per pixel: its magnitude, and the larger of its two directions.
    """
    side = max(GRID, *x.shape[1:3])
    power = (np.abs(np.fft.fft2(x, (side, side), axes=(1, 2))) ** 2).sum((0, 3))
    f = np.abs(np.fft.fftfreq(side))
    return power, np.hypot(f[:, None], f[None, :]), np.maximum(f[:, None], f[None, :])


def _second_layer(
    network: Network, images: Images, layer: str, best: Strongest, stride: int, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Energy of layer-2 projections that the first stride cannot sample, with its interval; and the projections."""
    chosen = choose_maps(best, N_PROJECTED, np.random.default_rng([seed, 3]))
    maps = np.random.default_rng([seed, 2]).permutation(chosen)
    if not len(maps):  # a dead layer
        return {"aliased_layer2": Measure.bootstrapped([], seed, "maps").to_json()}, maps
    rows, places = best.rows[maps, 0].numpy(), best.places[maps, 0].numpy()
    projections = project_units(network.module, center_batches(network, images, rows, CHUNK), layer, maps, places)
    shares = []
    for projection in projections:
        power, _, steepest = spectrum(projection[None])
        shares.append(float(power[steepest > 0.5 / stride].sum() / max(power.sum(), 1e-300)))
    numbers = {"aliased_layer2": Measure.bootstrapped(shares, seed, "maps").to_json()}
    crop = network.inputs.crop
    return numbers, in_place(contrast(projections, CUT), receptive_field(network.module, layer, crop), places, crop)
