"""The record of a stage: result.json, written last and atomically.

A stage is done when its result.json exists and holds the fingerprint of the configuration.
"""

import contextlib
import platform
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from zfnet.core.resume import read_checked, write_checked

RESULT = "result.json"
DISTRIBUTION = "zfnet-repro"  # of this package on a package index


@dataclass
class Outcome:
    """What a stage returns: plain numbers, figure files with alternative texts, and its key number in one line."""

    numbers: dict[str, Any]
    figures: dict[str, str] = field(default_factory=dict)  # file under the stage's folder -> what it shows
    headline: str = ""
    steps: dict[str, dict[int, str]] = field(default_factory=dict)  # key -> epoch -> picture, for dashboards only
    examples: list[dict[str, str]] = field(default_factory=list)  # rows of a table with pictures, for dashboards only


def skipped(reason: str) -> Outcome:
    """The outcome of a stage that has nothing to work on."""
    return Outcome({"skipped": reason}, {}, f"not run: {reason}")


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write the result.json of a stage's folder with its checksum."""
    write_checked(folder / RESULT, result)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result.json of a stage's folder; None where it is missing or damaged, which is reported."""
    return read_checked(folder / RESULT)


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on, by the names of their distributions."""
    packages = (DISTRIBUTION, "torch", "torchvision", "numpy", "opencv-python-headless", "scikit-learn")
    installed = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


def commit(file: Path = Path(__file__)) -> tuple[str, bool]:
    """(commit, whether there are uncommitted changes) of the checkout that holds the running code, `file`.

    ("", False) outside git, and where the repository above the file does not track it (a virtual environment in it).
    """
    file = file.resolve()
    try:
        if not _git(file.parent, "ls-files", "--error-unmatch", "--", file.name):
            return "", False
        changes = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
        return _git(file.parent, "rev-parse", "HEAD"), bool(changes)
    except (OSError, subprocess.TimeoutExpired):
        return "", False


def _git(folder: Path, *words: str) -> str:
    """What git prints in the folder; "" where it fails."""
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20)
    return done.stdout.strip() if done.returncode == 0 else ""
