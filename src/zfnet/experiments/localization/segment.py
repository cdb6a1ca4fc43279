"""From a saliency map to an object mask: seeds, color models, graph cut [SVZ13, section 3.2].

    foreground seeds  s > 95 % quantile of the image's saliency      background seeds  s < 30 % quantile

or, with `seeds` = range [NS], whose number follows the map, where quantiles take the same share of any image:

    foreground seeds  s >= min + 0.4 (max - min)                     background seeds  s <= min + 0.1 (max - min)

Foreground and background color models are Gaussian mixtures estimated from those two sets; a graph cut (Boykov and
Jolly) decides the rest; the object mask is the largest connected component of the foreground, its extent the box.

With OpenCV: the two mixtures (5 Gaussians each) are fitted to the seeds ALONE, by a grabCut over a strip that holds
just the seed pixels; then one cut with frozen models decides every pixel (`iterations` = 1, the paper). Handing the
full mask to grabCut instead would pour the undecided 65 % into the background model. Further iterations re-estimate
the models from the cut, which is GrabCut proper. Pixels beyond the hard quantiles (99.5 % / 0.5 %, the Oxford code
of the same step) are clamped in the cut, or with `clamp` = all every seed, as Boykov and Jolly, whom the paper cites,
have it; the paper does not say. OpenCV fixes gamma = 50 and 8 neighbors.

[NS] our choices: the map is smoothed first (a gradient is speckled; seeds of single pixels give color models of
noise), and more so for the thresholded map, which knows no colors to mend it. Pixels outside `inside`, where no
saliency is known, count as background seeds but are never clamped. Ties at a quantile are seeds, unless the quantile
is the map's minimum. A smoothed map spreads over the object's border, so the box's sides may be scaled (`box_scale`;
1 in the paper).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from zfnet.experiments.localization.boxes import mask_box, scale_sides, whole_box
from zfnet.experiments.localization.options import LocalizationOptions

HARD_BACKGROUND, HARD_FOREGROUND = cv2.GC_BGD, cv2.GC_FGD
BACKGROUND, FOREGROUND = cv2.GC_PR_BGD, cv2.GC_PR_FGD
UNDECIDED = 4
NO_RECTANGLE = (0, 0, 0, 0)  # grabCut takes the mask instead

FALLBACKS = ("flat saliency", "empty mask", "full mask")


@dataclass(frozen=True)
class Segmentation:
    """The decision about one map: `fallback` is "" or the one of FALLBACKS that replaced the cut's box."""

    seeds: np.ndarray  # (h, w) uint8: HARD_BACKGROUND ... UNDECIDED
    mask: np.ndarray  # (h, w) bool: largest component of the cut
    box: np.ndarray  # (4,) in the pixels of the map
    fallback: str


def segment(
    image: np.ndarray, saliency: np.ndarray, inside: np.ndarray, config: LocalizationOptions, seed: int
) -> Segmentation:
    """Segment `image` (h, w, 3) uint8 by a map (h, w) of finite values known where `inside` (h, w) is true.

    Degenerate cases, each named in `fallback`: a flat map (no seeds exist) gives the whole image; a cut that leaves
    nothing or everything gives the box of the thresholded map.
    """
    smoothed = smooth(saliency, inside, config.smoothing)
    if is_flat(smoothed[inside]):
        nothing, undecided = np.zeros(inside.shape, bool), np.full(inside.shape, UNDECIDED, np.uint8)
        return Segmentation(undecided, nothing, whole_box(*inside.shape), "flat saliency")
    seeds = choose_seeds(smoothed, inside, config)
    mask = largest_component(cut(image, seeds, config.iterations, seed))
    fallback = "empty mask" if not mask.any() else "full mask" if mask.all() else ""
    if fallback:
        box = threshold_box(saliency, inside, config)
    else:
        box = scale_sides(mask_box(mask), config.box_scale, *inside.shape)
    return Segmentation(seeds, mask, box, fallback)


def threshold_box(saliency: np.ndarray, inside: np.ndarray, config: LocalizationOptions) -> np.ndarray:
    """The baseline's box (4,), which knows no colors and no cut; of a flat map the whole image."""
    blurred = smooth(saliency, inside, config.threshold_smoothing)
    if is_flat(blurred[inside]):
        return whole_box(*inside.shape)
    box = mask_box(threshold(blurred, inside, config.threshold))
    return scale_sides(box, config.threshold_box_scale, *inside.shape)


def is_flat(values: np.ndarray) -> bool:
    """No value stands out by more than rounding."""
    return bool(np.ptp(values) <= 1e-5 * np.abs(values).max())


def smooth(saliency: np.ndarray, inside: np.ndarray, fraction: float) -> np.ndarray:
    """The map (h, w) blurred by a Gaussian with sigma = `fraction` of the short side, within `inside` only."""
    known = inside.astype(np.float32)
    saliency = saliency.astype(np.float32) * known
    sigma = fraction * min(saliency.shape)
    if sigma < 0.1:  # less than a pixel's neighbor would feel
        return saliency
    weight = cv2.GaussianBlur(known, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    blurred = cv2.GaussianBlur(saliency, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.where(inside, blurred / np.maximum(weight, 1e-6), 0.0)


def choose_seeds(saliency: np.ndarray, inside: np.ndarray, config: LocalizationOptions) -> np.ndarray:
    """Seeds (h, w) uint8 by the levels of the map inside. The map must not be flat; both kinds then exist."""
    values = saliency[inside]
    floor = values.min()
    high, low = seed_levels(values, config)
    highest, lowest = np.quantile(values, (config.hard_foreground, config.hard_background)).astype(values.dtype)
    if config.clamp == "all":
        highest, lowest = high, low

    def above(level: float) -> np.ndarray:  # a sparse map may have its 95 % quantile at zero
        return (saliency >= level) if level > floor else (saliency > floor)

    seeds = np.full(saliency.shape, UNDECIDED, np.uint8)
    seeds[saliency <= low] = BACKGROUND
    seeds[saliency <= lowest] = HARD_BACKGROUND
    seeds[above(high)] = FOREGROUND
    seeds[above(highest)] = HARD_FOREGROUND
    seeds[~inside] = BACKGROUND
    return seeds


def seed_levels(values: np.ndarray, config: LocalizationOptions) -> np.ndarray:
    """The values of the map above which foreground seeds and below which background seeds lie, (2,)."""
    if config.seeds == "quantile":
        return np.quantile(values, (config.foreground, config.background)).astype(values.dtype)
    shares = np.array([config.range_foreground, config.range_background], values.dtype)
    return values.min() + shares * np.ptp(values)


def cut(image: np.ndarray, seeds: np.ndarray, iterations: int, seed: int) -> np.ndarray:
    """Foreground (h, w) bool after one graph cut with the seeds' color models, then iterations - 1 of GrabCut."""
    cv2.setRNGSeed(seed)  # the k-means that starts the mixtures
    image = np.ascontiguousarray(image)
    models = color_models(image, seeds)
    mask = np.where(seeds == UNDECIDED, BACKGROUND, seeds).astype(np.uint8)
    cv2.grabCut(image, mask, NO_RECTANGLE, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    if iterations > 1 and len(np.unique(mask % 2)) == 2:  # both sides have pixels to learn from
        cv2.grabCut(image, mask, NO_RECTANGLE, *models, iterations - 1, cv2.GC_EVAL)
    return mask % 2 == 1  # FOREGROUND and HARD_FOREGROUND are the odd codes


def color_models(image: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV's (1, 65) background and foreground mixtures, estimated from the seed pixels alone."""
    decided = seeds != UNDECIDED
    strip = np.ascontiguousarray(image[decided][None])  # (1, n, 3)
    mask = np.ascontiguousarray(seeds[decided][None] % 2)  # 0 background, 1 foreground, all clamped
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(strip, mask, NO_RECTANGLE, background, foreground, 1, cv2.GC_INIT_WITH_MASK)
    return background, foreground


def threshold(saliency: np.ndarray, inside: np.ndarray, fraction: float) -> np.ndarray:
    """Largest component (h, w) of the pixels at least `fraction` of the way from the map's minimum to its maximum."""
    low, high = saliency[inside].min(), saliency[inside].max()
    return largest_component(inside & (saliency >= low + fraction * (high - low)))


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected component of a mask (h, w); the one met first among equals; empty stays empty."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        return np.zeros(mask.shape, bool)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
