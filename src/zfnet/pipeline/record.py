"""What a stage leaves behind: result.json (last, atomically), metrics.jsonl, figures.

The existence of a result.json whose fingerprint matches *is* "done". Dashboards follow these files
(zfnet.running.wandb_logger).
"""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

RESULT = "result.json"


@dataclass
class Outcome:
    """What a stage returns: plain numbers, figure files with alternative texts, and its key number in one line."""

    numbers: dict[str, Any]
    figures: dict[str, str] = field(default_factory=dict)  # file under the stage's folder -> what it shows
    headline: str = ""
    steps: dict[str, dict[int, str]] = field(default_factory=dict)  # key -> epoch -> picture, for dashboards only


def skipped(reason: str) -> Outcome:
    """What a stage returns that has nothing to work on."""
    return Outcome({"skipped": reason}, {}, f"not run: {reason}")


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result.json of a stage's folder, or None when there is none (or a damaged one)."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def versions() -> dict[str, str]:
    """Versions of what a number depends on."""
    packages = ("zfnet", "torch", "torchvision", "numpy", "opencv-python-headless", "scikit-learn")
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def commit() -> tuple[str, bool]:
    """(commit of the checkout this package runs from, whether it has uncommitted changes); ("", False) outside git."""
    root = Path(__file__).resolve().parents[3]

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.TimeoutExpired):
        return "", False
