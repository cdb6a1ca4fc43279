"""Average precision by the rules of PASCAL VOC, and result files for its evaluation server.

Images are ranked by score; rank r has precision tp / (tp + fp) and recall tp / positives, counted over the
ranks 1..r. Images with only difficult instances of the class are ignored.

    2010 and later  area under the precision made monotone: at each recall, the best precision at that or more
    recall
    2007 to 2009    mean of that best precision at the recalls 0, 0.1, ..., 1

This is not scikit-learn's average_precision_score, which does not make precision monotone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zfnet.core.files import atomic_write


def average_precision(scores: np.ndarray, targets: np.ndarray, eleven_points: bool = False) -> float:
    """AP of one class in 0..1 from (n,) scores and (n,) targets: 1 present, 0 absent, -1 only difficult.

    Equal scores are ranked in the order given. nan where no image is positive.
    """
    counted = targets >= 0
    positive = targets[counted][np.argsort(-scores[counted], kind="stable")] == 1
    if not positive.any():
        return float("nan")
    true_positives = np.cumsum(positive)
    precision = true_positives / np.arange(1, len(true_positives) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if not eleven_points:
        return float(best[positive].mean())  # recall grows by 1 / positives at each positive
    recall = true_positives / true_positives[-1]
    return float(np.mean([best[np.searchsorted(recall, tenths / 10)] for tenths in range(11)]))


def bootstrap_precisions(
    scores: np.ndarray, targets: np.ndarray, seed: int, eleven_points: bool = False, n: int = 300
) -> np.ndarray:
    """(n, classes) APs of n sets of images drawn with replacement; nan where a draw has no positive."""
    rng = np.random.default_rng([seed, len(scores)])
    precisions = np.full((n, scores.shape[1]), np.nan)
    for row in precisions:
        images = rng.integers(0, len(scores), len(scores))
        for k in range(scores.shape[1]):
            row[k] = average_precision(scores[images, k], targets[images, k], eleven_points)
    return precisions


def write_results(
    folder: Path,
    split: str,
    classes: Sequence[str],
    images: Sequence[str],
    scores: np.ndarray,
    competition: str = "comp2",
) -> list[Path]:
    """One file a class, <competition>_cls_<split>_<class>.txt, a line "<image> <score>" for each image.

    scores: (n, classes), written with all digits, as with a small C they differ little. competition: comp2 allows other
    training data, comp1 does not. The server expects the files under results/VOC<year>/Main/ of an archive.
    """
    paths = [folder / f"{competition}_cls_{split}_{name}.txt" for name in classes]
    for path, column in zip(paths, scores.T, strict=True):
        lines = [f"{image} {float(score)!r}\n" for image, score in zip(images, column, strict=True)]
        with atomic_write(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
    return paths
