"""What a stage leaves behind: result.json (last, atomically), metrics.jsonl, figures; W&B mirrors them.

The existence of a result.json whose fingerprint matches *is* "done". Deleting every W&B line changes no result.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from zfnet.errors import UserError

RESULT = "result.json"
METRICS = "metrics.jsonl"


@dataclass
class Outcome:
    """What a stage returns: plain numbers, figure files with alternative texts, and its key number in one line."""

    numbers: dict[str, Any]
    figures: dict[str, str] = field(default_factory=dict)  # file under the stage's folder -> what it shows
    headline: str = ""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed over it on success and removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
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
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / METRICS).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(values) + "\n")


def restart_metrics(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    """Leave just the lines of `history` in metrics.jsonl: those of another run or after the checkpoint go."""
    with atomic_write(folder / METRICS) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in history), encoding="utf-8")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a stage's metrics.jsonl."""
    path = folder / METRICS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


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


def device_name(device: Any) -> str:
    """What the numbers were computed on, in words: the GPU's name, or the processor and its cores."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Mirror:
    """One W&B run a stage, offline unless asked otherwise; whatever goes wrong in it is a warning."""

    def __init__(self, mode: Any, project: str, group: str, name: str, config: dict[str, Any], folder: Path) -> None:
        self._run: Any = None
        if mode == "disabled":
            return
        try:
            import wandb

            settings = wandb.Settings(silent=True, console="off", init_timeout=30)
            self._run = wandb.init(
                mode=mode, project=project, group=group, name=name, job_type=name, config=config, dir=str(folder),
                settings=settings,
            )  # fmt: skip
            for axis, pattern in (("epoch", "epoch/*"), ("images", "step/*")):
                self._run.define_metric(axis, hidden=True)
                self._run.define_metric(pattern, step_metric=axis)
        except Exception as error:  # no service, a refused key, a full disk: never a dead run
            print(f"  warning: Weights & Biases is off for this stage ({error})", file=sys.stderr)

    def finish(self, folder: Path, outcome: Outcome | None, metrics: list[dict[str, Any]]) -> None:
        """Send the lines of metrics.jsonl, the numbers and the figures, and close the run."""
        if self._run is None:
            return
        try:
            for line in metrics:
                self._run.log({("epoch/" + key if key != "epoch" else key): value for key, value in line.items()})
            if outcome:
                self._run.summary.update(_flat(outcome.numbers))
                self._log_figures(folder, outcome.figures)
            self._run.finish()
        except Exception as error:
            print(f"  warning: Weights & Biases did not take everything ({error})", file=sys.stderr)

    def _log_figures(self, folder: Path, figures: dict[str, str]) -> None:
        import wandb

        pictures = {name: text for name, text in figures.items() if name.endswith((".png", ".jpg"))}
        for name, text in pictures.items():
            self._run.log({f"figures/{Path(name).stem}": wandb.Image(str(folder / name), caption=text)})


def _flat(numbers: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested numbers as one level of dotted keys; lists are left to result.json."""
    flat: dict[str, Any] = {}
    for key, value in numbers.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float | str | bool):
            flat[f"{prefix}{key}"] = value
    return flat
