"""What the stages measured: the result.json files of a profile, and numbers found in them by path.

A path walks the stage's `numbers` by dots ("table7.svm.5"); "config.lr" walks its configuration and "run.time" says
how long it took on what. A number comes with an interval where the stage gives one (low and high, or an interval,
or the values of several folds), with a spread where it gives mean and std, and with a 95 % Wilson interval where it
is a percentage of a known number of images [Wilson 1927]; a measured value without any of these has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zfnet.core.progress import duration
from zfnet.core.statistics import Measure
from zfnet.networks.options import TRAINED
from zfnet.pipeline.record import RESULT, read_result

BLANK: dict[str, Any] = dict.fromkeys(("headline", "command", "created", "commit", "fingerprint", "device"), "")


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


def measure(content: Any, count: float | None = None) -> Measure | None:
    """The measure at the end of a path; None when there is no finite number.

    content: a number, or a mapping: what `Measure.to_json` wrote, or, in results of version 0.1, one with `mean` or
    `value` and any of std, low, high, interval, folds, runs. count: the number of images a percentage was taken over,
    for where it was measured only once.
    """
    if not isinstance(content, Mapping):
        value = number(content)
        return None if value is None else Measure.percentage(value, count or 0)
    if isinstance(content.get("interval"), str) or "repeats" in content:
        return Measure.from_json(content)
    value = number(content.get("mean", content.get("value")))
    if value is None:
        return None
    repeats = content.get("folds", content.get("runs"))
    n = len(repeats) if isinstance(repeats, Sequence) else None
    low, high = map(number, content.get("interval") or (content.get("low"), content.get("high")))
    std = number(content.get("std"))
    if low is not None and high is not None:
        return Measure(value, low, high, n, std=std)
    over_repeats = student(repeats) if n and n > 1 else None
    if over_repeats is None:
        return Measure.percentage(value, count or 0)
    return replace(over_repeats, value=value, std=std)


def scaled(found: Measure | None, factor: float) -> Measure | None:
    """The number in another unit."""
    return found if found is None or factor == 1 else found.scaled(factor)


def number(found: Any) -> float | None:
    """A finite float, or None."""
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        return None
    return float(found)


def student(values: Sequence[float]) -> Measure | None:
    """Mean of a few repeats with its 95 % Student interval; no interval for one value, None for none."""
    kept = [value for value in map(number, values) if value is not None]
    return Measure.over_repeats(kept, "repeats") if kept else None
