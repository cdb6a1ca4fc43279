"""Where the map comes from: five ways to say which pixels speak for a class. All are frames (size, size), >= 0.

    gradient, guided, deconvnet   max over colors of | signal |, over ten crops [SVZ13 3.1], see zfnet.attribution.maps
    pattern_attribution           likewise, of [K17]'s attribution with the pattern a+, estimated on training images
    occlusion                     how far the class's probability falls under a gray square, averaged over the squares
                                  that cover a pixel, where it falls; center crop, 0 around it [ZF13 4.2]

[NS] our choices: the square is [ZF13]'s as in stage occlusion (50 px at 224), its places twice as far apart (12 px);
the patterns take up to N_PATTERN_IMAGES training images (center crops, drawn by the seed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from zfnet.attribution.incremental import Grid, covered_probabilities
from zfnet.attribution.maps import saliency_maps
from zfnet.attribution.patterns import positive_patterns
from zfnet.data.cache.images import Images
from zfnet.experiments.localization.tasks import Source
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches

SQUARE, STRIDE = 50 / 224, 12 / 224  # of the crop's side
N_PATTERN_IMAGES = 2000
PATTERN_BATCH = 100  # images


@dataclass(frozen=True)
class Maps:
    """Maps (b, frame, frame) of some images by one of the ways, as a function of rows (b,) and outputs (b,)."""

    name: str  # of options.SALIENCY
    network: Network
    images: Images
    patterns: Mapping[str, Tensor] | None = None

    def __call__(self, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        if self.name == "occlusion":
            return occlusion_maps(self.network, self.images, rows, classes)
        method = self.name.replace("_", "")
        return _maps(self.network, self.images, rows, classes, method, self.patterns)

    def to(self, device: torch.device | str) -> Maps:
        """The same on a device."""
        patterns = self.patterns and {name: pattern.to(device) for name, pattern in self.patterns.items()}
        return replace(self, network=self.network.to(device), patterns=patterns)


def make_source(name: str, network: Network, train: Images, seed: int) -> Source:
    """The source `name` of options.SALIENCY for this network; patterns are estimated here, once."""
    patterns = _patterns(network, train, seed) if name == "pattern_attribution" else None
    return lambda images: Maps(name, network, images, patterns)


def _maps(
    network: Network,
    images: Images,
    rows: np.ndarray,
    classes: np.ndarray,
    method: str,
    patterns: Mapping[str, Tensor] | None,
) -> np.ndarray:
    """Maps (b, frame, frame) of the outputs `classes` (b,) in the images `rows` (b,); one forward pass an image."""
    maps = np.zeros((len(rows), network.inputs.frame, network.inputs.frame), np.float32)
    for row in np.unique(rows):
        at = rows == row
        maps[at] = saliency_maps(network, images.frames([row]), classes[at][None], method, patterns=patterns)[0]
    return maps


def _patterns(network: Network, train: Images, seed: int) -> dict[str, Tensor]:
    """a+ by module name, from at most N_PATTERN_IMAGES training images."""
    rows = np.random.default_rng([seed, 7]).permutation(len(train))[:N_PATTERN_IMAGES]
    return positive_patterns(network.module, center_batches(network, train, rows, PATTERN_BATCH, "patterns: batch"))


def occlusion_maps(network: Network, images: Images, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Maps (b, frame, frame) of the outputs `classes` (b,) in the images `rows` (b,); one pass for each image."""
    inputs = network.inputs
    drops = {int(row): _drops(network, network.center(images.frames([row]))[0]) for row in np.unique(rows)}
    inside = slice(inputs.margin, inputs.margin + inputs.crop)
    maps = np.zeros((len(rows), inputs.frame, inputs.frame), np.float32)
    for i, (row, output) in enumerate(zip(rows, classes, strict=True)):
        falls, places = drops[int(row)]
        maps[i, inside, inside] = spread(np.clip(falls[..., output], 0, None).ravel(), places, inputs.crop)
    return maps


def _drops(network: Network, image: Tensor) -> tuple[np.ndarray, Grid]:
    """How far each class's probability falls, (r, c, k), under a gray square at each place of an input (3, h, w)."""
    crop = image.shape[-1]
    side, stride = max(1, round(SQUARE * crop)), max(1, round(STRIDE * crop))
    steps = np.unique([*range(0, crop - side + 1, stride), crop - side])  # the last touches the border
    places = Grid(side, steps, steps)
    with torch.inference_mode():
        clean = network.module(image[None])[0].double().softmax(0).cpu().numpy()
    return clean - covered_probabilities(network.module, image, places), places


def spread(values: np.ndarray, places: Grid, crop: int) -> np.ndarray:
    """Mean (crop, crop) at every pixel of the values (n,) of the squares that cover it."""
    total, covered = np.zeros((crop, crop)), np.zeros((crop, crop))
    for value, (top, left) in zip(values, places.corners.tolist(), strict=True):
        at = slice(top, top + places.size), slice(left, left + places.size)
        total[at] += value
        covered[at] += 1
    return total / np.maximum(covered, 1)
