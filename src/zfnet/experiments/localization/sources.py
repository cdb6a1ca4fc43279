"""Where the map comes from: five ways to say which pixels speak for a class. All are frames (size, size), >= 0.

    gradient, guided, deconvnet   max over colours of | signal |, over ten crops [SVZ13 3.1], see analysis.saliency
    pattern_attribution           likewise, of [K17]'s attribution with the pattern a+, estimated on training images
    occlusion                     how far the class's probability falls under a grey square, averaged over the squares
                                  that cover a pixel, where it falls; centre crop, 0 around it [ZF13 4.2]

[NS] our choices: the square is [ZF13]'s as we have it elsewhere (50 px at 224), its places twice as far apart (12 px);
the patterns take up to N_PATTERN_IMAGES training images (centre crops, drawn by the seed).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zfnet.attribution.incremental import Grid, Occluder, respond
from zfnet.attribution.maps import saliency_maps
from zfnet.attribution.patterns import few_image_patterns
from zfnet.data.cache.images import ImageStore
from zfnet.experiments.localization.tasks import Saliency, Source
from zfnet.networks.convnet import ConvNet

SQUARE, STRIDE = 50 / 224, 12 / 224  # of the crop's side
N_PATTERN_IMAGES = 2000


def make_source(name: str, model: ConvNet, train: ImageStore, seed: int) -> Source:
    """The source `name` of config.SALIENCY for this network; patterns are estimated here, once."""
    if name == "occlusion":
        return lambda images: lambda rows, classes: occlusion_maps(model, images, rows, classes)
    attributes = name == "pattern_attribution"
    patterns = few_image_patterns(model, train, N_PATTERN_IMAGES, [seed, 7]) if attributes else None

    def source(images: ImageStore) -> Saliency:
        method = name.replace("_", "")
        return lambda rows, classes: saliency_maps(model, images, rows, classes, method, patterns=patterns)

    return source


def occlusion_maps(model: ConvNet, images: ImageStore, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Maps (b, size, size) of `classes` (b,) in the images `rows` (b,); an image asked for many times runs once."""
    drops = {int(row): _drops(model, images.center([row])[0]) for row in np.unique(rows)}
    start = (images.size - images.crop) // 2
    place = slice(start, start + images.crop)
    maps = np.zeros((len(rows), images.size, images.size), np.float32)
    for found, row, k in zip(maps, rows, classes, strict=True):
        fall, places = drops[int(row)]
        found[place, place] = spread(np.clip(fall[:, k], 0, None), places, images.crop)
    return maps


def _drops(model: ConvNet, image: Tensor) -> tuple[np.ndarray, Grid]:
    """How far the probability of every class falls, (n, k), under each of the n grey squares on an input (3, h, w)."""
    crop = image.shape[-1]
    side, stride = max(1, round(SQUARE * crop)), max(1, round(STRIDE * crop))
    along = np.unique([*range(0, crop - side + 1, stride), crop - side])  # the last touches the border
    places = Grid(side, along, along)
    image = image.to(next(model.parameters()).device)
    answer = respond(model, image, Occluder(side, places.corners, torch.zeros_like(image))).scores
    assert answer is not None
    with torch.inference_mode():
        clean = model(image[None]).double().softmax(1)
    return (clean - answer.double().softmax(1)).cpu().numpy(), places


def spread(values: np.ndarray, places: Grid, crop: int) -> np.ndarray:
    """Mean (crop, crop) at every pixel of the values (n,) of the squares that cover it."""
    total, covered = np.zeros((crop, crop)), np.zeros((crop, crop))
    for value, (top, left) in zip(values, places.corners.tolist(), strict=True):
        at = slice(top, top + places.size), slice(left, left + places.size)
        total[at] += value
        covered[at] += 1
    return total / np.maximum(covered, 1)
