"""Invariance: how far do the features move when the picture is moved, enlarged or turned? ([ZF13] section 4, Fig. 5)

For a picture x, a transformation T_a (vertical translation, scale, rotation) and the features f_l of layer l,

    distance_l(a) = ||f_l(T_a x) - f_l(x)|| / D_l          probability(a) = softmax(scores(T_a x))[true class]

at l = 1 and the last hidden layer (7). [NS] The paper calls its axis "canonical distance" without saying what it
divides by. Ours is D_l, the mean distance between f_l of two different images drawn at random: 1 means "as far as
another picture", at every layer, so that the layers can be compared.

The network's whole frame is transformed about its center and the center crop is taken afterwards, so that real picture
comes in from outside the crop; what lies beyond the frame repeats its border (a constant border would add an edge).
Translations are given at the papers' 224 px, scale with the crop and are whole pixels, so that they are slices: a half
pixel would blur, and a blur moves the features of small pictures more than the shift does. [NS] Scales and rotations
are drawn on the frame at four times its resolution and shrunk again, the identity as well, so that every amount blurs
equally; x is the identity of its kind. (Bilinear in the frame itself, the first step of scale was mostly blur.)

Figure 5 shows five images. Over many, drawn by seed, we add: the mean curve with its bootstrap band; the area under
it, divided by the axis' length (the mean distance); how much further layer 1 moves than layer l over shifts of at most
a tenth of the picture, image by image; how linear layer l is in |shift|, as R^2 = 1 - SS_res / SS_tot of
the mean curve against its least-squares line through the origin; how straight the features' path is ("quasi-linear"),
as its chord over its length; and the share of images that keep their predicted class under a few transformations, of
all images and of those that are classified correctly, as the paper's are.

A shift by a tenth and a turn by 90 degrees are not alike. `equally_far` compares a shift (an enlargement) with the turn
of the curve that changes the pixels most nearly as much, as the root mean square over the crop; pairs that differ by
more than a tenth are left out. It is the share of them that keep their class moved, minus turned, image by image.
Objects that look the same when they are turned are the paper's exception. `symmetry` is Spearman's rank correlation,
over images that are classified correctly, of how much a picture resembles its turned ones (the mean correlation of
their pixels) with how many of the turns keep its class.
Images whose class the network does not know have no probability of the true class; all else is measured on them too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.core.statistics import Measure
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.invariance import figure as invariance_figure
from zfnet.experiments.invariance.curves import Curves, equally_far, pixel_change, pixel_correlation, symmetry
from zfnet.experiments.invariance.options import InvarianceOptions
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network
from zfnet.networks.predict import classes_or_guesses, correct_images, predict
from zfnet.networks.walk import WHOLE, outputs
from zfnet.pipeline.record import Outcome, skipped

FIGURE, PICTURES = "invariance.svg", "invariance_images.jpg"
PAPER_CROP = 224  # px, at which translations are given
PAIRS = 256  # of images, over which D_l is the mean
TENTH = 22.4  # px at 224: a small shift
FINER = 4  # how much finer than the frame scales and rotations are drawn
IDENTITY = {"translation": 0.0, "scale": 1.0, "rotation": 0.0}
STABILITY = {  # share of images keeping their class: (kind, amounts; kept means kept under all of them)
    "translation of 10 %": ("translation", (-TENTH, TENTH)),
    "scale 1.2": ("scale", (1.2,)),
    "rotation by 30 degrees": ("rotation", (30.0,)),
    "rotation by 90 degrees": ("rotation", (90.0,)),
    "rotation by 180 degrees": ("rotation", (180.0,)),
}


def transform(frame: np.ndarray, kind: str, amounts: Sequence[float] | np.ndarray) -> np.ndarray:
    """The frame (h, w, 3) under each of the amounts, (a, h, w, 3): px down, a factor of scale, or degrees.

    About its center, rotation counter-clockwise; beyond the border the border repeats.
    """
    if kind == "translation":
        return np.stack([_warp(frame, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, amount]])) for amount in amounts])
    if kind not in IDENTITY:
        raise ValueError(f"unknown transformation {kind!r}")
    height, width = frame.shape[:2]
    fine = cv2.resize(frame, (FINER * width, FINER * height), interpolation=cv2.INTER_LANCZOS4)
    center = ((FINER * width - 1) / 2, (FINER * height - 1) / 2)
    transformed = []
    for amount in amounts:
        turn, zoom = (float(amount), 1.0) if kind == "rotation" else (0.0, float(amount))
        moved = _warp(fine, cv2.getRotationMatrix2D(center, turn, zoom))
        transformed.append(cv2.resize(moved, (width, height), interpolation=cv2.INTER_AREA))
    return np.stack(transformed)


def _warp(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Bilinear, of the same size; beyond the border the border repeats."""
    height, width = frame.shape[:2]
    return cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def pictures(inputs: Inputs, images: Images, row: int, kind: str, amounts: Sequence[float] | np.ndarray) -> np.ndarray:
    """Center crops (a, crop, crop, 3) uint8 of one image under each amount.

    Translations are given in px at 224 and rounded to whole pixels of the frame.
    """
    if kind == "translation":
        amounts = np.rint(np.asarray(amounts) * inputs.crop / PAPER_CROP)
    frame = np.ascontiguousarray(inputs.frames(images.frames([row]))[0])
    return inputs.center_pixels(transform(frame, kind, amounts))


def views(inputs: Inputs, images: Images, row: int, kind: str, amounts: Sequence[float] | np.ndarray) -> Tensor:
    """The same as network inputs (a, 3, crop, crop)."""
    return inputs.prepare(pictures(inputs, images, row, kind, amounts))


def respond(network: Network, inputs: Tensor, layers: tuple[int, ...]) -> tuple[dict[int, Tensor], Tensor]:
    """Features (b, d) of each layer and class probabilities (b, k), from one forward pass."""
    names = {n: network.layer(n) for n in layers}
    with torch.inference_mode():
        kept = outputs(network.module, inputs.to(network.device), [*names.values(), WHOLE])
    features = {n: kept[name].flatten(1) for n, name in names.items()}
    return features, kept[WHOLE].double().softmax(1).cpu()


@dataclass(frozen=True)
class Asked:
    """One image, its class (-1: unknown), and how it is transformed; `unit` is D_l by layer."""

    row: int
    label: int
    kind: str
    amounts: np.ndarray
    unit: dict[int, float]
    batch: int


@dataclass(frozen=True)
class Response:
    """The curves of one image over the amounts (a,), as in Curves."""

    distances: dict[int, np.ndarray]
    straightness: dict[int, float]
    probability: np.ndarray
    kept: np.ndarray
    change: np.ndarray
    pixel_correlation: np.ndarray


def examine(asked: Asked, network: Network, images: Images) -> Response:
    """The response of one image."""
    shown = pictures(network.inputs, images, asked.row, asked.kind, [IDENTITY[asked.kind], *asked.amounts])
    inputs = network.inputs.prepare(shown).split(asked.batch)
    parts = [respond(network, part, tuple(asked.unit)) for part in inputs]
    distances, straight = {}, {}
    for n, unit in asked.unit.items():
        features = torch.cat([part[n] for part, _ in parts])
        distances[n] = (features[1:] - features[0]).norm(dim=1).cpu().numpy() / unit
        straight[n] = straightness(features[1:])
    answers = torch.cat([part for _, part in parts]).numpy()
    classes, guesses = answers[1:], answers.argmax(1)
    unknown = np.full(len(asked.amounts), np.nan)
    probability = classes[:, asked.label] if asked.label >= 0 else unknown
    kept = guesses[1:] == guesses[0]
    return Response(distances, straight, probability, kept, pixel_change(shown), pixel_correlation(shown))


def measure(
    network: Network,
    images: Images,
    rows: np.ndarray,
    kind: str,
    amounts: np.ndarray,
    unit: dict[int, float],
    batch: int = 128,
    workers: Workers = ALONE,
) -> Curves:
    """Canonical distances and the true class's probability of each image under each amount; `unit` is D_l."""
    labels = network.classes.labels(images.index)
    asked = [Asked(int(row), int(labels[row]), kind, amounts, unit, batch) for row in rows]
    responses = list(track(workers.map(examine, asked, network, images), f"invariance, {kind}", len(asked)))
    return Curves(
        amounts,
        {n: np.stack([response.distances[n] for response in responses]) for n in unit},
        {n: np.array([response.straightness[n] for response in responses]) for n in unit},
        np.stack([response.probability for response in responses]),
        np.stack([response.kept for response in responses]),
        np.stack([response.change for response in responses]),
        np.stack([response.pixel_correlation for response in responses]),
    )


def stability(network: Network, images: Images, rows: np.ndarray, workers: Workers = ALONE) -> dict[str, np.ndarray]:
    """Whether the most probable class stays under each of STABILITY, 0 or 1, (n,) each."""
    of_images = track(workers.map(stays, rows.tolist(), network, images), "stability of the answer", len(rows))
    kept = np.array(list(of_images), dtype=np.float64).reshape(-1, len(STABILITY))
    return dict(zip(STABILITY, kept.T, strict=True))


def stays(row: int, network: Network, images: Images) -> list[bool]:
    """Whether the most probable class of one image stays, under each of STABILITY."""
    moved = []
    for kind, amounts in STABILITY.values():
        moved.append(views(network.inputs, images, row, kind, [IDENTITY[kind], *amounts]))
    _, classes = respond(network, torch.cat(moved), ())
    parts = classes.argmax(1).split([len(part) for part in moved])
    return [bool((part[1:] == part[0]).all()) for part in parts]


def is_correct(network: Network, images: Images, rows: np.ndarray) -> np.ndarray:
    """Whether the center crops of `rows` are classified correctly, (n,) bool; all, where no image has a known class."""
    chooser = network.chooser or network
    labels = classes_or_guesses(network, images, rows)
    parts = [p.argmax(1).cpu().numpy() for _, p in predict(chooser, images, rows, "center")]
    return np.concatenate(parts) == labels


def mean_distance(network: Network, images: Images, layers: tuple[int, ...], seed: int) -> dict[int, float]:
    """D_l: the mean distance between the features of two different images, over up to PAIRS random pairs."""
    order = np.random.default_rng([seed, 11]).permutation(len(images))[: 2 * min(PAIRS, len(images) // 2)]
    if len(order) == 0:
        raise UserError("invariance: needs at least two images; raise data.val_per_class")
    distances: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for pairs in np.array_split(order.reshape(-1, 2), -(-len(order) // 64)):
        features, _ = respond(network, network.center(images.frames(pairs.ravel())), layers)
        for layer, rows in features.items():
            distances[layer].append((rows[0::2] - rows[1::2]).norm(dim=1))
    return {layer: float(torch.cat(parts).mean()) for layer, parts in distances.items()}


def whole_shifts(most: float, steps: int, crop: int) -> np.ndarray:
    """About `steps` shifts (a,) from -most to most, in px at 224, each a whole number of pixels at `crop`."""
    return np.unique(np.rint(np.linspace(-most, most, steps) * crop / PAPER_CROP)) * PAPER_CROP / crop


def linearity(amounts: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """R^2 of `distances` (..., a) against |amounts| (a,) by least squares through the origin; nan for a constant."""
    x = np.abs(amounts)
    slope = (distances * x).sum(-1, keepdims=True) / (x * x).sum()
    residual = ((distances - slope * x) ** 2).sum(-1)
    total = ((distances - distances.mean(-1, keepdims=True)) ** 2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 1 - residual / total, np.nan)


def straightness(path: Tensor) -> float:
    """Chord over length of the feature path (a, d): 1 where the features move along a straight line, 0 for a loop."""
    length = (path[1:] - path[:-1]).norm(dim=1).sum()
    return float((path[-1] - path[0]).norm() / length) if length > 0 else float("nan")


def area(amounts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The area under `values` (..., a) over the length of the axis: the mean height of the curve."""
    return np.trapezoid(values, amounts, axis=-1) / (amounts[-1] - amounts[0])


def run(
    options: InvarianceOptions, network: Network, images: Images, out: Path, seed: int, workers: Workers = ALONE
) -> Outcome:
    """Fig. 5 for `n_images` and the measures over `n_score`; writes invariance.svg and invariance_images.jpg."""
    layers = (1, network.depth)
    unit = mean_distance(network, images, layers, seed)
    if constant := [f"layer {n}" for n, distance in unit.items() if not distance > 0]:
        return skipped(f"the features of {' and '.join(constant)} are the same for all images")
    rows = np.random.default_rng([seed, 13]).permutation(len(images))[: options.n_score]
    shown = np.array(list(correct_images(network, images, seed, options.n_images)) or rows[: options.n_images])
    axes = {
        "translation": whole_shifts(options.translation, options.steps, network.inputs.crop),
        "scale": np.linspace(1.0, options.scale, options.steps),
        "rotation": np.linspace(0.0, options.rotation, options.steps),
    }
    shown_curves: dict[str, Curves] = {}
    scored_curves: dict[str, Curves] = {}
    for kind, amounts in axes.items():
        shown_curves[kind] = measure(network, images, shown, kind, amounts, unit, options.batch, workers)
        scored_curves[kind] = measure(network, images, rows, kind, amounts, unit, options.batch, workers)
    names = _names(images, shown)
    invariance_figure.draw_curves(shown_curves, scored_curves, names, layers, out / FIGURE)
    extremes = _extremes(options, network.inputs, images, shown)
    invariance_figure.draw_images(network.inputs, images, shown, extremes, names, out / PICTURES)
    known = network.classes.labels(images.index)[rows] >= 0
    correct = is_correct(network, images, rows)
    stable = stability(network, images, rows, workers)
    turned = scored_curves["rotation"]
    far = {kind: equally_far(scored_curves[kind], turned)[correct] for kind in ("translation", "scale")}
    numbers: dict[str, Any] = {
        "n_images": len(rows),
        "n_known": int(known.sum()),  # of these the network knows the class
        "shown": [str(images.index.paths[row]) for row in shown],
        "unit": {f"layer{n}": value for n, value in unit.items()},
        **{kind: summarize(kind, curves, seed) for kind, curves in scored_curves.items()},
        "n_correct": int(correct.sum()),
        "stability": _shares(stable, seed),
        "stability_of_correct": _shares({name: values[correct] for name, values in stable.items()}, seed),
        "equally_far": _shares({f"{kind} minus rotation": _known(values) for kind, values in far.items()}, seed),
        "symmetry": symmetry(turned, correct, seed).to_json(),
    }
    return Outcome(numbers, _figures(len(shown), len(rows), layers), _headline(numbers, layers))


def _shares(samples: Mapping[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Means over images with their intervals."""
    return {name: Measure.bootstrapped(values, seed, "images").to_json() for name, values in samples.items()}


def summarize(kind: str, curves: Curves, seed: int) -> dict[str, Any]:
    """Mean curves and their measures, each measure with a bootstrap interval over images.

    "probability" is left out where the network knows the class of no image.
    """
    amounts = curves.amounts

    def mean_over_images(values: np.ndarray) -> dict[str, Any]:
        return Measure.bootstrapped(values, seed, "images").to_json()

    result: dict[str, Any] = {"amounts": amounts.tolist()}
    probability = curves.probability[np.isfinite(curves.probability).all(1)]
    if len(probability):
        result["probability"] = {
            "curve": probability.mean(0).tolist(),
            "area": mean_over_images(area(amounts, probability)),
        }
    small = (amounts != 0) & (np.abs(amounts) <= TENTH)
    for n, distances in curves.distances.items():
        result[f"layer{n}"] = {
            "curve": distances.mean(0).tolist(),
            "area": mean_over_images(area(amounts, distances)),
            "largest": mean_over_images(distances.max(1)),
        }
        if kind == "translation" and small.any():
            further = curves.distances[1] - distances
            result[f"layer{n}"]["layer1_further"] = mean_over_images(further[:, small].mean(1))
        if kind != "rotation":  # turning comes back to where it began
            shift = amounts - IDENTITY[kind]
            result[f"layer{n}"]["linearity"] = _linearity(shift, distances, seed).to_json()
            result[f"layer{n}"]["straightness"] = mean_over_images(_known(curves.straightness[n]))
    return result


def _extremes(options: InvarianceOptions, inputs: Inputs, images: Images, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Column name -> (n, crop, crop, 3) pictures: what the far ends of the axes look like."""
    ends = {
        "up": ("translation", -options.translation),
        "down": ("translation", options.translation),
        f"x {options.scale:g}": ("scale", options.scale),
        "30 deg": ("rotation", 30.0),
        "90 deg": ("rotation", 90.0),
        "180 deg": ("rotation", 180.0),
    }
    return {
        name: np.concatenate([pictures(inputs, images, row, kind, [amount]) for row in rows])
        for name, (kind, amount) in ends.items()
    }


def _known(values: np.ndarray) -> np.ndarray:
    """Without the images that have no value, as those whose features do not move: their path has no length."""
    return values[np.isfinite(values)]


def _linearity(shift: np.ndarray, distances: np.ndarray, seed: int) -> Measure:
    """R^2 of the mean curve of distances (n, a)."""
    return Measure.bootstrapped(distances, seed, "images", lambda values, axis: linearity(shift, values.mean(axis)))


def _names(images: Images, rows: np.ndarray) -> list[str]:
    """Class names of the shown images, numbered where a class comes twice."""
    names = [images.index.names[images.index.labels[row]] for row in rows]
    return [f"{name} {names[:i].count(name) + 1}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _figures(n_shown: int, n_score: int, layers: tuple[int, int]) -> dict[str, str]:
    return {
        FIGURE: f"Feature distance at layers {layers[0]} and {layers[1]} and probability of the true class under "
        f"translation, scale and rotation: {n_shown} images and the mean of {n_score} with its band.",
        PICTURES: f"The {n_shown} images, untouched and at the far ends of the three transformations.",
    }


def _headline(numbers: dict[str, Any], layers: tuple[int, int]) -> str:
    low, high = (numbers["translation"][f"layer{n}"]["area"]["value"] for n in layers)
    return f"translation moves layer {layers[0]} by {low:.2f}, layer {layers[1]} by {high:.2f} of another image"
