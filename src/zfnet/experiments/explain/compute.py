"""Every method of the three papers on a photograph, as one picture.

For the likeliest class of the photograph's center crop, side by side:

    saliency                max over colors of |gradient of the class score|                         [SVZ13] 3
    gradient x input        its product with the input, summed over colors                           [K17] 2
    deconvnet, guided       the class score projected to pixels                                       [ZF13] 2.1
    PatternNet              the signal, and PatternAttribution its part in the score                  [K17] 4
    occlusion               the class's probability with a gray square at each place                  [ZF13] 4.2

and for each layer the strongest activation, projected by the deconvnet and cut to its receptive field, beside that
part of the photograph ([ZF13] Fig. 2). The pattern methods need training images, so a borrowed network is shown
without them.

Our choices: one crop, so that all tiles show the same part; maps are scaled by the quantile VIVID of their absolute
values, so that single bright pixels do not leave the rest gray; the square shows input 0, the mean image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.incremental import Grid, Occluder, respond
from zfnet.attribution.patterns import positive_patterns
from zfnet.data.cache.images import Images
from zfnet.data.crops import Frame
from zfnet.experiments.explain.figure import Sheet, Tile, draw
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import heatmap, signed_heatmap, write

PICTURE = "explain.png"
TOP = 5  # classes named
VIVID = 0.998  # quantile of a map's absolute values that has the strongest color
PATTERN_BATCH = 100  # images
SMALLEST = 9  # px, least side of the part of the photograph shown with a unit
SIGNALS = {"deconvnet": "deconvnet", "guided": "guided back-propagation", "patternnet": "PatternNet"}


@dataclass(frozen=True)
class Estimated:
    """Patterns a+ by module name ([K17]), and their origin in words."""

    patterns: Mapping[str, Tensor]
    origin: str


@dataclass(frozen=True)
class Unit:
    """The strongest activation of a layer, and its projection (crop, crop, 3) by the deconvnet."""

    number: int  # of the layer
    module: str
    unit: int
    place: tuple[int, int]
    value: float
    projection: np.ndarray


@dataclass(frozen=True)
class Explained:
    """The picture (h, w, 3) uint8, and its classes, units and probabilities as plain values."""

    picture: np.ndarray
    numbers: dict[str, Any]


def run(
    options: ExplainOptions, network: Network, photo: np.ndarray, name: str, out: Path, estimated: Estimated | None
) -> Outcome:
    """The picture of the photograph (h, w, 3) called `name`, written to explain.png, and its numbers."""
    explained = explain(options, network, photo, name, estimated)
    write(out / PICTURE, explained.picture)
    top = explained.numbers["top"]
    alt = f"{name} through {network.title}: likeliest class {top[0]['class']}, and what every method shows of it."
    headline = ", ".join(f"{guess['class']} {guess['probability']:.2f}" for guess in top[:3])
    return Outcome(explained.numbers, {PICTURE: alt}, headline)


def explain(
    options: ExplainOptions, network: Network, photo: np.ndarray, name: str, estimated: Estimated | None = None
) -> Explained:
    """Every method on a photograph (h, w, 3) uint8 called `name`.

    estimated: patterns of the network; without them PatternNet and PatternAttribution are not shown.
    """
    pixels = network.inputs.photo_pixels(photo)
    x = network.inputs.prepare(pixels[None]).to(network.device)
    with torch.inference_mode():
        probabilities = network.module(x)[0].double().softmax(0).cpu().numpy()
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    top = [(network.classes.names[k], float(probabilities[k])) for k in order]
    likeliest = int(order[0])
    places = square_places(network.inputs.crop, options.square, options.places)
    covered = occlude(network, x, likeliest, places, options.batch)
    units = strongest_units(network, x)
    patterns = estimated.patterns if estimated else None
    tiles = [*class_tiles(network, x, likeliest, patterns), *_occlusion_tiles(pixels, places, covered, top[0][1])]
    box = _crop_box(photo, network.inputs)
    sheet = Sheet(name, network.title, photo, box, top, tiles, _unit_tiles(photo, box, units))
    numbers = {
        "image": name,
        "network": network.title,
        "top": [{"class": label, "probability": probability} for label, probability in top],
        "methods": [tile.label for tile in tiles],
        "patterns": estimated.origin if estimated else "none: they need images of the network's training set",
        "occlusion": {"square": places.size, "n_places": covered.size, "lowest_probability": float(covered.min())},
        "units": [{"layer": u.module, "map": u.unit, "place": list(u.place), "value": u.value} for u in units],
    }
    return Explained(draw(sheet), numbers)


# ---------------------------------------------------------------- arrays
def estimate_patterns(network: Network, images: Images, count: int, seed: int) -> Estimated:
    """Patterns a+ from `count` training images, the first that stage patterns takes."""
    origin = f"estimated from {min(count, len(images))} training images; stage=patterns takes more"
    rows = np.random.default_rng([seed, 5]).permutation(len(images))[:count]
    batches = center_batches(network, images, rows, PATTERN_BATCH, "patterns: batch")
    return Estimated(positive_patterns(network.module, batches), origin)


def class_signals(network: Network, x: Tensor, k: int, patterns: Mapping[str, Tensor] | None) -> dict[str, np.ndarray]:
    """Method of the table -> signal of class k in the input (1, 3, h, w), as (h, w, 3)."""
    methods = ["gradient", "deconvnet", "guided"]
    if patterns is not None:
        methods += ["patternnet", "patternattribution"]
    signals = {}
    for method in methods:
        signal = Backprojection(network.module, method, patterns).project(x, Target(k))
        signals[method] = signal[0].permute(1, 2, 0).cpu().numpy()
    return signals


def strongest_units(network: Network, x: Tensor) -> list[Unit]:
    """The strongest activation of each layer's feature maps for the input (1, 3, h, w)."""
    passes, units = Backprojection(network.module, "deconvnet"), []
    for number, module in network.feature_maps.items():
        with torch.no_grad():
            activations = passes.activations(x, module)[0]
        strongest = np.unravel_index(int(activations.argmax()), tuple(activations.shape))
        unit, row, column = map(int, strongest)
        signal = passes.project(x, Target(unit, (row, column)), module)[0].permute(1, 2, 0).cpu().numpy()
        units.append(Unit(number, module, unit, (row, column), float(activations[unit, row, column]), signal))
    return units


def square_places(crop: int, square: float, count: int) -> Grid:
    """A grid of `count` places a side for a square of `square` of the crop's side, from border to border."""
    size = min(max(1, round(square * crop)), crop - 1)
    steps = np.unique(np.linspace(0, crop - size, count).round().astype(np.int64))
    return Grid(size, steps, steps)


def occlude(network: Network, x: Tensor, k: int, places: Grid, batch: int) -> np.ndarray:
    """p(class k) with the square at each of the places, (rows, columns)."""
    occluder = Occluder(places.size, places.corners, torch.zeros_like(x[0]))
    scores = respond(network.module, x[0], occluder, batch=batch).scores
    assert scores is not None
    return scores.double().softmax(1)[:, k].cpu().numpy().reshape(len(places.tops), len(places.lefts))


# ---------------------------------------------------------------- tiles
def class_tiles(network: Network, x: Tensor, k: int, patterns: Mapping[str, Tensor] | None) -> list[Tile]:
    """A tile a method for class k of the input (1, 3, h, w)."""
    signals = class_signals(network, x, k, patterns)
    gradient, pixels = signals["gradient"], x[0].permute(1, 2, 0).cpu().numpy()
    saliency = np.abs(gradient).max(2)
    tiles = [
        Tile(heatmap(saliency, 0, _vivid(saliency)), "gradient saliency", "bright: the score hangs on these pixels"),
        Tile(_signed((gradient * pixels).sum(2)), "gradient × input", "red for the class, blue against it"),
    ]
    notes = {"deconvnet": "the score sent down, rectified", "guided": "and gated as on the way up"}
    for method, label in SIGNALS.items():
        if method in signals:
            tiles.append(Tile(_colored(signals[method]), label, notes.get(method, "the signal in these pixels")))
    if "patternattribution" in signals:
        attribution = _signed(signals["patternattribution"].sum(2))
        tiles.append(Tile(attribution, "PatternAttribution", "red: what made the score"))
    return tiles


def _occlusion_tiles(pixels: np.ndarray, places: Grid, covered: np.ndarray, clean: float) -> list[Tile]:
    smooth = over_pixels(places, covered, len(pixels))
    drop = np.clip((clean - smooth) / max(clean - float(covered.min()), 1e-12), 0, 1)[..., None]
    faded = 255 - (255 - pixels) * (0.18 + 0.82 * drop)
    return [
        Tile(heatmap(smooth, 0, max(clean, float(covered.max()))), "occlusion", f"p: {_range(covered)}; dark hurts"),
        Tile(np.round(faded).astype(np.uint8), "what must not be covered", "washed out: hiding it changes little"),
    ]


def over_pixels(places: Grid, values: np.ndarray, side: int) -> np.ndarray:
    """Values (rows, columns) at the squares' centers as a map (side, side), linear between, constant beyond."""
    (y, x), pixels = places.centers, np.arange(side)
    across = np.stack([np.interp(pixels, x, row) for row in values])
    return np.stack([np.interp(pixels, y, column) for column in across.T], 1)


def _range(values: np.ndarray) -> str:
    return f"{values.min():.2g} to {values.max():.2g}"


def _unit_tiles(photo: np.ndarray, box: tuple[float, ...], units: list[Unit]) -> list[tuple[Tile, Tile]]:
    """(part of the photograph in a unit's receptive field, its projection) of each unit."""
    pairs = []
    for unit in units:
        y, x, side = _reach(unit.projection)
        scale = (box[2] - box[0]) / unit.projection.shape[0]
        top = min(round(box[1] + y * scale), photo.shape[0] - 1)
        left = min(round(box[0] + x * scale), photo.shape[1] - 1)
        part = photo[top : top + max(1, round(side * scale)), left : left + max(1, round(side * scale))]
        shown = _colored(unit.projection)[y : y + side, x : x + side]
        label = f"layer {unit.number}, map {unit.unit}"
        pairs.append((Tile(part, "", ""), Tile(shown, label, f"activation {unit.value:.3g}")))
    return pairs


def _reach(projection: np.ndarray) -> tuple[int, int, int]:
    """Top, left and side of the smallest square that holds all nonzero values of a projection (h, h, 3)."""
    extent = projection.shape[0]
    nonzero = np.argwhere(np.abs(projection).max(2) > 0)
    if not len(nonzero):
        return 0, 0, extent
    low, high = nonzero.min(0), nonzero.max(0)
    side = min(extent, max(SMALLEST, int((high - low).max()) + 1))
    top, left = np.clip((low + high + 1 - side) // 2, 0, extent - side)
    return int(top), int(left), side


def _crop_box(photo: np.ndarray, inputs: Inputs) -> tuple[float, float, float, float]:
    """The edges x0 y0 x1 y1 of the network's crop, in pixels of the photograph."""
    first, last = inputs.margin, inputs.margin + inputs.crop - 1
    inside = np.array([[first, first, last, last]])
    x0, y0, x1, y1 = Frame(photo.shape[0], photo.shape[1], inputs.frame).from_frame(inside)[0]
    return float(x0), float(y0), float(x1) + 1, float(y1) + 1


def _vivid(values: np.ndarray) -> float:
    return float(np.quantile(np.abs(values), VIVID)) or float(np.abs(values).max()) or 1.0


def _colored(signal: np.ndarray) -> np.ndarray:
    """A signal (h, w, 3) as colors around mid gray, uint8."""
    scaled = np.clip(signal / (2 * _vivid(np.abs(signal).max(2))) + 0.5, 0, 1)
    return np.round(255 * scaled).astype(np.uint8)


def _signed(values: np.ndarray) -> np.ndarray:
    limit = _vivid(values)
    return signed_heatmap(np.clip(values, -limit, limit))
