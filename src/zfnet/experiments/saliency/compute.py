"""[SVZ13] section 3: which pixels matter for a class, from one backward pass.

    M_ij = max over colors of | dS_c / dI_ij |        at the image I, S_c the unnormalized score of class c

averaged over ten cropped and reflected sub-images: each crop's map is put back in its place in the frame (the
mirrored ones mirrored back) and every pixel is divided by the number of crops that cover it; 0 where none does.
Any method of zfnet.attribution.rules may take the gradient's place.

In numbers [our choice]: the share of M that falls inside the true box against the box's share of the frame, and how
often the maximum of M lies in the box ("pointing"), over many images of the validation split. Objects lie in the
middle, where every map is brighter; `above_others` is that excess minus the same map's excess in the boxes of the other
images, which are as central (Measure.own_above_others), and `pointing_above_others` likewise.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zfnet.attribution.maps import saliency_maps
from zfnet.core.progress import track
from zfnet.core.statistics import Measure
from zfnet.data.cache.images import Images
from zfnet.experiments.saliency import identity
from zfnet.experiments.saliency.options import SaliencyOptions
from zfnet.networks.network import Network, class_names
from zfnet.pipeline.record import Outcome
from zfnet.plots.grid import fit, heatmap, mosaic, write

FIGURE = "saliency.png"
TILE = 128  # px
PER_ROW = 4  # images in a row of the figure
IDENTITY = "deconvnet.svg"
COMPARED = 4  # images on which the backward steps of gradient and deconvnet are compared
BRIGHT = 0.995  # quantile of a map that is shown as the brightest


def run(options: SaliencyOptions, network: Network, images: Images, out: Path, seed: int) -> Outcome:
    """Pictures beside the saliency maps of their most likely class, and how much saliency falls into the boxes."""
    order = np.random.default_rng([seed, 3]).permutation(len(images))
    boxed = np.array([row for row in order if len(images.index.boxes[row])], dtype=np.int64)[: options.n_score]
    shown = order[: options.n_images]
    classes, maps = _top_maps(options, network, images, np.concatenate([shown, boxed]))
    names = class_names(network.classes, classes[: len(shown)].tolist())
    pictures = network.inputs.frames(images.frames(shown))
    write(out / FIGURE, draw(pictures, names, maps[: len(shown)]))
    figures = {FIGURE: f"Validation images beside the saliency maps of their most likely class: {', '.join(names)}."}
    labels = network.classes.labels(images.index)[shown]
    examples = write_examples(out, pictures, maps, names, [_label(network, label) for label in labels.tolist()])
    masks = [images.frame(row, network.inputs.frame).mask(images.index.boxes[row]) for row in boxed]
    numbers = score(maps[len(shown) :], masks, seed)
    differences = identity.layer_differences(network, network.center(images.frames(order[:COMPARED])), seed)
    if differences:
        numbers["deconvnet"] = identity.summarize(differences)
        identity.draw(differences, out / IDENTITY)
        figures[IDENTITY] = (
            "[SVZ13] section 4: the backward steps of gradient and deconvnet through each layer, for the same signal "
            "from above. They differ at the ReLUs, and at the contrast normalization, which the deconvnet passes over."
        )
    headline = "no boxes to measure against"
    if numbers["n_images"]:
        inside, area = numbers["inside"]["value"], numbers["area"]["value"]
        headline = f"{inside:.0%} of saliency inside the box, which covers {area:.0%}"
    return Outcome(numbers, figures, headline, examples=examples)


def write_examples(
    out: Path, pictures: np.ndarray, maps: np.ndarray, predicted: list[str], labels: list[str]
) -> list[dict[str, str]]:
    """Each picture and its map as files under out/examples; rows of a table that names them and the classes."""
    rows = []
    for place, (picture, m) in enumerate(zip(pictures, maps, strict=False)):
        image, saliency = f"examples/{place}.png", f"examples/{place}_saliency.png"
        write(out / image, picture)
        write(out / saliency, heatmap(m, 0, _bright(m)))
        rows.append({"image": image, "saliency": saliency, "class": labels[place], "predicted": predicted[place]})
    return rows


def _label(network: Network, label: int) -> str:
    """The name of a class; "" for an image whose class the network does not know."""
    return class_names(network.classes, [label])[0] if label >= 0 else ""


def _bright(m: np.ndarray) -> float:
    """The value of a map that is shown as the brightest."""
    return max(float(np.quantile(m, BRIGHT)), 1e-12)


def score(maps: np.ndarray, masks: list[np.ndarray], seed: int) -> dict[str, Any]:
    """Share of saliency inside the masks, their share of the area, their difference and pointing, with intervals."""
    kept = [(m, mask) for m, mask in zip(maps, masks, strict=True) if mask.any() and m.sum() > 0]
    inside = np.array([m[mask].sum() / m.sum() for m, mask in kept])
    area = np.array([mask.mean() for _, mask in kept])
    hits = np.array([mask.flat[m.argmax()] for m, mask in kept], dtype=float)
    if not kept:
        return {"n_images": 0}
    samples = {"inside": inside, "area": area, "excess": inside - area, "pointing": hits}
    measures = {name: Measure.bootstrapped(values, seed, "images") for name, values in samples.items()}
    excess, pointing = scores_against_all([m for m, _ in kept], [mask for _, mask in kept])
    measures["above_others"] = Measure.own_above_others(excess, seed)
    measures["pointing_above_others"] = Measure.own_above_others(pointing, seed)
    return {"n_images": len(kept), **{name: measured.to_json() for name, measured in measures.items()}}


def scores_against_all(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(n, n) of map i against mask j: its share inside minus the mask's area, and whether its maximum lies in it.

    maps, masks: n arrays (h, w) of one shape.
    """
    flat = np.stack(maps).reshape(len(maps), -1)
    flat_masks = np.stack(masks).reshape(len(masks), -1)
    inside = (flat / flat.sum(1, keepdims=True)) @ flat_masks.T.astype(flat.dtype)
    hits = flat_masks[:, flat.argmax(1)].T
    return inside - flat_masks.mean(1), hits.astype(float)


def draw(pictures: np.ndarray, names: list[str], maps: np.ndarray) -> np.ndarray:
    """Pairs of picture (n, h, h, 3) and map (n, h, h), PER_ROW pairs a row, under the name of the class."""
    pairs: list[np.ndarray | None] = []
    for picture, m in zip(pictures, maps, strict=True):
        pairs.append(np.concatenate([fit(picture, TILE), fit(heatmap(m, 0, _bright(m)), TILE)], axis=1))
    missing = -len(pairs) % PER_ROW
    pairs, labels = [*pairs, *[None] * missing], [*names, *[""] * missing]
    parts = [slice(start, start + PER_ROW) for start in range(0, len(pairs), PER_ROW)]
    return np.concatenate([mosaic([pairs[part]], gap=4, column_labels=labels[part]) for part in parts])


def _top_maps(
    options: SaliencyOptions, network: Network, images: Images, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Most likely class (center crop) and its saliency map for every row."""
    classes, maps = [], []
    for start in track(range(0, len(rows), options.batch), "saliency: batch"):
        frames = images.frames(rows[start : start + options.batch])
        with torch.inference_mode():
            likely = network.scores(network.center(frames)).argmax(1).cpu().numpy()
        classes.append(likely)
        maps.append(saliency_maps(network, frames, likely, crops=options.crops))
    return np.concatenate(classes), np.concatenate(maps)
