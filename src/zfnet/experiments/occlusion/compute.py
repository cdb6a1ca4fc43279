"""Occlusion: which part of the picture does the answer rest on? ([ZF13] section 4.2, Fig. 7)

A gray square slides over the image. With the square at place q, and u the layer-5 map with the strongest total
response in the *unoccluded* image (of the last layer with maps, where the network has no layer 5),

    (b) activity(q)    = sum over h w of map u            (d) probability(q) = softmax(scores)[true class]
    (e) label(q)       = argmax over k of scores          (c) map u projected to pixels by the deconvnet, and in
                                                              the other images in which it responds most

[NS] and our choices: the square's side and stride; its color, the mean image (0 after the mean is subtracted) or
plain 128; "layer 5" is the last module of layer 5 (its pool where it has one). Places lie on a regular grid wholly
inside the crop, centered, so that what the stride leaves over is shared by both borders.

Figure 7 shows three images. The same question is asked of many: does the place of the deepest drop of the true
class's probability, by the square's center, fall into the object's box? Tied places count by their share. Chance is
the share of places inside. And of (b): where the map's activity is lowest, how much of its projection (c), the share
of |pixel|^2, lies under the square, against the mean over all places? Images are drawn by seed among those that are
classified correctly on the center crop (of a wrong one, the drop says little) and, for the score against the boxes,
whose box has places both inside and outside.

Objects lie in the middle, and so does what a network with random weights attends to. So each image's maps are also
scored against the boxes (and the projections) of all other images, which are as central (Measure.own_above_others):

    place_above_others       the deepest drop inside the own box, minus inside the others'
    drop_effect              drop inside minus outside the own box, minus the others', in standard deviations
    projection_above_others  share of the own projection under the square at the lowest activity, minus the others'
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.incremental import Grid, Occluder, Watch, respond
from zfnet.core.errors import UserError
from zfnet.core.progress import track
from zfnet.core.statistics import Measure
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.experiments.occlusion.figure import Card, draw
from zfnet.experiments.occlusion.options import OcclusionOptions
from zfnet.experiments.occlusion.other_images import N_SEARCHED, map_totals, project_map, strongest_others
from zfnet.networks.boxes import crop_boxes
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network
from zfnet.networks.predict import classes_or_guesses, correct_images
from zfnet.networks.walk import WHOLE, outputs
from zfnet.pipeline.record import Outcome, skipped

FIGURE = "occlusion.png"
FOLLOWED = 5  # layer whose strongest map is followed


@dataclass(frozen=True)
class Maps:
    """Fig. 7 b, d, e of one image, each (r, c) over the grid, and what the unoccluded image gives."""

    channel: int  # u, the strongest map
    activity: np.ndarray
    probability: np.ndarray
    label: np.ndarray  # int64
    clean_activity: float
    clean_probability: float
    projected: np.ndarray | None = None  # (r, c) share of the projection's energy under the square


@dataclass(frozen=True)
class Square:
    """The gray square, the same for all images: its places and what it shows, an input (3, crop, crop).

    layer: name of that whose strongest map is followed. batch: places at once.
    """

    places: Grid
    fill: Tensor
    layer: str
    batch: int


def grid(extent: int, size: int, stride: int) -> Grid:
    """All places of the square in an extent x extent crop. Raises UserError where it does not fit."""
    if size >= extent:
        raise UserError(f"occlusion.square: {size} px leaves nothing of the {extent} px image; choose a smaller square")
    free = extent - size
    steps = np.arange(0, free + 1, stride, dtype=np.int64) + free % stride // 2
    return Grid(size, steps, steps)


def slide(module: nn.Module, image: Tensor, label: int, fill: Tensor, places: Grid, name: str, batch: int) -> Maps:
    """The three maps of one network input (3, h, w), with `fill` (3, h, w) showing in the square.

    name: the layer whose strongest map is followed.
    """
    with torch.inference_mode():
        clean = outputs(module, image[None], [name, WHOLE])
    totals = clean[name][0].sum((1, 2))
    channel = int(totals.argmax())
    covered = respond(module, image, Occluder(places.size, places.corners, fill), Watch(name, channel), batch=batch)
    assert covered.totals is not None and covered.scores is not None
    scores, shape = covered.scores.cpu(), (len(places.tops), len(places.lefts))
    return Maps(
        channel,
        covered.totals.cpu().numpy().reshape(shape),
        _softmax(scores)[:, label].reshape(shape),
        scores.argmax(1).numpy().reshape(shape),
        float(totals[channel]),
        float(_softmax(clean[WHOLE].cpu())[0, label]),
    )


def examine(asked: tuple[int, int], network: Network, images: Images, square: Square) -> tuple[Maps, np.ndarray]:
    """The maps of one image, asked for by its row and its class, and the projection (h, w, 3) of the strongest map."""
    row, label = asked
    image = network.center(images.frames([row]))
    fill = square.fill.to(network.device)
    maps = slide(network.module, image[0], label, fill, square.places, square.layer, square.batch)
    (projection,) = project_map(network, images, [row], maps.channel, square.layer)
    return replace(maps, projected=energy_under(projection, square.places)), projection


def energy_under(projection: np.ndarray, places: Grid) -> np.ndarray:
    """Share (r, c) of the sum of squares of a projection (h, w, 3) that lies under the square; 0 where it is 0."""
    energy = np.square(projection, dtype=np.float64).sum(2)
    sums = np.pad(energy.cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # of all above and to the left
    top, left, side = places.tops[:, None], places.lefts[None], places.size
    under = sums[top + side, left + side] - sums[top, left + side] - sums[top + side, left] + sums[top, left]
    return under / (sums[-1, -1] or 1.0)


def run(
    options: OcclusionOptions, network: Network, images: Images, out: Path, seed: int, workers: Workers = ALONE
) -> Outcome:
    """Fig. 7 for `n_images` and the score against the boxes for `n_score`; writes occlusion.png.

    Skipped where no image is classified correctly. Raises UserError where the square does not fit the crop.
    """
    inputs = network.inputs
    places = grid(inputs.crop, options.square, options.stride)
    number = FOLLOWED if FOLLOWED in network.feature_maps else max(network.feature_maps)
    layer = network.layer(number)
    square = Square(places, gray_input(inputs, options.gray), layer, options.batch)
    rows = list(correct_images(network, images, seed, max(options.n_images, options.n_score)))
    if not rows:
        return skipped("the network classifies no image correctly; train it longer with train.epochs")
    labels = classes_or_guesses(network, images, np.array(rows)).tolist()
    asked = list(zip(rows, labels, strict=True))
    searched = np.sort(np.random.default_rng([seed, 7]).permutation(len(images))[:N_SEARCHED])
    totals = map_totals(network, images, searched, layer, options.batch)
    maps: list[Maps] = []
    cards: list[Card] = []
    answers = track(workers.map(examine, asked, network, images, square), "occluding images", len(asked))
    for (row, label), (answer, projection) in zip(asked, answers, strict=True):
        if len(cards) < options.n_images:
            others = strongest_others(totals[:, answer.channel], searched, row)
            projected = project_map(network, images, others, answer.channel, layer)
            cards.append(_card(network, images, row, label, answer, square, projection, projected))
        maps.append(answer)
    inside = [places.inside(crop_boxes(inputs, images, row)) for row in rows]
    draw(cards, out / FIGURE)
    shown = zip(rows, maps[: len(cards)], strict=False)
    numbers = {
        "selection": _selection(network, images, seed),
        "square": options.square,
        "stride": options.stride,
        "gray": options.gray,
        "n_places": len(places.corners),
        "layer": layer,
        **score(maps[: options.n_score], inside[: options.n_score], seed),
        "shown": [_facts(network, images, row, answer) for row, answer in shown],
    }
    alt = (
        f"{len(cards)} images with a gray square; the strongest layer-{number} map projected to pixels, here and in "
        "other images; for each place of the square its activity, the probability of the true class and the most "
        "probable class."
    )
    return Outcome(numbers, {FIGURE: alt}, _headline(numbers))


def _selection(network: Network, images: Images, seed: int) -> str:
    if (network.classes.labels(images.index) < 0).all():
        return f"drawn by seed {seed}; the network knows the class of no image, so its guess stands for the class"
    return f"drawn by seed {seed} among the images classified correctly on the center crop"


def score(maps: list[Maps], inside: list[np.ndarray], seed: int) -> dict[str, Any]:
    """Where the answer is hurt, against the boxes: `inside` is (r, c) bool for each image.

    Images without places on both sides of the box are left out; `n_scored` says how many remain.
    """
    pairs = [(m, box) for m, box in zip(maps, inside, strict=True) if box.any() and not box.all()]
    scored, boxes = [m for m, _ in pairs], [box for _, box in pairs]
    table = np.array([_row(m, box) for m, box in pairs]).reshape(-1, 5)
    hit, chance, activity_hit, within, outside = table.T
    samples = {
        "deepest_drop_in_box": hit,
        "chance": chance,
        "above_chance": hit - chance,
        "deepest_activity_in_box": activity_hit,
        "activity_above_chance": activity_hit - chance,
        **_projections(maps),
        "drop_inside": within,
        "drop_outside": outside,
        "drop_difference": within - outside,
        "clean_probability": np.array([m.clean_probability for m in maps]),
        "lowest_probability": np.array([m.probability.min() for m in maps]),
    }
    measures = {name: Measure.bootstrapped(values, seed, "images") for name, values in samples.items()}
    measures |= {
        "place_above_others": Measure.own_above_others(place_scores(scored, boxes), seed),
        "drop_effect": Measure.own_above_others(drop_scores(scored, boxes), seed, standardized=True),
        "projection_above_others": Measure.own_above_others(projection_scores(maps), seed),
    }
    return {"n_scored": len(pairs), **{name: measured.to_json() for name, measured in measures.items()}}


def place_scores(maps: list[Maps], boxes: list[np.ndarray]) -> np.ndarray:
    """(n, n): how much of the deepest drop of image i (tied places share it) lies inside the box of image j."""
    scores = np.zeros((len(maps), len(maps)))
    for i, m in enumerate(maps):
        deepest = m.probability == m.probability.min()
        scores[i] = [box[deepest].mean() for box in boxes]
    return scores


def drop_scores(maps: list[Maps], boxes: list[np.ndarray]) -> np.ndarray:
    """(n, n): mean drop of image i's probability inside the box of image j minus outside it."""
    scores = np.zeros((len(maps), len(maps)))
    for i, m in enumerate(maps):
        drop = m.clean_probability - m.probability
        scores[i] = [drop[box].mean() - drop[~box].mean() for box in boxes]
    return scores


def projection_scores(maps: list[Maps]) -> np.ndarray:
    """(n, n): share of image j's projection under the square where the activity of image i's map is lowest."""
    projected = [m.projected for m in maps if m.projected is not None]
    scores = np.zeros((len(projected), len(projected)))
    for i, m in enumerate(m for m in maps if m.projected is not None):
        quietest = m.activity == m.activity.min()
        scores[i] = [of_image[quietest].mean() for of_image in projected]
    return scores


def _row(maps: Maps, inside: np.ndarray) -> tuple[float, ...]:
    drop = maps.clean_probability - maps.probability
    deepest, quietest = maps.probability == maps.probability.min(), maps.activity == maps.activity.min()
    values = inside[deepest].mean(), inside.mean(), inside[quietest].mean(), drop[inside].mean(), drop[~inside].mean()
    return tuple(float(value) for value in values)


def _projections(maps: list[Maps]) -> dict[str, np.ndarray]:
    """Share of each projection that is covered where the map's activity is lowest, and on average; {} without any."""
    known = [(m.projected, m.activity == m.activity.min()) for m in maps if m.projected is not None]
    seen = [(projected[quietest].mean(), projected.mean()) for projected, quietest in known]
    if not seen:
        return {}
    lowest, anywhere = np.array(seen).T
    return {
        "projection_at_lowest_activity": lowest,
        "projection_anywhere": anywhere,
        "projection_difference": lowest - anywhere,
    }


def gray_input(inputs: Inputs, gray: str) -> Tensor:
    """What the square shows, as a network input (3, crop, crop)."""
    if gray == "mean":
        return torch.zeros(3, inputs.crop, inputs.crop)
    return inputs.prepare(np.full((1, inputs.crop, inputs.crop, 3), 128, dtype=np.uint8))[0]


def _softmax(scores: Tensor) -> np.ndarray:
    return scores.double().softmax(1).numpy()


def _card(
    network: Network,
    images: Images,
    row: int,
    label: int,
    maps: Maps,
    square: Square,
    projection: np.ndarray,
    others: np.ndarray,
) -> Card:
    places = square.places
    deepest = np.unravel_index(maps.probability.argmin(), maps.probability.shape)
    top, left = int(places.tops[deepest[0]]), int(places.lefts[deepest[1]])
    covered = slice(top, top + places.size), slice(left, left + places.size)
    picture = network.inputs.center_pixels(images.frames([row]))[0].copy()
    picture[covered] = network.inputs.to_pixels(square.fill[None])[0][covered]
    return Card(
        picture=picture,
        boxes=crop_boxes(network.inputs, images, row),
        centers=places.centers,
        channel=maps.channel,
        projection=projection,
        others=others,
        activity=maps.activity,
        probability=maps.probability,
        label=maps.label,
        truth=label,
        names=network.classes.names,
    )


def _facts(network: Network, images: Images, row: int, maps: Maps) -> dict[str, Any]:
    deepest = maps.probability.argmin()
    return {
        "file": str(images.index.paths[row]),
        "class": images.index.names[images.index.labels[row]],
        "map": maps.channel,
        "clean_probability": maps.clean_probability,
        "lowest_probability": float(maps.probability.min()),
        "class_at_lowest": network.classes.names[maps.label.flat[deepest]],
        "clean_activity": maps.clean_activity,
        "lowest_activity": float(maps.activity.min()),
    }


def _headline(numbers: dict[str, Any]) -> str:
    if not numbers["n_scored"]:
        lowest = numbers["lowest_probability"]["value"]
        return f"p(true class) falls to {lowest:.2f} under the square on average; no boxes to score against"
    hit, chance = numbers["deepest_drop_in_box"]["value"], numbers["chance"]["value"]
    return f"deepest drop inside the box for {hit:.0%} of {numbers['n_scored']} images (chance {chance:.0%})"
