"""Logging of a stage's files to Weights & Biases: one run a stage, grouped by experiment.

A thread sends the new lines of every metrics.jsonl under the stage's folder while the stage runs, in this process or in
workers. At the end follow the stage's numbers, pictures, tables of what was measured by class and, on request, the
networks. Every failure is a warning: the logger changes no result. What has been sent is noted in
<root>/wandb/<stage>.json, so that a stage that was interrupted continues its run.

    epoch/<key>, epoch/<network>/<key>   against the axis `epoch`
    images/<key>                         against `images`, the training images seen
    <stage>/<picture>                    against `epoch`, where a stage makes a grid of pictures every epoch
    figures/<picture>, tables/<path>     once, at the end; so are confusion and examples (pictures with predictions)
"""

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zfnet.core.files import write_json
from zfnet.core.metrics import METRICS, STEPS, read_metrics
from zfnet.core.options import flatten
from zfnet.pipeline.options import MODES, WandbOptions
from zfnet.pipeline.record import Outcome

EVERY = 5.0  # seconds between two readings of metrics.jsonl
TAG = 64  # characters of a tag, at most
PATIENCE = 20.0  # seconds that the service may take to answer the first call
BY_IMAGES = ("loss", "val_loss", "step_loss", "lr", "images_per_second")  # metrics drawn against the images seen
BY_CLASS = ("per_class", "ap")  # mappings class -> number that become tables

CONFUSION = "wandb/confusion_matrix/v1"  # W&B's chart, and the columns of its table by the names that it has for them
CONFUSION_FIELDS = {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"}

_unreachable = False  # no answer or no login in this process: later runs stay offline


def under_agent() -> bool:
    """Whether a sweep's agent started this process; it names the one run that may be opened."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


@dataclass(frozen=True)
class About:
    """What a run is: the paper's artefact, the network, the command, and the fingerprint by which it is known again."""

    artefact: str = ""
    network: str = ""
    command: str = ""
    fingerprint: str = ""

    @property
    def tags(self) -> list[str]:
        return [tag[:TAG] for tag in (self.artefact, self.network) if tag]


class RunLogger:
    """The W&B run of one stage; a failure is a warning."""

    def __init__(
        self,
        options: WandbOptions,
        group: str,
        stage: str,
        config: dict[str, Any],
        folder: Path,
        root: Path,
        about: About | None = None,
    ) -> None:
        """Open the run with the configuration `config`, or continue that of the same fingerprint.

        folder: the stage's. root: W&B's files go into root/wandb.
        """
        options = _with_environment(options)
        self._run: Any = None
        self._folder, self._stage, self._artifacts = folder, stage, options.artifacts
        self._note = root / "wandb" / f"{stage}.json"
        self._about = about or About()
        self._id, self._n_logged, self._sent = self._noted()
        self._old = {path: path.stat().st_mtime_ns for path in self._files()}  # an earlier run's
        self._ended = threading.Event()
        if options.mode == "disabled":
            return
        try:
            self._run = _open(_possible(options.mode), options, group, stage, config, root, self._identity())
        except Exception as error:  # no service, a refused key, a full disk
            self._close(error)
            return
        self._thread = threading.Thread(target=self._follow, name="wandb", daemon=True)
        self._thread.start()

    def finish(self, outcome: Outcome | None) -> None:
        """Send the last lines, numbers, pictures and tables, and close the run."""
        if self._run is None:
            return
        self._ended.set()
        self._thread.join()
        try:
            self._send_lines()
            if outcome:
                self._send_outcome(outcome)
                self._note.unlink(missing_ok=True)
            self._run.finish(exit_code=0 if outcome else 1)
        except Exception as error:
            _warn(f"did not take everything ({_first_line(error)})")

    def _follow(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self._send_lines()
            except Exception as error:  # the rest is sent at the end
                _warn(f"did not take a line ({_first_line(error)})")
                return

    def _send_lines(self) -> None:
        n_before = self._n_logged
        for path in self._files():
            if path.stat().st_mtime_ns == self._old.get(path):
                continue
            name, place = path.relative_to(self._folder).as_posix(), path.parent.relative_to(self._folder).as_posix()
            for line in read_metrics(path.parent, path.name)[self._sent.get(name, 0) :]:
                self._log(keyed(line, "" if place == "." else place))
                self._sent[name] = self._sent.get(name, 0) + 1
        if self._n_logged > n_before and not under_agent():
            write_json(self._note, self._state())

    def _files(self) -> list[Path]:
        """The files of lines that the stage has written so far."""
        return sorted([*self._folder.rglob(METRICS), *self._folder.rglob(STEPS)])

    def _log(self, line: dict[str, Any]) -> None:
        """Send one line; in an offline run that is continued, at the step after its last one."""
        if self._id and self._run.offline:
            self._run.log(line, step=self._n_logged)
        else:
            self._run.log(line)
        self._n_logged += 1

    def _state(self) -> dict[str, Any]:
        """What the next run of an interrupted stage has to know."""
        state = {"fingerprint": self._about.fingerprint, "id": self._run.id, "logged": self._n_logged}
        return {**state, "sent": self._sent}

    def _noted(self) -> tuple[str, int, dict[str, int]]:
        """(id, lines logged, lines sent of each file) of an interrupted run of this fingerprint, or ("", 0, {})."""
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(self._note.read_text(encoding="utf-8"))
            if self._about.fingerprint and state["fingerprint"] == self._about.fingerprint:
                return state["id"], state["logged"], state["sent"]
        return "", 0, {}

    def _identity(self) -> dict[str, Any]:
        """What makes the run findable, and the id of the run that is continued."""
        identity: dict[str, Any] = {"tags": self._about.tags or None, "notes": self._about.command or None}
        if self._id and not under_agent():
            identity |= {"id": self._id, "resume": "allow"}
        return identity

    def _send_outcome(self, outcome: Outcome) -> None:
        import wandb

        self._run.summary.update(scalars(outcome.numbers))
        for key, steps in outcome.steps.items():
            for epoch, file in steps.items():
                self._log({"epoch": epoch, f"{self._stage}/{key}": wandb.Image(str(self._folder / file))})
        for name, text in outcome.figures.items():
            if name.endswith((".png", ".jpg")):
                self._log({f"figures/{Path(name).stem}": wandb.Image(str(self._folder / name), caption=text)})
        for name, rows in tables(outcome.numbers).items():
            table = wandb.Table(columns=["class", "value"], data=[list(row) for row in rows.items()])
            self._log({f"tables/{name}": table})
        if outcome.examples:
            self._log({"examples": self._pictures(outcome.examples)})
        if confusion := outcome.numbers.get("confusion"):
            self._log({"confusion": _confusion(**confusion)})
        models = sorted(self._folder.rglob("model.pt")) if self._artifacts else []
        if models:
            artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", f"{self._run.group}-{self._stage}"), type="model")
            for path in models:
                artifact.add_file(str(path), name=path.relative_to(self._folder).as_posix())
            self._run.log_artifact(artifact)

    def _pictures(self, rows: list[dict[str, str]]) -> Any:
        """The rows as a table in which the files of the stage's folder are pictures."""
        import wandb

        table = wandb.Table(columns=list(rows[0]))
        for row in rows:
            cells = [wandb.Image(str(self._folder / cell)) if cell.endswith(".png") else cell for cell in row.values()]
            table.add_data(*cells)
        return table

    def _close(self, error: Exception) -> None:
        global _unreachable
        _unreachable = True
        _warn(f"is off for this stage and offline for the next ({_first_line(error)})")


def _with_environment(options: WandbOptions) -> WandbOptions:
    """The options, with W&B's own variables of the environment in place of what is at its default."""
    defaults = WandbOptions()
    given: dict[str, Any] = {}
    for key, variable in {"mode": "WANDB_MODE", "project": "WANDB_PROJECT", "group": "WANDB_RUN_GROUP"}.items():
        value = os.environ.get(variable, "")
        if value and getattr(options, key) == getattr(defaults, key):
            given[key] = {"dryrun": "offline", "run": "online"}.get(value, value)  # older names of two modes
    if given.get("mode", "offline") not in MODES:
        _warn(f"stays {options.mode}: WANDB_MODE {given.pop('mode')!r} is not one of {', '.join(MODES)}")
    return replace(options, **given)


def _named(stage: str) -> dict[str, Any]:
    """Name and id of the stage's run: W&B's variables name the command, which may open one run a stage.

    A sweep's agent has named the one run that may be opened.
    """
    if under_agent():
        return {"name": stage}
    name, run_id = os.environ.get("WANDB_NAME"), os.environ.get("WANDB_RUN_ID")
    named: dict[str, Any] = {"name": f"{name} {stage}" if name else stage}
    if run_id:
        named["id"] = f"{run_id}-{stage}"
    return named


def _possible(mode: str) -> str:
    """`mode`, or offline where the service does not answer or nobody is logged in (wandb would wait for input)."""
    global _unreachable
    if mode == "online" and not _unreachable and not _logged_in():
        _unreachable = True
        _warn("has no API key and stays offline; log in with `wandb login`, then `wandb sync` sends the runs")
    return "offline" if _unreachable else mode


def _logged_in() -> bool:
    import wandb

    wandb.setup(settings=wandb.Settings(silent=True))
    return wandb.run is not None or wandb.login(prompt=False, verify=False)


def _confusion(classes: list[str], counts: list[list[int]]) -> Any:
    """W&B's chart of a confusion matrix."""
    import wandb

    data = []
    for actual, row in zip(classes, counts, strict=True):
        data += [[actual, predicted, count] for predicted, count in zip(classes, row, strict=True)]
    table = wandb.Table(columns=list(CONFUSION_FIELDS), data=data)
    return wandb.plot_table(CONFUSION, table, CONFUSION_FIELDS, {"title": "Confusion"})


def _open(
    mode: Any,
    options: WandbOptions,
    group: str,
    stage: str,
    config: dict[str, Any],
    root: Path,
    identity: dict[str, Any],
) -> Any:
    import wandb

    quiet = wandb.Settings(silent=True, console="off", init_timeout=PATIENCE)
    run = wandb.init(
        mode=mode,
        project=options.project,
        group=options.group or group,
        **(_named(stage) | identity),
        job_type=stage,
        config=config,
        dir=str(root),
        settings=quiet,
    )
    for axis, pattern in (("epoch", "epoch/*"), ("images", "images/*"), ("epoch", f"{stage}/*")):
        run.define_metric(axis, hidden=True)
        run.define_metric(pattern, step_metric=axis)
    return run


def keyed(line: Mapping[str, Any], network: str = "") -> dict[str, Any]:
    """A line of metrics.jsonl as keys of the dashboard: {"epoch": 1, "loss": 2} -> {"epoch": 1, "images/loss": 2}."""
    keyed_line: dict[str, Any] = {axis: line[axis] for axis in ("epoch", "images") if axis in line}
    for key, value in line.items():
        axis = "images" if key in BY_IMAGES and "images" in line else "epoch"
        name = "/".join(filter(None, (axis, network, key)))
        if isinstance(value, list):
            value = dict(enumerate(value, 1))
        if isinstance(value, dict):  # by layer
            keyed_line |= scalars({name: value})
        elif key not in ("epoch", "images", "time"):
            keyed_line[name] = value
    return keyed_line


def scalars(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested numbers and texts as one level of keys, a/b, without lists and tables."""
    left_out = tuple(f"{table}/" for table in tables(numbers))
    return {
        key: value
        for key, value in flatten(numbers, "/")
        if isinstance(value, int | float | str | bool) and not key.startswith(left_out)
    }


def tables(numbers: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Path of everything that was measured by class -> class -> number."""
    by_class = {}
    for key, value in flatten(numbers, "/"):
        if isinstance(value, dict) and key.rpartition("/")[2] in BY_CLASS:
            by_class[key] = {name: cell["value"] if isinstance(cell, dict) else cell for name, cell in value.items()}
    return by_class


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _warn(text: str) -> None:
    print(f"  warning: Weights & Biases {text}", file=sys.stderr)
