"""Image degradation: does taking away what a method calls important hurt the answer? ([K17] 5, Fig. 4)

The image is cut into patches that do not overlap. Attribution is summed in each patch, the patches are ordered by it,
decreasing, and the first n are replaced by their mean color; the softmax output of the initially predicted class is
followed over n. The better the attribution, the steeper the fall: the smaller the area under the curve.

    area = mean over n = 0 .. n_patches of p(predicted class), by the trapezoid rule between the points measured

Attributions of the predicted class's score, the patch's sum over pixels and channels of:

    random               a random order (area by chance)
    gradient x input     x * gradient: S_x, LRP's z-rule
    w, a, a+             PatternAttribution's pass with S_w, S_a and S_a+-
    deconvnet, guided    |projection|: they are signals, whose size is what they say of importance [our choice]
    occlusion            the fall of the probability where WINDOW x WINDOW patches at once are replaced by their mean
                         colors, averaged over the windows that cover a patch [our choice; with 1, patch by patch]

[K17]'s 100 patches of 9 x 9 px cover 16 % of 224 x 224. At other sizes of the picture or the patches as many of them go
as cover the same share, so that curves are of the same loss.

Patches at the right and lower edge are partial where the side is no multiple of theirs [NS; all are kept]. Input 0 is
the mean image, and so attributions by x count from there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.engine import Backprojection, Target
from zfnet.attribution.patterns import Patterns, weight_patterns
from zfnet.core.statistics import Measure

SIZES = ("deconvnet", "guided")  # methods whose signal counts by its size
WINDOW, HOP = 5, 3  # patches: side of the window that occlusion covers, and between windows


@dataclass(frozen=True)
class Patches:
    """The cut of an h x w image: `ids` (h, w) numbers the patches row by row."""

    ids: Tensor
    rows: int
    columns: int

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def sum(self, x: Tensor) -> Tensor:
        """Sums in each patch, (..., h, w) -> (..., patches)."""
        sums = torch.zeros(*x.shape[:-2], self.count, dtype=x.dtype, device=x.device)
        return sums.index_add_(-1, self.ids.flatten().to(x.device), x.flatten(-2))

    def spread(self, values: Tensor) -> Tensor:
        """One value a patch at each of its pixels, (..., patches) -> (..., h, w)."""
        return values[..., self.ids.to(values.device)]

    def means(self, images: Tensor) -> Tensor:
        """Images whose every patch has its mean color."""
        return self.spread(self.sum(images) / self.sum(torch.ones_like(images[:1, :1])))


def cut(height: int, width: int, size: int) -> Patches:
    """Patches of `size` x `size` pixels from the upper left corner, partial at the other edges."""
    rows, columns = -(-height // size), -(-width // size)
    ids = (torch.arange(height) // size)[:, None] * columns + torch.arange(width) // size
    return Patches(ids, rows, columns)


def same_share(patches: Patches, n: int, side: float, extent: int, points: int) -> list[int]:
    """About `points` + 1 counts of patches from 0 to as many as cover what n patches of `side` px cover of `extent`."""
    share = min(1.0, n * side**2 / extent**2)
    last = max(1, round(share * patches.count))
    return np.unique(np.round(np.linspace(0, last, points + 1)).astype(int)).tolist()


@dataclass(frozen=True)
class Attributions:
    """Every method's attribution of the predicted class's score, a map (b, h, w) of network inputs (b, 3, h, w)."""

    module: nn.Module
    patterns: Patterns

    @cached_property
    def passes(self) -> dict[str, Backprojection]:
        """The backprojection of each method, prepared once for all images."""
        module, kinds = self.module, self.patterns.kinds
        return {
            "gradient x input": Backprojection(module, "gradient"),
            "w": Backprojection(module, "patternattribution", weight_patterns(module)),
            "deconvnet": Backprojection(module, "deconvnet"),
            "guided": Backprojection(module, "guided"),
            "a": Backprojection(module, "patternattribution", kinds["a"]),
            "a+": Backprojection(module, "patternattribution", kinds["a+"]),
        }

    def to(self, device: torch.device | str) -> Attributions:
        """The same on a device; the module is copied."""
        return Attributions(copy.deepcopy(self.module).to(device), self.patterns.to(device))

    def maps(self, images: Tensor, classes: Tensor, methods: Sequence[str] = ()) -> dict[str, Tensor]:
        """Method -> its map; of all methods where none is named."""
        passes = {name: back for name, back in self.passes.items() if not methods or name in methods}
        maps = {}
        for name, back in passes.items():
            signal = back.project(images, Target(classes))
            if name == "gradient x input":
                signal = signal * images
            maps[name] = (signal.abs() if name in SIZES else signal).sum(1)
        return maps


def degrade(
    module: nn.Module, images: Tensor, orders: Mapping[str, Tensor], patches: Patches, counts: list[int]
) -> dict[str, np.ndarray]:
    """Method -> p(initially predicted class) (b, len(counts)) with the first n patches of its order (b, patches) gone.

    images (b, 3, h, w) are network inputs; counts are the n, 0 for the whole image.
    """
    means, whole = patches.means(images), predict(module, images)
    classes = whole.argmax(1)
    curves = {}
    for name, order in orders.items():
        rank = patches.spread(order.argsort(1))[:, None]  # (b, 1, h, w): when a pixel goes
        steps = [predict(module, torch.where(rank < n, means, images)) if n else whole for n in counts]
        curves[name] = torch.stack([p.gather(1, classes[:, None])[:, 0] for p in steps], 1).cpu().numpy()
    return curves


def orders(
    images: Tensor,
    attributions: Attributions,
    patches: Patches,
    random: Tensor,
    methods: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Method -> patches (b, patches), the most important first; ties by their number.

    random: scores (b, patches) of the random order. methods: those that are wanted; all where none is named.
    """
    module, classes = attributions.module, predict(attributions.module, images).argmax(1)
    scores = {name: patches.sum(m) for name, m in attributions.maps(images, classes, methods).items()}
    if not methods:
        scores = {"random": random} | scores
        scores["occlusion"] = occlusion(module, images, classes, patches)
    return {name: s.argsort(dim=1, descending=True, stable=True).to(images.device) for name, s in scores.items()}


def occlusion(module: nn.Module, images: Tensor, classes: Tensor, patches: Patches, window: int = WINDOW) -> Tensor:
    """Fall of p(class) by patch (b, patches), over the windows of `window` x `window` patches that cover it."""
    means = patches.means(images)
    before = predict(module, images).gather(1, classes[:, None])
    total = torch.zeros(len(images), patches.count, device=images.device)
    covered = torch.zeros(patches.count, device=images.device)
    for top in _starts(patches.rows, window):
        for left in _starts(patches.columns, window):
            square = torch.zeros(patches.rows, patches.columns, dtype=torch.bool, device=images.device)
            square[top : top + window, left : left + window] = True
            inside = square.flatten()
            after = predict(module, torch.where(patches.spread(inside), means, images)).gather(1, classes[:, None])
            total += (before - after) * inside
            covered += inside
    return total / covered


def areas(curves: Mapping[str, np.ndarray], counts: list[int]) -> dict[str, np.ndarray]:
    """Method -> area under each image's curve (b,), between 0 and 1."""
    return {name: np.trapezoid(curve, counts, axis=1) / (counts[-1] - counts[0]) for name, curve in curves.items()}


def summarize(curves: Mapping[str, np.ndarray], counts: list[int], seed: int) -> dict[str, dict]:
    """Mean area with its bootstrap interval over images, the mean curve, and image by image how far the area lies above
    a+'s and, where there is one, below a random order's.
    """
    by_method = areas(curves, counts)
    numbers: dict[str, dict] = {}
    for name, area in by_method.items():
        samples = {"area": area, "above_a+": area - by_method["a+"]}
        if "random" in by_method:
            samples["below_random"] = by_method["random"] - area
        numbers[name] = {key: Measure.bootstrapped(values, seed, "images").to_json() for key, values in samples.items()}
        numbers[name]["curve"] = curves[name].mean(0).tolist()
    return numbers


def predict(module: nn.Module, images: Tensor) -> Tensor:
    """Softmax outputs (b, classes)."""
    with torch.inference_mode():
        return module(images).softmax(1)


def _starts(count: int, window: int) -> list[int]:
    """Where windows begin so that every patch is covered: every HOP-th (or each, for windows of one), and the last."""
    last = max(count - window, 0)
    return sorted({*range(0, last, min(HOP, window)), last})
