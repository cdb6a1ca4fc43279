"""Weights & Biases as a mirror of what a stage leaves on disk: one run a stage, grouped by experiment.

A thread reads every metrics.jsonl under the stage's folder and sends the lines that are new, so that a training is seen
as it goes, in this process or in workers that know nothing of the mirror. At the end follow the stage's numbers, its
pictures, tables of what was measured class by class and, on request, the networks. Nothing is read back, every fault is
a warning, and deleting each call of this module changes no result.

    epoch/<key>, epoch/<network>/<key>   against the axis `epoch`
    images/<key>                         against `images`, the training images seen: what is spent rather than reached
    <stage>/<picture>                    one grid of pictures a key and epoch, where a stage makes one every epoch
    figures/<picture>, tables/<path>     once, at the end
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zfnet.core.metrics import METRICS, read_metrics
from zfnet.pipeline.options import WandbOptions
from zfnet.pipeline.record import Outcome

EVERY = 5.0  # seconds between looks at metrics.jsonl
PATIENCE = 20.0  # seconds that the service may take to answer the first call
SPENT = ("loss", "lr", "images_per_second")  # metrics drawn against the images seen
BY_CLASS = ("per_class", "ap")  # mappings class -> number that become tables

_unreachable = False  # the service did not answer in this process, or has no key: what follows stays offline


def under_agent() -> bool:
    """Whether a sweep's agent started this process; it names the one run that may be opened."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


class Mirror:
    """The W&B run of one stage; whatever goes wrong in it is a warning."""

    def __init__(
        self, config: WandbOptions, group: str, stage: str, settings: dict[str, Any], folder: Path, root: Path
    ) -> None:
        """Open the run, whose own files lie in root/wandb; `settings` is the configuration, `folder` the stage's."""
        self._run: Any = None
        self._folder, self._stage, self._artifacts = folder, stage, config.artifacts
        self._sent: dict[Path, int] = {}  # lines of each file that have been sent
        self._old = {path: path.stat().st_mtime_ns for path in folder.rglob(METRICS)}  # an earlier run's
        self._ended = threading.Event()
        if config.mode == "disabled":
            return
        try:
            self._run = _open(_possible(config.mode), config, group, stage, settings, root)
        except Exception as error:  # no service, a refused key, a full disk: never a dead run
            self._close(error)
            return
        self._thread = threading.Thread(target=self._follow, name="mirror", daemon=True)
        self._thread.start()

    def finish(self, outcome: Outcome | None) -> None:
        """Send what is left - the last lines, numbers, pictures, tables - and close the run."""
        if self._run is None:
            return
        self._ended.set()
        self._thread.join()
        try:
            self._send_lines()
            if outcome:
                self._send_outcome(outcome)
            self._run.finish(exit_code=0 if outcome else 1)
        except Exception as error:
            _warn(f"did not take everything ({_first_line(error)})")

    def _follow(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self._send_lines()
            except Exception as error:  # the files are the truth; the rest is tried again at the end
                _warn(f"did not take a line ({_first_line(error)})")
                return

    def _send_lines(self) -> None:
        for path in sorted(self._folder.rglob(METRICS)):
            if path.stat().st_mtime_ns == self._old.get(path):
                continue
            lines, name = read_metrics(path.parent), path.parent.relative_to(self._folder).as_posix()
            for line in lines[self._sent.get(path, 0) :]:
                self._run.log(keyed(line, "" if name == "." else name))
                self._sent[path] = self._sent.get(path, 0) + 1

    def _send_outcome(self, outcome: Outcome) -> None:
        import wandb

        self._run.summary.update(flat(outcome.numbers))
        for key, steps in outcome.steps.items():
            for epoch, file in steps.items():
                self._run.log({"epoch": epoch, f"{self._stage}/{key}": wandb.Image(str(self._folder / file))})
        for name, text in outcome.figures.items():
            if name.endswith((".png", ".jpg")):
                self._run.log({f"figures/{Path(name).stem}": wandb.Image(str(self._folder / name), caption=text)})
        for name, rows in tables(outcome.numbers):
            table = wandb.Table(columns=["class", "value"], data=[list(row) for row in rows.items()])
            self._run.log({f"tables/{name}": table})
        models = sorted(self._folder.rglob("model.pt")) if self._artifacts else []
        if models:
            artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", f"{self._run.group}-{self._stage}"), type="model")
            for path in models:
                artifact.add_file(str(path), name=path.relative_to(self._folder).as_posix())
            self._run.log_artifact(artifact)

    def _close(self, error: Exception) -> None:
        global _unreachable
        _unreachable = True
        _warn(f"is off for this stage and offline for the next ({_first_line(error)})")


def _possible(mode: str) -> str:
    """`mode`, or offline where the service has not answered before or nobody is logged in: wandb would stop and ask."""
    global _unreachable
    if mode == "online" and not _unreachable and not _logged_in():
        _unreachable = True
        _warn("knows no key and stays offline; log in with `wandb login`, then `wandb sync` sends what is kept")
    return "offline" if _unreachable else mode


def _logged_in() -> bool:
    import wandb

    wandb.setup(settings=wandb.Settings(silent=True))
    return wandb.run is not None or wandb.login(prompt=False, verify=False)


def _open(mode: Any, config: WandbOptions, group: str, stage: str, settings: dict[str, Any], root: Path) -> Any:
    import wandb

    quiet = wandb.Settings(silent=True, console="off", init_timeout=PATIENCE)
    run = wandb.init(
        mode=mode, project=config.project, group=config.group or group, name=stage, job_type=stage, config=settings,
        dir=str(root), settings=quiet,
    )  # fmt: skip
    for axis, pattern in (("epoch", "epoch/*"), ("images", "images/*"), ("epoch", f"{stage}/*")):
        run.define_metric(axis, hidden=True)
        run.define_metric(pattern, step_metric=axis)
    return run


def keyed(line: Mapping[str, Any], network: str = "") -> dict[str, Any]:
    """A line of metrics.jsonl as keys of the dashboard: {"epoch": 1, "loss": 2} -> {"epoch": 1, "images/loss": 2}."""
    sent: dict[str, Any] = {axis: line[axis] for axis in ("epoch", "images") if axis in line}
    for key, value in line.items():
        axis = "images" if key in SPENT and "images" in line else "epoch"
        name = "/".join(filter(None, (axis, network, key)))
        if isinstance(value, list):
            value = {str(place): element for place, element in enumerate(value, 1)}
        if isinstance(value, dict):  # layer by layer
            sent |= flat(value, f"{name}/")
        elif key not in ("epoch", "images", "time"):
            sent[name] = value
    return sent


def flat(numbers: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested numbers as one level of keys, a/b; lists and tables are left out."""
    level: dict[str, Any] = {}
    for key, value in numbers.items():
        if isinstance(value, dict) and key not in BY_CLASS:
            level |= flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float | str | bool):
            level[f"{prefix}{key}"] = value
    return level


def tables(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, float]]]:
    """(path, class -> number) of everything that was measured class by class."""
    for key, value in numbers.items():
        if isinstance(value, dict) and key in BY_CLASS:
            yield (
                f"{prefix}{key}",
                {name: cell["value"] if isinstance(cell, dict) else cell for name, cell in value.items()},
            )
        elif isinstance(value, dict):
            yield from tables(value, f"{prefix}{key}/")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _warn(text: str) -> None:
    print(f"  warning: Weights & Biases {text}", file=sys.stderr)
