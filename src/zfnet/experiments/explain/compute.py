"""Every method of the three papers on a photograph, as one picture.

For the likeliest class of the photograph's center crop, or the one that is asked for, side by side:

    saliency                max over colors of |gradient of the class score|                         [SVZ13] 3
    gradient x input        its product with the input, summed over colors                           [K17] 2
    deconvnet, guided       the class score projected to pixels                                       [ZF13] 2.1
    PatternNet              the signal, and PatternAttribution its part in the score                  [K17] 4
    occlusion               the class's probability with a gray square at each place                  [ZF13] 4.2

and for each layer the strongest activation, projected by the deconvnet and cut to its receptive field, beside that
part of the photograph ([ZF13] Fig. 2); or the strongest maps of one layer, or one map at its strongest places. The
pattern methods need training images, so a borrowed network is shown without them. A method that has no rule for one of
the network's layers is left out, with its reason below the tiles.

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
from zfnet.attribution.incremental import Grid, covered_probabilities
from zfnet.attribution.patterns import positive_patterns
from zfnet.core.errors import UserError
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
SHOWN = 7  # units, of one layer
SMALLEST = 9  # px, least side of the part of the photograph shown with a unit
SIGNALS = {  # method that colors the pixels -> label and note of its tile
    "deconvnet": ("deconvnet", "the score sent down, rectified"),
    "guided": ("guided back-propagation", "and gated as on the way up"),
    "patternnet": ("PatternNet", "the signal in these pixels"),
}
LABELS = {name: label for name, (label, _) in SIGNALS.items()} | {"patternattribution": "PatternAttribution"}
NO_SIGNAL = "no signal: zero at every pixel"


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
    order = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    target = network.classes.output(options.target) if options.target else order[0]
    shown = order if target in order else [*order[:-1], target]
    top = [(network.classes.names[k], float(probabilities[k])) for k in shown]
    places = square_places(network.inputs.crop, options.square, options.places)
    covered = covered_probabilities(network.module, x[0], places, batch=options.batch)[..., target]
    units, left_out_layers = chosen_units(network, x, options.layer, options.unit)
    patterns = estimated.patterns if estimated else None
    signals, left_out = class_signals(network, x, target, patterns)
    tiles = [*class_tiles(x, signals), *_occlusion_tiles(pixels, places, covered, float(probabilities[target]))]
    box = _crop_box(photo, network.inputs)
    left_out |= left_out_layers
    notes = [f"{label} is left out: {reason}" for label, reason in left_out.items()]
    unit_tiles, explained = _unit_tiles(photo, box, units), network.classes.names[target]
    heading = units_heading(options.layer, options.unit)
    sheet = Sheet(name, network.title, photo, box, top, explained, tiles, unit_tiles, heading, notes)
    numbers = {
        "image": name,
        "network": network.title,
        "explained": explained,
        "top": [{"class": label, "probability": probability} for label, probability in top],
        "methods": [tile.label for tile in tiles],
        "left_out": left_out,
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


def class_signals(
    network: Network, x: Tensor, k: int, patterns: Mapping[str, Tensor] | None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Signals of class k in the input (1, 3, h, w), and why methods refuse the network.

    Returns method of the table -> (h, w, 3), and label of a method -> the reason.
    """
    methods = ["gradient", "deconvnet", "guided"]
    if patterns is not None:
        methods += ["patternnet", "patternattribution"]
    signals, refused = {}, {}
    for method in methods:
        try:
            signals[method] = _project(Backprojection(network.module, method, patterns), x, Target(k))
        except UserError as error:
            refused[LABELS[method]] = str(error)
    return signals, refused


def chosen_units(network: Network, x: Tensor, layer: int, unit: int) -> tuple[list[Unit], dict[str, str]]:
    """The strongest activation of each layer's feature maps for the input (1, 3, h, w).

    layer: not 0: its SHOWN strongest maps instead, or with unit >= 0 that map at its SHOWN strongest places.
    Returns the units, and label of a layer -> why the deconvnet refuses it. Raises UserError where it refuses the
    layer that was asked for, and for an unknown map.
    """
    passes = Backprojection(network.module, "deconvnet")
    units: list[Unit] = []
    refused: dict[str, str] = {}
    numbers = [layer] if layer else list(network.feature_maps)
    for number in numbers:
        module = network.maps_of(number)
        try:
            units += _units_of_layer(passes, x, number, module, SHOWN if layer else 1, unit)
        except UserError as error:
            if layer:
                raise
            refused[f"layer {number}"] = str(error)
    if unit >= 0 and not units:
        refused[f"map {unit} of layer {layer}"] = "fires nowhere in this photograph"
    return units, refused


def _units_of_layer(passes: Backprojection, x: Tensor, number: int, module: str, count: int, unit: int) -> list[Unit]:
    """`count` units of a layer: its strongest maps, or with unit >= 0 that map at its strongest places."""
    x = x.detach().clone().requires_grad_()
    activations = passes.activations(x, module)
    maps = activations.detach()[0]
    maps = maps if maps.ndim == 3 else maps[:, None, None]
    if unit >= len(maps):
        raise UserError(f"explain.unit: layer {number} has maps 0 to {len(maps) - 1}, not {unit}")
    if unit >= 0:
        strongest = [(unit, place) for place in strongest_places(maps[unit], count)]
    else:
        strongest = strongest_maps(maps, count)
    units = []
    for shown, place in strongest:
        target = Target(shown, place if activations.ndim == 4 else None)
        projection = passes.backward(activations, x, target, keep=True)[0].permute(1, 2, 0).cpu().numpy()
        units.append(Unit(number, module, shown, place, float(maps[shown][place]), projection))
    return units


def strongest_maps(maps: Tensor, count: int) -> list[tuple[int, tuple[int, int]]]:
    """(map, place) of the `count` strongest maps of (c, h, w), each at its strongest place."""
    values, places = maps.flatten(1).max(1)
    order = values.argsort(descending=True, stable=True)[:count].tolist()
    return [(k, divmod(int(places[k]), maps.shape[2])) for k in order]


def strongest_places(values: Tensor, count: int) -> list[tuple[int, int]]:
    """The `count` strongest places of a map (h, w) that fire, none beside a stronger one."""
    left = values.clone()
    places: list[tuple[int, int]] = []
    while len(places) < count and float(left.max()) > 0:
        row, column = divmod(int(left.argmax()), values.shape[1])
        places.append((row, column))
        left[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = 0
    return places


def units_heading(layer: int, unit: int) -> str:
    """What the row of units shows, in words."""
    if not layer:
        return "The strongest unit of each layer: what it sees, and its deconvnet projection"
    what = f"Map {unit} of layer {layer} where it is strongest" if unit >= 0 else f"The strongest maps of layer {layer}"
    return f"{what}: what the unit sees, and its deconvnet projection"


def _project(passes: Backprojection, x: Tensor, target: Target, layer: str | None = None) -> np.ndarray:
    """The target's signal in the input (1, 3, h, w), as (h, w, 3)."""
    return passes.project(x, target, layer)[0].permute(1, 2, 0).cpu().numpy()


def square_places(crop: int, square: float, count: int) -> Grid:
    """A grid of `count` places a side for a square of `square` of the crop's side, from border to border."""
    size = min(max(1, round(square * crop)), crop - 1)
    steps = np.unique(np.linspace(0, crop - size, count).round().astype(np.int64))
    return Grid(size, steps, steps)


# ---------------------------------------------------------------- tiles
def class_tiles(x: Tensor, signals: Mapping[str, np.ndarray]) -> list[Tile]:
    """The tiles of a class's signals (h, w, 3), by method, in the input (1, 3, h, w)."""
    saliency = np.abs(signals["gradient"]).max(2)
    product = (signals["gradient"] * x[0].permute(1, 2, 0).cpu().numpy()).sum(2)
    heat = heatmap(saliency, 0, _vivid(saliency))
    tiles = [
        Tile(heat, "gradient saliency", _note(saliency, "bright: the score hangs on these pixels")),
        Tile(_signed(product), "gradient × input", _note(product, "red for the class, blue against it")),
    ]
    for method, (label, note) in SIGNALS.items():
        if method in signals:
            tiles.append(Tile(_colored(signals[method]), label, _note(signals[method], note)))
    if "patternattribution" in signals:
        attribution = signals["patternattribution"].sum(2)
        tiles.append(
            Tile(_signed(attribution), LABELS["patternattribution"], _note(attribution, "red: what made the score"))
        )
    return tiles


def _note(values: np.ndarray, note: str) -> str:
    return note if values.any() else NO_SIGNAL


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
        note = f"activation {unit.value:.3g}" + ("" if unit.projection.any() else ", no signal")
        pairs.append((Tile(part, "", ""), Tile(shown, label, note)))
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
