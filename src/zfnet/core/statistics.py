"""A measured value and its uncertainty: one class, one shape in every result.json.

Intervals cover 95 % and say what was resampled: images, neurons, folds or seeds. A bootstrap resamples whole rows, so
that a statistic of several numbers a sample keeps them together (scipy.stats.bootstrap resamples single numbers).

Folds that are drawn anew from the same images share most of them, so that their spread is too small. Their variance is
multiplied by 1 / k + n_test / n_train instead of 1 / k (Nadeau & Bengio, Machine Learning 52, 2003).

A map may score well against every box because both lie in the middle of the picture. `own_above_others` sets the score
of each map against its own image's box beside its scores against the boxes of the other images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
N_DRAWS = 2000  # of a bootstrap


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval, its sample size and how the interval was made.

    low, high: None where no interval is known. interval: e.g. "bootstrap over images". std: sample standard deviation
    over repeats. repeats: the value of each repeat (seed, fold), where there are several.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    interval: str = ""
    std: float | None = None
    repeats: tuple[float, ...] = ()

    @classmethod
    def bootstrapped(
        cls, values: Sequence[float] | np.ndarray, seed: int, over: str, statistic: Callable[..., Any] = np.mean
    ) -> Measure:
        """The statistic of samples (n, ...) with its percentile bootstrap interval; nan without samples."""
        samples = np.asarray(values, dtype=np.float64)
        low, high = bootstrap(samples, seed, statistic)
        value = float(statistic(samples, axis=0)) if len(samples) else math.nan
        return cls(value, low, high, len(samples), f"bootstrap over {over}")

    @classmethod
    def over_repeats(cls, values: Sequence[float], over: str, shared: float = 0.0) -> Measure:
        """The mean of repeats with Student's interval and their deviation; a single one has neither.

        shared: n_test / n_train of folds drawn from the same images, which widens the interval.
        """
        from scipy.stats import t

        mean, std = mean_std(values)
        n, repeats = len(values), tuple(float(value) for value in values)
        if n < 2:
            return cls(mean, n=n, repeats=repeats)
        half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * std * math.sqrt(1 / n + shared)
        return cls(mean, mean - half, mean + half, n, f"Student over {over}", std, repeats)

    @classmethod
    def own_above_others(
        cls, scores: np.ndarray, seed: int, over: str = "images", standardized: bool = False
    ) -> Measure:
        """How much a map scores higher against its own image's box than against another image's.

        scores (n, n): of map i against box j. standardized: in standard deviations over maps (Cohen's d), with the
        others of a map averaged. Images are drawn again with replacement; nan where there are fewer than two.
        """
        n = len(scores)
        how = f"bootstrap over {over}"
        if n < 2:
            return cls(math.nan, math.nan, math.nan, n, how)
        drawn = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), N_DRAWS)
        counts = np.concatenate([np.ones((1, n)), drawn])  # the images as they are, then each draw
        with np.errstate(divide="ignore", invalid="ignore"):
            others = (counts @ scores.T - counts * scores.diagonal()) / (n - counts)
            differences = np.where(counts > 0, scores.diagonal() - others, 0.0)
            values = (counts * differences).sum(1) / n
            if standardized:
                squares = counts * (differences - values[:, None]) ** 2
                values = values / np.sqrt(squares.sum(1) / (n - 1))
        known = values[1:][np.isfinite(values[1:])]
        low, high = np.quantile(known, TAILS) if len(known) else (math.nan, math.nan)
        return cls(float(values[0]), float(low), float(high), n, how)

    @classmethod
    def percentage(cls, percent: float, n: float, over: str = "images") -> Measure:
        """A percentage of n images with Wilson's interval, in percent; the bare number where n is not known."""
        if not n or not 0 <= percent <= 100:
            return cls(percent)
        from scipy.stats import norm

        z = float(norm.ppf((1 + LEVEL) / 2))
        p, square = percent / 100, z * z
        middle = (p + square / (2 * n)) / (1 + square / n)
        half = z / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
        return cls(percent, 100 * (middle - half), 100 * (middle + half), int(n), f"Wilson over {over}")

    @property
    def ends(self) -> tuple[float, float] | None:
        """(low, high), None without an interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def scaled(self, factor: float) -> Measure:
        """The measure in another unit."""
        low = None if self.low is None else self.low * factor
        high = None if self.high is None else self.high * factor
        if factor < 0:
            low, high = high, low
        std = None if self.std is None else abs(factor) * self.std
        repeats = tuple(factor * value for value in self.repeats)
        return Measure(self.value * factor, low, high, self.n, self.interval, std, repeats)

    def to_json(self) -> dict[str, Any]:
        """As it stands in result.json: what is known, null for what is not finite."""
        content: dict[str, Any] = {"value": finite(self.value)}
        if self.low is not None or self.high is not None:
            content |= {"low": finite(self.low), "high": finite(self.high), "interval": self.interval}
        if self.n is not None:
            content["n"] = self.n
        if self.std is not None:
            content["std"] = finite(self.std)
        if self.repeats:
            content["repeats"] = [finite(value) for value in self.repeats]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Measure | None:
        """What `to_json` wrote; None where there is no finite value."""
        value = finite(content.get("value"))
        if value is None:
            return None
        repeats = tuple(float(repeat) for repeat in content.get("repeats", ()) if finite(repeat) is not None)
        low, high, std = (finite(content.get(key)) for key in ("low", "high", "std"))
        return cls(value, low, high, content.get("n"), content.get("interval", ""), std, repeats)


def finite(value: Any) -> float | None:
    """A finite number as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1; 0 for a single value), as the papers' "+-"."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0


def bootstrap(
    values: Sequence[float] | np.ndarray,
    seed: int,
    statistic: Callable[..., Any] = np.mean,
    n: int = N_DRAWS,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `statistic` over samples.

    values: (n_samples,) or (n_samples, ...), resampled along the first axis; `statistic` must accept `axis`.
    Returns (low, high); (nan, nan) without samples.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        return math.nan, math.nan
    rng = np.random.default_rng([seed, len(array)])
    block = max(1, 4_000_000 // max(array.size, 1))  # keep a block of resamples under about 32 MB
    drawn = []
    for start in range(0, n, block):
        rows = rng.integers(0, len(array), (min(block, n - start), len(array)))
        drawn.append(np.asarray(statistic(array[rows], axis=1)))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
