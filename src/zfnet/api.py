"""The public API: the methods of the three papers on one network and one picture.

    import zfnet
    network = zfnet.load_network("alexnet")
    zfnet.saliency(network, "dog.jpg").image()

A picture is a file, a PIL image or an array (h, w, 3) uint8 of any size; the network sees its center crop. Every
result holds its arrays, `image()` gives a PIL image, and a notebook shows it. A wrong rule, layer, unit or class raises
UserError with what there is.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.incremental import covered_probabilities
from zfnet.attribution.maps import saliency_maps
from zfnet.attribution.patterns import positive_patterns
from zfnet.attribution.rules import METHODS
from zfnet.attribution.strongest import strongest
from zfnet.core.errors import UserError
from zfnet.data.crops import resize, shrink
from zfnet.data.decode import read_rgb
from zfnet.data.listing import list_images
from zfnet.experiments.class_model.compute import ascend
from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.experiments.explain import compute as explaining
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.networks.load import load_network as load_network
from zfnet.networks.network import Network
from zfnet.plots.grid import contrast, heatmap, mosaic

Picture: TypeAlias = str | Path | Image.Image | np.ndarray
Patterns: TypeAlias = Mapping[str, Tensor]  # module name -> pattern a+, shaped as the module's weight
BRIGHT = 0.995  # quantile of a map that is shown as the brightest
TILE = 112  # px, side of a patch in the picture of `top_activations`


class Shown:
    """A result that can be looked at."""

    def pixels(self) -> np.ndarray:
        """The picture, (h, w, 3) uint8."""
        raise NotImplementedError

    def image(self) -> Image.Image:
        """The picture as a PIL image."""
        return Image.fromarray(self.pixels())

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.image().save(buffer, "PNG")
        return buffer.getvalue()


# ---------------------------------------------------------------- projections ([ZF13] 2.1)
@dataclass(frozen=True)
class Projection(Shown):
    """One activation sent back to the pixels.

    signal: (crop, crop, 3) float32. picture: what the network sees, (crop, crop, 3) uint8. place: (row, column) of the
    activation in its feature map, None for a unit without space. activation: its value.
    """

    signal: np.ndarray
    picture: np.ndarray
    layer: str
    unit: int
    place: tuple[int, int] | None
    activation: float
    rule: str

    def pixels(self) -> np.ndarray:
        return np.concatenate([self.picture, contrast(self.signal[None])[0]], axis=1)


def project(
    network: Network,
    image: Picture,
    layer: int | str,
    unit: int | None = None,
    rule: str = "deconvnet",
    place: tuple[int, int] | None = None,
    patterns: Patterns | None = None,
) -> Projection:
    """The strongest activation of a unit, or that at a place, projected to the pixels by one of the five rules.

    layer: a number of `network.feature_maps`, or the name of any module. unit: the channel or neuron; None: that of the
    strongest activation. rule: gradient, deconvnet, guided, patternnet or patternattribution; the last two need
    `patterns` ([ZF13] 2.1, [SVZ13] 4, [K17] 4).
    """
    passes = Backprojection(network.module, _rule(rule, patterns), patterns)
    name = _module(network, layer)
    crop = network.inputs.photo_pixels(_read(image))
    x = network.inputs.prepare(crop[None]).to(network.device)
    with torch.no_grad():
        activations = passes.activations(x, name)[0].cpu()
    unit, place = _unit(name, activations, unit, place)
    signal = passes.project(x, Target(unit, place), name)[0].permute(1, 2, 0).cpu().numpy()
    value = activations[unit] if place is None else activations[unit, place[0], place[1]]
    return Projection(signal, crop, name, unit, place, float(value), rule)


# ---------------------------------------------------------------- saliency ([SVZ13] 3)
@dataclass(frozen=True)
class Saliency(Shown):
    """Which pixels speak for a class.

    values: (frame, frame) float32, at least 0; 0 where no crop reaches. picture: the frame, (frame, frame, 3) uint8.
    target: output of the network; name: of its class; probability: with the center crop.
    """

    values: np.ndarray
    picture: np.ndarray
    target: int
    name: str
    probability: float

    def pixels(self) -> np.ndarray:
        bright = max(float(np.quantile(self.values, BRIGHT)), 1e-12)
        return np.concatenate([self.picture, heatmap(self.values, 0, bright)], axis=1)


def saliency(
    network: Network,
    image: Picture,
    target: int | str | None = None,
    rule: str = "gradient",
    crops: str = "ten",
    patterns: Patterns | None = None,
) -> Saliency:
    """The largest size over colors of the signal of a class score, averaged over ten crops ([SVZ13] 3.1).

    target: an output, a class id or a class name; None: the likeliest class of the center crop. crops: "ten" or
    "center".
    """
    if crops not in ("ten", "center"):
        raise UserError(f"crops: {crops!r} is not one of ten, center")
    frame = shrink(_read(image), network.inputs.frame)
    output, probability = _target(network, network.inputs.center(frame[None]), target)
    values = saliency_maps(network, frame[None], np.array([output]), _rule(rule, patterns), crops, patterns)[0]
    return Saliency(values, frame, output, network.classes.names[output], probability)


# ---------------------------------------------------------------- occlusion ([ZF13] 4.2)
@dataclass(frozen=True)
class OcclusionMap(Shown):
    """The probability of a class with a gray square at each place.

    probability: (rows, columns). tops, lefts: px of the crop, of the squares' corners. size: side of the square in px.
    clean: the probability without the square. picture: the crop, (crop, crop, 3) uint8.
    """

    probability: np.ndarray
    tops: np.ndarray
    lefts: np.ndarray
    size: int
    clean: float
    target: int
    name: str
    picture: np.ndarray

    def pixels(self) -> np.ndarray:
        shown = heatmap(self.probability, 0, max(self.clean, float(self.probability.max())))
        side = self.picture.shape[0]
        return np.concatenate([self.picture, resize(shown, side, side)], axis=1)


def occlude(
    network: Network,
    image: Picture,
    target: int | str | None = None,
    square: float = 0.22,
    places: int = 15,
    batch: int = 32,
) -> OcclusionMap:
    """A gray square slides over the crop ([ZF13] 4.2); only what it can reach is computed again, exactly.

    square: its side / side of the crop. places: along each side. batch: places at once.
    """
    crop = network.inputs.photo_pixels(_read(image))
    x = network.inputs.prepare(crop[None])
    output, clean = _target(network, x, target)
    grid = explaining.square_places(network.inputs.crop, square, places)
    covered = covered_probabilities(network.module, x[0].to(network.device), grid, batch=batch)[..., output]
    name = network.classes.names[output]
    return OcclusionMap(covered, grid.tops, grid.lefts, grid.size, clean, output, name, crop)


# ---------------------------------------------------------------- class models ([SVZ13] 2)
@dataclass(frozen=True)
class ClassModel(Shown):
    """The picture that a class score likes best, (crop, crop, 3) uint8, and the score and posterior that it reaches."""

    picture: np.ndarray
    target: int
    name: str
    score: float
    posterior: float

    def pixels(self) -> np.ndarray:
        return self.picture


def class_model(
    network: Network,
    target: int | str,
    objective: str = "score",
    options: ClassModelOptions | None = None,
    seed: int = 0,
) -> ClassModel:
    """Gradient ascent on S_c(I) - lambda |I|^2 from the mean image ([SVZ13] 2).

    objective: "score", or "posterior" for comparison. options: iterations, step and regularizer.
    """
    if objective not in ("score", "posterior"):
        raise UserError(f"objective: {objective!r} is not one of score, posterior")
    output = network.classes.output(target)
    inputs = ascend(network, torch.tensor([output]), options or ClassModelOptions(), objective, seed)
    with torch.inference_mode():
        scores = network.scores(inputs)[0].double()
    picture = network.inputs.to_pixels(inputs)[0]
    posterior = float(scores.softmax(0)[output])
    return ClassModel(picture, output, network.classes.names[output], float(scores[output]), posterior)


# ---------------------------------------------------------------- top activations ([ZF13] Fig. 2)
@dataclass(frozen=True)
class TopActivations(Shown):
    """The images in which the feature maps of a layer fire strongest, strongest first.

    values: (channels, top). files: the images that were searched; rows: (channels, top), which of them. places:
    (channels, top, 2), row and column in the map. crops: (files, crop, crop, 3) uint8. shown: channels in the picture.
    """

    layer: str
    values: np.ndarray
    rows: np.ndarray
    places: np.ndarray
    files: Sequence[Path]
    crops: np.ndarray = field(repr=False)
    shown: Sequence[int] = ()

    def pixels(self) -> np.ndarray:
        rows: list[list[np.ndarray | None]] = []
        for unit in self.shown:
            rows.append([resize(self.crops[row], TILE, TILE) for row in self.rows[unit]])
        return mosaic(rows, gap=4, row_labels=[f"map {unit}" for unit in self.shown])


def top_activations(
    network: Network,
    folder: str | Path,
    layer: int | str,
    top: int = 9,
    units: Sequence[int] | None = None,
    batch: int = 32,
) -> TopActivations:
    """The `top` strongest images of every feature map of a layer among the images of a folder and its subfolders.

    units: the maps in the picture; None: the eight that fire strongest. batch: images in one forward pass.
    """
    name = _module(network, layer)
    files = _image_files(Path(folder))
    crops = np.stack([network.inputs.photo_pixels(read_rgb(file, upright=True)) for file in files])
    batches = (
        network.inputs.prepare(crops[start : start + batch]).to(network.device) for start in range(0, len(crops), batch)
    )
    best = strongest(network.module, batches, np.arange(len(files)), [name], min(top, len(files)))[name]
    values = best.values.numpy()
    if units is None:
        units = np.argsort(-values[:, 0], kind="stable")[:8].tolist()
    for unit in units:
        _check_unit(name, unit, len(values))
    return TopActivations(name, values, best.rows.numpy(), best.places.numpy(), files, crops, units)


# ---------------------------------------------------------------- patterns ([K17] 4)
def patterns(network: Network, folder: str | Path, n_images: int = 500, seed: int = 0, batch: int = 32) -> Patterns:
    """The patterns a+ of every convolution and linear layer ([K17] eq. 8), from images of the training set's kind.

    folder: images, in subfolders too, of which `n_images` are drawn by `seed`. Returns module name -> tensor shaped as
    the module's weight, for the rules patternnet and patternattribution.
    """
    files = _image_files(Path(folder))
    order = np.random.default_rng([seed, len(files)]).permutation(len(files))[:n_images]

    def batches() -> Any:
        for start in range(0, len(order), batch):
            part = [files[row] for row in order[start : start + batch]]
            crops = np.stack([network.inputs.photo_pixels(read_rgb(file, upright=True)) for file in part])
            yield network.inputs.prepare(crops).to(network.device)

    return positive_patterns(network.module, batches())


# ---------------------------------------------------------------- everything at once
@dataclass(frozen=True)
class Explanation(Shown):
    """Every method on one photograph: the picture, and its classes, units and probabilities as plain values."""

    picture: np.ndarray
    numbers: Mapping[str, Any]

    def pixels(self) -> np.ndarray:
        return self.picture


def explain(network: Network, image: Picture, patterns: Patterns | None = None, name: str = "") -> Explanation:
    """One picture of a photograph through every method of the three papers.

    patterns: of the network; without them PatternNet and PatternAttribution are not shown. name: under the photograph.
    """
    photo = _read(image)
    label = name or (Path(image).name if isinstance(image, str | Path) else "photograph")
    estimated = None if patterns is None else explaining.Estimated(patterns, "given")
    explained = explaining.explain(ExplainOptions(), network, photo, label, estimated)
    return Explanation(explained.picture, explained.numbers)


# ---------------------------------------------------------------- what is asked for
def _read(image: Picture) -> np.ndarray:
    """A picture as an array (h, w, 3) uint8."""
    if isinstance(image, str | Path):
        return read_rgb(Path(image), upright=True)
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise UserError(f"image: an array (h, w, 3) of uint8 is needed, not {pixels.shape} of {pixels.dtype}")
    return pixels


def _rule(rule: str, patterns: Patterns | None) -> str:
    if rule not in METHODS:
        raise UserError(f"rule: {rule!r} is not one of {', '.join(METHODS)}")
    if METHODS[rule].weights is not None and patterns is None:
        raise UserError(f"rule: {rule} needs patterns; estimate them with zfnet.patterns(network, folder)")
    return rule


def _module(network: Network, layer: int | str) -> str:
    """The module of a layer's number or name."""
    if isinstance(layer, int):
        return network.maps_of(layer)
    if layer not in dict(network.module.named_modules()):
        known = ", ".join(network.layers.values())
        raise UserError(f"layer: {network.title} has no module {layer!r}; its layers are {known}")
    return layer


def _unit(
    name: str, activations: Tensor, unit: int | None, place: tuple[int, int] | None
) -> tuple[int, tuple[int, int] | None]:
    """The unit and its place in activations (c, h, w) or (d,): those asked for, else the strongest."""
    if unit is not None:
        _check_unit(name, unit, len(activations))
    if activations.ndim == 1:
        return (int(activations.argmax()) if unit is None else unit), None
    if unit is None:
        unit = int(activations.flatten(1).amax(1).argmax())
    height, width = activations.shape[1:]
    if place is None:
        strongest_place = int(activations[unit].argmax())
        return unit, (strongest_place // width, strongest_place % width)
    if not (0 <= place[0] < height and 0 <= place[1] < width):
        raise UserError(f"place: {place} lies outside the {height} x {width} map of {name}")
    return unit, place


def _check_unit(name: str, unit: int, count: int) -> None:
    if not 0 <= unit < count:
        raise UserError(f"unit: {name} has units 0 to {count - 1}, not {unit}")


def _target(network: Network, x: Tensor, target: int | str | None) -> tuple[int, float]:
    """The output that is asked for, or the likeliest, and its probability for the input x (1, 3, h, w)."""
    with torch.inference_mode():
        probabilities = network.scores(x)[0].double().softmax(0)
    output = int(probabilities.argmax()) if target is None else network.classes.output(target)
    return output, float(probabilities[output])


def _image_files(folder: Path) -> list[Path]:
    """The images of a folder and its subfolders, by path."""
    if not folder.is_dir():
        raise UserError(f"folder: {folder} is not a folder; give one that holds images")
    files = [folder / name for name in list_images(folder).images]
    if not files:
        raise UserError(f"folder: {folder} holds no images")
    return files
