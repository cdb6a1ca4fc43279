"""metrics.jsonl: one line an epoch, which dashboards read."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zfnet.core.files import atomic_write, os_errors_named

METRICS = "metrics.jsonl"


def log_metrics(folder: Path, **values: Any) -> None:
    """Append one line to metrics.jsonl."""
    path = folder / METRICS
    with os_errors_named(path):
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(values) + "\n")


def restart_metrics(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    """Replace metrics.jsonl by the lines of `history`."""
    with atomic_write(folder / METRICS) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in history), encoding="utf-8")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All complete lines of a stage's metrics.jsonl."""
    path, lines = folder / METRICS, []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):  # cut by an interruption, or still being written
            lines.append(json.loads(text))
    return lines
