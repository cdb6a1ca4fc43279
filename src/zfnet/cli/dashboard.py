"""The Weights & Biases workspace as code: conf/dashboard.yaml, held against what the stages log, and published.

    zfnet dashboard            publish it, when logged in
    zfnet dashboard check      only compare its keys with those of the runs under outputs/

A key that no stage logs would be an empty panel that nobody notices; `unknown_keys` finds it without a network, from
the metrics.jsonl, steps.jsonl and result.json that runs have left. W&B's own package wandb-workspaces, an extra of this
one, turns the definition into a view.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zfnet.core.errors import UserError
from zfnet.core.metrics import METRICS, STEPS, read_metrics
from zfnet.core.resources import CONF
from zfnet.pipeline.options import WandbOptions
from zfnet.pipeline.record import RESULT, read_result
from zfnet.running.wandb_logger import CONFUSION, CONFUSION_FIELDS, keyed, scalars, tables

DEFINITION = CONF / "dashboard.yaml"
OUTPUTS = Path("outputs")
KINDS = ("lines", "bars", "pictures", "table", "confusion")
MISSING = "the package wandb-workspaces is not installed: `.venv/bin/uv pip install wandb-workspaces`"
LOGIN = "not logged in to Weights & Biases: run `.venv/bin/wandb login` (or set WANDB_API_KEY), then `make dashboard`"


def read(path: Path = DEFINITION) -> dict[str, Any]:
    """The definition. Raises UserError naming the panel that is not one."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section in content["sections"]:
        for panel in section["panels"]:
            name = f"{path}: {section['title']}, {panel.get('title')}"
            if panel.get("kind") not in KINDS:
                raise UserError(f"{name}: kind must be one of {', '.join(KINDS)}")
            if unknown := set(panel) - {"kind", "title", "keys"} - ({"x"} if panel["kind"] == "lines" else set()):
                raise UserError(f"{name}: unknown entry {min(unknown)}")
            if not panel.get("keys") or (panel["kind"] == "lines" and not panel.get("x")):
                raise UserError(f"{name}: needs keys, and lines an x")
    return content


def wanted_keys(definition: Mapping[str, Any]) -> list[str]:
    """Every key that a panel shows or draws against."""
    panels = [panel for section in definition["sections"] for panel in section["panels"]]
    return [key for panel in panels for key in (*panel["keys"], *([panel["x"]] if "x" in panel else []))]


def logged_keys(outputs: Path) -> set[str]:
    """The keys that the stages recorded anywhere under `outputs` have sent, or would have."""
    keys: set[str] = set()
    for path in [*outputs.rglob(METRICS), *outputs.rglob(STEPS)]:
        network = "/".join(path.parent.relative_to(_stage_of(path)).parts)
        keys.update(key for line in read_metrics(path.parent, path.name) for key in keyed(line, network))
    for path in outputs.rglob(RESULT):
        if (result := read_result(path.parent)) and isinstance(result.get("numbers"), dict):
            keys |= set(scalars(result["numbers"])) | {f"tables/{name}" for name in tables(result["numbers"])}
            keys |= {f"figures/{Path(name).stem}" for name in result.get("figures", {})}
            keys |= {f"{result.get('stage')}/{key}" for key in result.get("steps", {})}
            keys |= {"examples"} if result.get("examples") else set()
            keys |= {"confusion"} & set(result["numbers"])
    return keys


def unknown_keys(definition: Mapping[str, Any], outputs: Path) -> list[str]:
    """Keys of the definition that nothing under `outputs` has logged."""
    logged = logged_keys(outputs)
    return [key for key in wanted_keys(definition) if key not in logged]


def workspace(definition: Mapping[str, Any], entity: str, project: str) -> Any:
    """The definition as a workspace of wandb-workspaces; needs no network. Raises UserError without that package."""
    try:
        from wandb_workspaces import workspaces
        from wandb_workspaces.reports import v2 as reports
    except ImportError as error:
        raise UserError(MISSING) from error

    def panel(entry: Mapping[str, Any]) -> list[Any]:
        title, keys = entry["title"], entry["keys"]
        if entry["kind"] == "lines":
            return [reports.LinePlot(title=title, x=entry["x"], y=keys)]
        if entry["kind"] == "bars":
            return [reports.BarPlot(title=title, metrics=keys)]
        if entry["kind"] == "pictures":
            return [reports.MediaBrowser(title=title, media_keys=keys, gallery_axis="step", mode="gallery")]
        if entry["kind"] == "confusion":
            return [confusion(title, key) for key in keys]
        return [reports.WeavePanelSummaryTable(table_name=key) for key in keys]

    def confusion(title: str, key: str) -> Any:
        query = {"summaryTable": {"tableKey": f"{key}_table"}}
        return reports.CustomChart(query, CONFUSION, CONFUSION_FIELDS, {"title": title})

    sections = [
        workspaces.Section(name=section["title"], is_open=True, panels=[p for e in section["panels"] for p in panel(e)])
        for section in definition["sections"]
    ]
    return workspaces.Workspace(name=definition["name"], entity=entity, project=project, sections=sections)


def publish(definition: Mapping[str, Any], project: str) -> str:
    """Save the workspace to the account that is logged in and return its address. Raises UserError otherwise."""
    import wandb

    try:
        entity = wandb.Api(timeout=20).default_entity
    except wandb.errors.UsageError as error:
        raise UserError(LOGIN) from error
    except Exception as error:
        raise UserError(f"Weights & Biases does not answer ({str(error).partition(chr(10))[0]}); {LOGIN}") from error
    if not entity:
        raise UserError(LOGIN)
    return workspace(definition, entity, project).save().url


def _stage_of(path: Path) -> Path:
    """The stage's folder a metrics.jsonl lies in: the nearest one with a result, or else its own."""
    return next((folder for folder in path.parents if (folder / RESULT).exists()), path.parent)


def main(words: list[str]) -> None:
    """The command `zfnet dashboard` with the words that follow it. Raises UserError."""
    if {"-h", "--help"} & set(words):
        return print((__doc__ or "").strip())
    if words not in ([], ["check"]):
        raise UserError(f"{' '.join(words)}: unknown; `zfnet dashboard check` compares, `zfnet dashboard` publishes")
    return _check() if words else _publish()


def _check() -> None:
    if unknown := unknown_keys(read(), OUTPUTS):
        raise UserError(f"{DEFINITION.name}: no run under {OUTPUTS}/ has logged {', '.join(unknown)}")


def _publish() -> None:
    print(f"dashboard: {publish(read(), WandbOptions().project)}")
