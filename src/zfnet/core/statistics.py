"""Spread of a number: mean and standard deviation over repeats, bootstrap interval over samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1; 0 for a single value), as the papers' "+-"."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0


def bootstrap(
    values: Sequence[float] | np.ndarray,
    seed: int,
    statistic: Callable[..., np.ndarray] = np.mean,
    n: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `statistic` over samples.

    values: (n_samples,) or (n_samples, ...), resampled along the first axis; `statistic` must accept `axis`.
    Returns (low, high); (nan, nan) without samples.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng([seed, len(array)])
    block = max(1, 4_000_000 // max(array.size, 1))  # keep a block of resamples under about 32 MB
    drawn = []
    for start in range(0, n, block):
        rows = rng.integers(0, len(array), (min(block, n - start), len(array)))
        drawn.append(np.asarray(statistic(array[rows], axis=1)))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def interval(values: np.ndarray, seed: int, name: str = "value") -> dict[str, float]:
    """{name, low, high}: the mean of samples (n,) and its bootstrap interval; nan without samples."""
    low, high = bootstrap(values, seed)
    return {name: float(values.mean()) if len(values) else float("nan"), "low": low, "high": high}
