"""metrics.jsonl, one line an epoch, and steps.jsonl, one line every few steps of a training: dashboards read them."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zfnet.core.files import atomic_write, os_errors_named

METRICS = "metrics.jsonl"
STEPS = "steps.jsonl"


def log_metrics(folder: Path, **values: Any) -> None:
    """Append one line to metrics.jsonl."""
    _append(folder / METRICS, values)


def log_step(folder: Path, **values: Any) -> None:
    """Append one line to steps.jsonl; `images` is the number of training images seen."""
    _append(folder / STEPS, values)


def _append(path: Path, values: dict[str, Any]) -> None:
    with os_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(values) + "\n")


def restart_metrics(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    """Replace metrics.jsonl by the lines of `history`."""
    _write(folder / METRICS, history)


def restart_steps(folder: Path, images: int) -> None:
    """Keep the lines of steps.jsonl up to so many training images, from which a training resumes."""
    if (folder / STEPS).exists():
        _write(folder / STEPS, [line for line in read_metrics(folder, STEPS) if line["images"] <= images])


def _write(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read_metrics(folder: Path, file: str = METRICS) -> list[dict[str, Any]]:
    """All complete lines of a stage's metrics.jsonl or steps.jsonl."""
    path, lines = folder / file, []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):  # cut by an interruption, or still being written
            lines.append(json.loads(text))
    return lines
