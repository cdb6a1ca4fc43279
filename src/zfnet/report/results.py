"""What the stages measured: the result.json files of a profile, and their numbers by path.

A path walks the stage's `numbers` by dots ("table7.svm.5"); "config.lr" walks its configuration and "run.time" is the
time the stage took and its device. A number is a plain one, or a measure with its interval.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError
from zfnet.core.progress import duration
from zfnet.core.statistics import Measure, finite
from zfnet.networks.options import TRAINED
from zfnet.pipeline.record import RESULT, read_result

OF_TRAINING = ("train", "ensemble", "ablations", "evolution")  # stages about training
BLANK: dict[str, Any] = {
    **dict.fromkeys(("headline", "command", "created", "commit", "fingerprint", "device", "seed", "profile"), ""),
    "dirty": False,
    "versions": {},
}


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
        figures = self.content.get("figures") or {}
        return {file: alt for file, alt in figures.items() if self._inside(file)}

    @property
    def skipped(self) -> str:
        """Why the stage had nothing to do, or ""."""
        return str(self.numbers.get("skipped") or "")

    @property
    def network(self) -> str:
        """Name of the network that the stage used where it was trained elsewhere, or ""."""
        name = find(self, "config.network.name")
        return "" if name in (None, TRAINED) else str(name)

    @property
    def time(self) -> str:
        return f"{duration(self.content.get('seconds') or 0.0)} on {self.content.get('device') or 'an unknown device'}"

    def _inside(self, file: str) -> bool:
        path = (self.folder / file).resolve()
        return path.is_file() and path.is_relative_to(self.folder.resolve())


def read(outputs: Path) -> dict[str, Result]:
    """Stage -> its result, for every folder of `outputs` that holds a readable result.json, the report's aside."""
    folders = sorted(path.parent for path in outputs.glob(f"*/{RESULT}"))
    results = {}
    for folder in folders:
        content = read_result(folder) if folder.name != "report" else None
        if content:
            results[folder.name] = Result(folder.name, folder, BLANK | content)
    return results


def borrowed_network(results: Mapping[str, Result]) -> str:
    """Name of the network trained elsewhere that the results are of, or ""; a folder of results has one network."""
    return next((result.network for result in results.values() if result.network), "")


def has_random_weights(results: Mapping[str, Result]) -> bool:
    """Whether the network of these results is a trial with random weights, of which no claim is judged."""
    return any(find(result, "config.network.weights") == "random" for result in results.values())


def needs_training(stage: str, results: Mapping[str, Result]) -> bool:
    """Whether a stage without a result is about a training that the network of these results did not have here."""
    return stage in OF_TRAINING and stage not in results and bool(borrowed_network(results))


def named_folder(word: str) -> Path:
    """The folder of a profile, absolute, so that "." has a name too. Raises UserError for one without: "" and "/"."""
    folder = Path(os.path.abspath(word))
    if not word or not folder.name:
        raise UserError(f"{word!r} is not the folder of a profile; name one, e.g. outputs/menagerie")
    return folder


def find(result: Result | None, path: str) -> Any:
    """What lies at the path, or None."""
    if result is None:
        return None
    if path == "run.time":
        return result.time
    content: Any = result.content.get("config") if path.startswith("config.") else result.numbers
    for key in path.removeprefix("config.").split("."):
        if not isinstance(content, Mapping) or key not in content:
            return None
        content = content[key]
    return content


def measure(content: Any) -> Measure | None:
    """The measure at the end of a path: a number, or what `Measure.to_json` wrote; None without a finite number."""
    if isinstance(content, Mapping):
        return Measure.from_json(content)
    value = finite(content)
    return None if value is None else Measure(value)


def scaled(measured: Measure | None, factor: float) -> Measure | None:
    """The measure in another unit."""
    return None if measured is None else measured.scaled(factor)
