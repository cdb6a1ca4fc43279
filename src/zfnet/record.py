"""What a stage leaves behind: result.json (last, atomically), metrics.jsonl, figures.

The existence of a result.json whose fingerprint matches *is* "done". Dashboards mirror these files (zfnet.mirror).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from zfnet.errors import UserError

RESULT = "result.json"
FULL = 2**20  # bytes that are left on a disk that is called full
METRICS = "metrics.jsonl"


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


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed over it on success and removed on failure."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    except RuntimeError as error:  # torch's writer does not say why it stopped
        if shutil.disk_usage(path.parent).free > FULL:
            raise
        raise UserError(f"{path}: cannot be written (no space left on the disk)") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=True) + "\n", encoding="utf-8")


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result.json of a stage's folder, or None when there is none (or a damaged one)."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def log_metrics(folder: Path, **values: Any) -> None:
    """Append one line to metrics.jsonl: the truth that dashboards mirror."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / METRICS).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(values) + "\n")
    except OSError as error:
        raise UserError(f"{folder / METRICS}: cannot be written ({error.strerror or error})") from error


def restart_metrics(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    """Leave just the lines of `history` in metrics.jsonl: those of another run or after the checkpoint go."""
    with atomic_write(folder / METRICS) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in history), encoding="utf-8")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a stage's metrics.jsonl."""
    path, lines = folder / METRICS, []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):  # cut by an interruption, or still being written
            lines.append(json.loads(text))
    return lines


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
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.TimeoutExpired):
        return "", False
