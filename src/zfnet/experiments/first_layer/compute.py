"""[ZF13] Figure 6: what the first layer has learned, and what its stride does to the second.

Without the renormalisation of their RMS a few filters dominate (Fig. 6a); Krizhevsky's 11x11 filters at stride 4 mix
very high and very low frequencies with little in between, and more of them are dead (6b against 6c); their stride
causes aliasing in layer 2 (6d against 6e). Each is a number here; the paper gives no definitions, so these are ours:

    dead        share of filters whose largest response over the images, or whose RMS, is under 1 % of the median
                filter's
    dominance   share of all filters' energy (sum of w^2) in the strongest tenth of them; 0.1 when all are equal
    bands       share of the filters' energy in low (< 0.1), mid (< 0.25) and high frequencies, cycles per pixel
    aliased     share of energy at frequencies above what the stride can sample, 1 / (2 stride) cycles per pixel in
                either direction: of the filters, and of the projections of layer 2's strongest activations

The filters are shown twice: each scaled by its own maximum, and all by the common one, which alone shows dominance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.attribution.strongest import choose_maps, conv_layers, strongest
from zfnet.attribution.tiles import project_all, trim
from zfnet.core.statistics import bootstrap
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.first_layer.options import FirstLayerOptions
from zfnet.networks.convnet import ConvNet
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import CUT, PAPER, contrast, enlarge, fit, mosaic, write, write_text

LOW, HIGH = 0.1, 0.25  # cycles per pixel: borders of the bands
DEAD = 0.01  # of the median filter's response or RMS
GRID = 32  # px: filters are padded to this for their spectra
N_PROJECTED = 48  # maps of layer 2 whose projections are measured
SHOWN, TILE = 4, 60  # the layer-2 picture: SHOWN x SHOWN maps of TILE px
PICTURE = 380  # px: width of one network's filters


def run(config: FirstLayerOptions, models: Mapping[str, tuple[ConvNet, ImageStore]], out: Path, seed: int) -> Outcome:
    """Figure 6 for the named networks side by side, and the numbers of each.

    models: each network with the images as it was trained to see them, the same for all but for their divisor.
    """
    n_images = len(next(iter(models.values()))[1])
    rows = np.sort(np.random.default_rng([seed, 6]).permutation(n_images)[: config.n_images])
    numbers: dict[str, Any] = {"n_images": len(rows), "networks": {}}
    pictures: dict[str, list[np.ndarray]] = {"filters_own": [], "filters_common": [], "layer2": []}
    for name, (model, images) in models.items():
        layers = conv_layers(model)[:2]
        found = strongest(model, images, rows, 1, config.batch, layers)
        w, stride = filters(model)
        numbers["networks"][name] = measure(w, stride, found[layers[0]].values[:, 0].numpy(), seed)
        pictures["filters_own"].append(draw_filters(w, contrast))
        pictures["filters_common"].append(
            draw_filters(w, lambda w: contrast(w.reshape(-1, *w.shape[2:])).reshape(w.shape))
        )
        if len(layers) > 1:
            values, picture = _second_layer(model, images, layers[1], found[layers[1]], stride, seed)
            numbers["networks"][name] |= values
            pictures["layer2"].append(picture)
    figures = _write(pictures, list(models), out)
    first = next(iter(numbers["networks"].items()))
    headline = (
        f"{first[0]}: {first[1]['dead']:.0%} dead filters, {first[1]['dominance']:.0%} of energy in the top tenth"
    )
    return Outcome(numbers, figures, headline)


def filters(model: ConvNet) -> tuple[np.ndarray, int]:
    """First-layer filters as pictures (n, k, k, 3), and their stride."""
    conv: Any = next(module for name, module in model.named_children() if name.startswith("conv"))
    return conv.weight.detach().float().cpu().permute(0, 2, 3, 1).numpy(), int(conv.stride[0])


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
        "dead": float(dead.mean()),
        "dominance": float(dominance(energy)),
        "dominance_interval": list(bootstrap(energy, seed, dominance)),
        "bands": {band: float(part.sum() / total) for band, part in shares.items()},
        "aliased_filters": float(power[steepest > 0.5 / stride].sum() / total),
    }


def dominance(energy: np.ndarray, axis: int = 0) -> np.ndarray:
    """Share of the total energy that the strongest tenth of the filters holds, along `axis`."""
    n_strong = max(1, round(energy.shape[axis] / 10))
    strongest = np.take(np.sort(energy, axis=axis), range(-n_strong, 0), axis=axis)
    return strongest.sum(axis) / np.maximum(energy.sum(axis), 1e-300)


def spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy spectrum of pictures (n, h, w, 3), summed over pictures and colours, (g, g).

    With it the frequency of each cell in cycles per pixel: its magnitude, and the larger of its two directions.
    """
    side = max(GRID, *x.shape[1:3])
    power = (np.abs(np.fft.fft2(x, (side, side), axes=(1, 2))) ** 2).sum((0, 3))
    f = np.abs(np.fft.fftfreq(side))
    return power, np.hypot(f[:, None], f[None, :]), np.maximum(f[:, None], f[None, :])


def draw_filters(w: np.ndarray, scale: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Filters (n, k, k, 3) as a square mosaic about PICTURE px wide, coloured by `scale`."""
    side = int(np.ceil(np.sqrt(len(w))))
    tiles = [enlarge(tile, max(1, PICTURE // (side * w.shape[1]))) for tile in scale(w)]
    return mosaic([tiles[i : i + side] for i in range(0, len(tiles), side)], gap=1)


def _second_layer(
    model: ConvNet, images: ImageStore, layer: str, best: Any, stride: int, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Energy of layer-2 projections that the first stride cannot sample, with its interval; and the projections."""
    maps = np.random.default_rng([seed, 2]).permutation(
        choose_maps(best, N_PROJECTED, np.random.default_rng([seed, 3]))
    )
    rows, places = best.rows[maps, 0].numpy(), best.places[maps, 0].numpy()
    projections = project_all(model, images, layer, maps, rows, places)
    shares = []
    for projection in projections:
        power, _, steepest = spectrum(projection[None])
        shares.append(float(power[steepest > 0.5 / stride].sum() / max(power.sum(), 1e-300)))
    tiles = trim(contrast(projections, CUT), model, layer, places, images.crop)[: SHOWN**2]
    fitted = [fit(tile, TILE) for tile in tiles]
    picture = mosaic([fitted[i : i + SHOWN] for i in range(0, len(fitted), SHOWN)])
    mean = float(np.mean(shares)) if shares else float("nan")
    return {"aliased_layer2": mean, "aliased_layer2_interval": list(bootstrap(shares, seed))}, picture


def _write(pictures: dict[str, list[np.ndarray]], names: list[str], out: Path) -> dict[str, str]:
    texts = {
        "filters_own": "First-layer filters, each scaled by its own largest weight: ",
        "filters_common": "The same filters scaled by the largest weight of all, where dominating filters show: ",
        "layer2": "Projections of the strongest activation of random layer-2 maps: ",
    }
    figures = {}
    for key, parts in pictures.items():
        if parts:
            write(
                out / f"{key}.png", mosaic([[_titled(p, name) for p, name in zip(parts, names, strict=False)]], gap=12)
            )
            figures[f"{key}.png"] = texts[key] + ", ".join(names) + "."
    return figures


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    canvas = np.full((picture.shape[0] + 20, picture.shape[1], 3), PAPER, dtype=np.uint8)
    canvas[20:] = picture
    write_text(canvas, title, (2, 14))
    return canvas
