"""Near-duplicates between the transfer set and the pre-training set, by normalized correlation ([ZF13] 5.2).

The paper found 44 of Caltech-101's 9,144 images in ImageNet's training set and 243 of Caltech-256's 30,607,
took them out of ImageNet and trained again. The correlation of two images x and y is

    r = x . y / (|x| |y|)

over thumbnails, (3, side, side) means over equal areas of the frames, each channel minus its own mean: with one mean
for all three, a shared blue is enough. Size and threshold are [NS]. Between Caltech-101 and the 100,000 images of Tiny
ImageNet, at a side of 16, the true pairs have r of 0.996 and 0.985, the best false one (skies over a dark strip) 0.972.
Every pair is compared, in blocks of a matrix product, so memory does not grow with the number of pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zfnet.core.progress import track
from zfnet.data.cache.frames import StoredFrames
from zfnet.data.cache.images import Images
from zfnet.linear.gram import multiply

BLOCK = 4096  # images of either set in one product


@dataclass(frozen=True)
class Pairs:
    """Pairs of near-duplicates, the most similar first."""

    rows: np.ndarray  # (pairs,) int64, of the transfer set
    others: np.ndarray  # (pairs,) int64, of the pre-training set
    correlations: np.ndarray  # (pairs,) float32

    def __len__(self) -> int:
        return len(self.rows)

    def left_out(self) -> np.ndarray:
        """Rows of the pre-training set that pre-training must leave out, ascending."""
        return np.unique(self.others)


def find_pairs(images: Images, others: Images, threshold: float, side: int = 16) -> Pairs:
    """All pairs of an image and another whose thumbnails correlate by at least `threshold`; a flat image with none."""
    thumbnails = normalized(shrunk(images.pixels, side))
    blocks = []
    for start in track(range(0, len(others), BLOCK), "near-duplicates, blocks:"):
        block = normalized(shrunk(others.pixels[start : start + BLOCK], side))
        row, other, r = correlating(thumbnails, block, threshold)
        blocks.append((row, other + start, r))
    row, other, r = _join(blocks)
    order = np.lexsort((other, row, -r))
    return Pairs(row[order], other[order], r[order])


def correlating(a: Tensor, b: Tensor, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows of a, rows of b, correlations) of normalized vectors whose correlation is at least `threshold`."""
    blocks = []
    for top in range(0, len(a), BLOCK):
        r = multiply(a[top : top + BLOCK], b.T).numpy()
        row, other = (r >= threshold).nonzero()
        blocks.append((row + top, other, r[row, other]))
    return _join(blocks)


def _join(blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, others, correlations = zip(*blocks, strict=True)
    return np.concatenate(rows), np.concatenate(others), np.concatenate(correlations)


def shrunk(pixels: np.ndarray | StoredFrames, side: int) -> Tensor:
    """(n, size, size, 3) pictures as (n, 3, side, side) means over equal areas."""
    return torch.cat([_area_means(pixels[start : start + 512], side) for start in range(0, len(pixels), 512)])


def normalized(thumbnails: Tensor) -> Tensor:
    """(n, 3 * side * side) rows of length one, each channel of mean zero; zero where a thumbnail is flat."""
    vectors = (thumbnails - thumbnails.mean((2, 3), keepdim=True)).flatten(1)
    lengths = vectors.norm(dim=1, keepdim=True)
    return torch.where(lengths > 1e-3, vectors / lengths, 0.0)


def _area_means(pixels: np.ndarray | StoredFrames, side: int) -> Tensor:
    frames = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float()
    return torch.nn.functional.adaptive_avg_pool2d(frames, side)
