"""Inner products of features, all that a linear classifier with an L2 penalty depends on.

The weights of such a classifier lie in the span of its training rows, w = X' beta, so its decision values K
beta and its penalty beta' K beta need the Gram matrix K = X X' and nothing else. K has n x n entries whatever
the width d of the features (290,400 for layer 1 of [ZF13] at 224 px), is computed once, and serves every C,
fold and training size: a smaller problem is a choice of its rows and columns.

All of it is float64, a few thousand columns at a time. Products in float32 would be three times as fast, but their
error, 1e-7 |x_i| |x_j|, is multiplied by sum |beta|, which grows as n C: decision values were 1e-3 off at C = 100.

[ZF13] does not say how features were scaled [NS]. The penalty is not scale-free, and the lengths of the
layers differ by orders of magnitude, so features are brought to a length of about 1. All three ways are
functions of K and of the training rows, so cost nothing:

    mean    x / (mean length of the training rows)
    unit    x / (its own length)
    center  (x - m) / (root mean square length of the training rows minus m), where m is their mean

Rectified features share a large mean, which says nothing of the class; without it the same C serves every layer.
"""

import numpy as np
import torch
from torch import Tensor

from zfnet.core.machine import one_thread

COLUMNS = 2048  # feature columns read at a time: 9,144 rows of them are 150 MB
ROWS = 4096  # rows of K computed at a time
LARGE = 1000  # rows from which NumPy's BLAS is faster


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a @ b. NumPy's BLAS for large products on the CPU: up to 3 times torch's there, 6 for a times its transpose."""
    if a.device.type == "cpu" and len(a) >= LARGE:
        return torch.from_numpy(a.numpy() @ b.numpy())
    return a @ b


@one_thread()
def gram(features: np.ndarray, rows: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Inner products of the given rows of (n, d) features, as a float64 matrix on `device`.

    Reads the features once, in order, so they may be a memory map wider than memory. Costs n^2 d operations,
    half of them saved by symmetry.
    """
    products = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=device)
    for left in range(0, features.shape[1], COLUMNS):
        columns = np.ascontiguousarray(features[rows, left : left + COLUMNS], dtype=np.float64)
        _add_products(products, torch.from_numpy(columns).to(device))
    for top in range(ROWS, len(rows), ROWS):
        products[:top, top : top + ROWS] = products[top : top + ROWS, :top].T
    return products


def _add_products(products: Tensor, columns: Tensor) -> None:
    for top in range(0, len(columns), ROWS):
        block = columns[top : top + ROWS]
        end = top + len(block)
        products[top:end, top:end] += multiply(block, block.T)
        if top:
            products[top:end, :top] += multiply(block, columns[:top].T)


def kernels(products: Tensor, train: Tensor, test: Tensor, scaling: str) -> tuple[Tensor, Tensor]:
    """Inner products (train, train) and (test, train) of scaled features, from the Gram matrix of the raw ones.

    `scaling` is "mean", "unit" or "center" (see above). Rows without a length stay zero.
    """
    inner, outer = products[train][:, train], products[test][:, train]
    if scaling == "unit":
        lengths = products.diag().clamp(min=0).sqrt()
        lengths = torch.where(lengths > 0, lengths, 1.0)
        return inner / lengths[train] / lengths[train, None], outer / lengths[train] / lengths[test, None]
    if scaling == "mean":
        return _divided(inner, outer, inner.diag().clamp(min=0).sqrt().mean().square())
    if scaling != "center":
        raise ValueError(f"scaling is 'mean', 'unit' or 'center', not {scaling!r}")
    mean = inner.mean(0)  # of the training rows, times each of them
    outer = outer - outer.mean(1, keepdim=True) - mean + mean.mean()
    inner = inner - mean - mean[:, None] + mean.mean()
    return _divided(inner, outer, inner.diag().mean())


def _divided(inner: Tensor, outer: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    square = square if square > 0 else torch.ones_like(square)
    return inner / square, outer / square
