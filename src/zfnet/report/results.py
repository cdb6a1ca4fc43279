"""What the stages measured: the result.json files of a profile, and numbers found in them by path.

A path walks the stage's `numbers` by dots ("table7.svm.5"); "config.lr" walks its configuration and "run.time" says
how long it took on what. A number comes with an interval where the stage gives one (low and high, or an interval,
or the values of several folds), with a spread where it gives mean and std, and with a 95 % Wilson interval where it
is a percentage of a known number of images [Wilson 1927]; a measured value without any of these has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zfnet.core.progress import duration
from zfnet.networks.options import TRAINED
from zfnet.pipeline.record import RESULT, read_result

BLANK: dict[str, Any] = dict.fromkeys(("headline", "command", "created", "commit", "fingerprint", "device"), "")
Z = 1.96  # two-sided 95 % of a normal


@dataclass(frozen=True)
class Measure:
    """A measured value, its 95 % interval and its spread (one standard deviation over `n` repeats) where known."""

    value: float
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Result:
    """One stage's result.json and the folder it lies in."""

    stage: str
    folder: Path
    content: Mapping[str, Any]

    @property
    def numbers(self) -> Mapping[str, Any]:
        return self.content.get("numbers") or {}

    @property
    def figures(self) -> dict[str, str]:
        """File -> alternative text, of the figures that are there."""
        named = self.content.get("figures") or {}
        return {file: alt for file, alt in named.items() if self._inside(file)}

    @property
    def skipped(self) -> str:
        """Why the stage had nothing to do, or ""."""
        return str(self.numbers.get("skipped") or "")

    @property
    def borrowed(self) -> bool:
        """Whether the network was one of torchvision's, of which the papers claim nothing."""
        return find(self, f"config.{self.stage}.network") not in (None, TRAINED)

    @property
    def time(self) -> str:
        return f"{duration(self.content.get('seconds') or 0.0)} on {self.content.get('device') or 'an unknown device'}"

    def _inside(self, file: str) -> bool:
        path = (self.folder / file).resolve()
        return path.is_file() and path.is_relative_to(self.folder.resolve())


def read(outputs: Path) -> dict[str, Result]:
    """Stage -> its result, for every folder of `outputs` that holds a readable result.json, the report's aside."""
    folders = sorted(path.parent for path in outputs.glob(f"*/{RESULT}"))
    found = {folder.name: read_result(folder) for folder in folders if folder.name != "report"}
    return {
        name: Result(name, outputs / name, {**BLANK, "seed": "", "dirty": False, "versions": {}, **content})
        for name, content in found.items()
        if content
    }


def find(result: Result | None, path: str) -> Any:
    """What lies at the path, or None."""
    if result is None:
        return None
    if path == "run.time":
        return result.time
    here: Any = result.content.get("config") if path.startswith("config.") else result.numbers
    for key in path.removeprefix("config.").split("."):
        if not isinstance(here, Mapping) or key not in here:
            return None
        here = here[key]
    return here


def measure(found: Any, count: float | None = None) -> Measure | None:
    """The number in what a path led to; None when there is no finite number.

    found: a number, or a mapping with `mean` or `value`, and any of std, low, high, interval, folds, runs.
    count: the number of images a percentage was taken over, for where it was measured only once.
    """
    if not isinstance(found, Mapping):
        value = number(found)
        return None if value is None else _of_images(value, count)
    value = number(found.get("mean", found.get("value")))
    if value is None:
        return None
    repeats = found.get("folds", found.get("runs"))
    n = len(repeats) if isinstance(repeats, Sequence) else None
    low, high = map(number, found.get("interval") or (found.get("low"), found.get("high")))
    if low is not None and high is not None:
        return Measure(value, low, high, number(found.get("std")), n)
    over_repeats = student(repeats) if n and n > 1 else None
    if over_repeats is None:
        return _of_images(value, count)
    return Measure(value, over_repeats.low, over_repeats.high, number(found.get("std")), n)


def scaled(found: Measure | None, factor: float) -> Measure | None:
    """The number in another unit."""
    if found is None or factor == 1:
        return found
    ends = [None if v is None else v * factor for v in (found.low, found.high)]
    low, high = ends if factor >= 0 else reversed(ends)
    spread = None if found.spread is None else abs(factor) * found.spread
    return Measure(found.value * factor, low, high, spread, found.n)


def number(found: Any) -> float | None:
    """A finite float, or None."""
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        return None
    return float(found)


def wilson(percent: float, count: float) -> tuple[float, float]:
    """95 % Wilson interval, in percent, of a percentage of `count` images."""
    p, square = percent / 100, Z * Z
    middle = (p + square / (2 * count)) / (1 + square / count)
    half = Z / (1 + square / count) * math.sqrt(p * (1 - p) / count + square / (4 * count * count))
    return 100 * (middle - half), 100 * (middle + half)


def student(values: Sequence[float]) -> Measure | None:
    """Mean of a few repeats with its 95 % Student interval; no interval for one value, None for none."""
    kept = [v for v in map(number, values) if v is not None]
    if not kept:
        return None
    n, mean = len(kept), sum(kept) / len(kept)
    if n == 1:
        return Measure(mean, n=1)
    spread = math.sqrt(sum((v - mean) ** 2 for v in kept) / (n - 1))
    from scipy.stats import t

    half = float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return Measure(mean, mean - half, mean + half, spread, n)


def _of_images(value: float, count: float | None) -> Measure:
    """A percentage of `count` images with its interval; without a count, the bare number."""
    if not count or not 0 <= value <= 100:
        return Measure(value)
    return Measure(value, *wilson(value, count), n=int(count))
