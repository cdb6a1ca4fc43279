"""What is measured of one kind of transformation, and how two kinds compare."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from zfnet.core.statistics import Measure

ALIKE = 0.1  # pixel changes of two transformations that differ by no more than this share are equally far


@dataclass(frozen=True)
class Curves:
    """One kind of transformation on n images at each of a amounts."""

    amounts: np.ndarray  # (a,) px at 224, factor, or degrees
    distances: dict[int, np.ndarray]  # layer -> (n, a)
    straightness: dict[int, np.ndarray]  # layer -> (n,)
    probability: np.ndarray  # (n, a) of the true class; nan where the network does not know it
    kept: np.ndarray  # (n, a) bool, whether the most probable class is that of the untransformed image
    change: np.ndarray  # (n, a) root mean square of the pixels' change
    pixel_correlation: np.ndarray  # (n, a) correlation of the pixels with those of the untransformed image


def pixel_change(shown: np.ndarray) -> np.ndarray:
    """Root mean square of the pixels' change (a,) from the first of the pictures (1 + a, h, w, 3) to each other one."""
    pixels = shown.astype(np.float64)
    return np.sqrt(np.square(pixels[1:] - pixels[0]).mean((1, 2, 3)))


def pixel_correlation(shown: np.ndarray) -> np.ndarray:
    """Correlation (a,) of the first of the pictures (1 + a, h, w, 3) with each other one; 0 with a flat picture."""
    pixels = shown.reshape(len(shown), -1).astype(np.float64)
    pixels -= pixels.mean(1, keepdims=True)
    norms = np.linalg.norm(pixels, axis=1)
    products = norms[1:] * norms[0]
    return np.divide(pixels[1:] @ pixels[0], products, out=np.zeros_like(products), where=products > 0)


def symmetry(turned: Curves, images: np.ndarray, seed: int) -> Measure:
    """Rank correlation, over `images` (n,) bool, of likeness to the turned pictures with turns that keep the class.

    nan where all images are alike in one of them.
    """
    pairs = np.stack([turned.pixel_correlation[images].mean(1), turned.kept[images].mean(1)], 1)
    return Measure.bootstrapped(rankdata(pairs, axis=0), seed, "images", pearson)


def pearson(pairs: np.ndarray, axis: int) -> np.ndarray:
    """Pearson's correlation of pairs (..., 2) along an axis; nan where one of them is constant."""
    apart = pairs - pairs.mean(axis, keepdims=True)
    x, y = apart[..., 0], apart[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return (x * y).sum(axis) / np.sqrt((x * x).sum(axis) * (y * y).sum(axis))


def equally_far(moved: Curves, turned: Curves) -> np.ndarray:
    """Share that keep their class moved minus turned, over pairs that change the pixels alike: (n,), nan without any.

    Each amount of `moved` is paired with the amount of `turned` whose pixel change is nearest, image by image.
    """
    differences = []
    for kept, change, kept_turned, change_turned in zip(
        moved.kept, moved.change, turned.kept, turned.change, strict=True
    ):
        nearest = np.abs(change[:, None] - change_turned[None]).argmin(1)
        alike = (change > 0) & (np.abs(change_turned[nearest] - change) <= ALIKE * change)
        pairs = kept[alike].astype(float) - kept_turned[nearest[alike]]
        differences.append(pairs.mean() if len(pairs) else np.nan)
    return np.array(differences)
