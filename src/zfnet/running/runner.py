"""The table of stages, and the one way they run.

A stage has a name, the stages it needs, the sections of the configuration it reads and the artefact of the papers it
makes. Running one runs what it needs first, skips what is done, and writes result.json last. "Done" means that
result.json exists, beside the files that the stage is known by, and its fingerprint - of the sections it reads, its
version and the fingerprints of its needs - is the one this configuration would give. So a changed value reruns what
depends on it and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from zfnet.core.errors import UserError
from zfnet.core.lock import lock_folder
from zfnet.core.machine import device_name, keep_memory
from zfnet.core.progress import duration
from zfnet.experiments import sources
from zfnet.experiments.checks import check_inputs
from zfnet.experiments.config import Config
from zfnet.networks.options import TRAINED
from zfnet.pipeline import record
from zfnet.running.wandb_logger import Mirror, under_agent

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Stage:
    """One row of the table. `reads` are keys of the configuration; `version` grows when the same input gives more."""

    name: str
    artefact: str  # what of which paper it makes
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    keeps: bool = False  # its folder holds what can be gone on with: not emptied before it runs again
    version: int = 1
    made_of: str = ""  # folder of this package with its texts: made again when one of them is another
    leaves: tuple[str, ...] = ()  # files of its folder without which it is not done, whatever result.json says
    of_photo: bool = False  # looks at the user's `image`: checked before anything runs, never "done", not in the report


_CACHES = ("train/store.json", "val/store.json")
_TRAINING = ("model.width", "model.init", "model.dropout", "train")
_CACHING = ("data.menagerie", "data.bad_limit", "data.cache", "data.quality")  # read where stage data is not needed

_TABLE = (
    Stage("data", "images drawn or read, shrunk, cached; mean image", (), ("data",), keeps=True, leaves=_CACHES),
    Stage(
        "train",
        "[ZF13] Table 2, single net; snapshots",
        ("data",),
        ("model", "train"),
        keeps=True,
        leaves=("model.pt",),
    ),
    Stage(
        "ensemble", "[ZF13] Table 2, averaged nets", ("train",), ("ensemble", "model", "train"), keeps=True, version=2
    ),
    Stage("ablations", "[ZF13] Table 3", ("data",), ("ablations", *_TRAINING), keeps=True, version=2),
    Stage("top_activations", "[ZF13] Fig. 2, and all maps", ("train",), ("top_activations", "seed"), version=3),
    Stage("evolution", "[ZF13] Fig. 4", ("train",), ("evolution", "seed"), version=3),
    Stage("first_layer", "[ZF13] Fig. 6", ("train", "ablations"), ("first_layer", "seed"), version=2),
    Stage("invariance", "[ZF13] Fig. 5", ("train",), ("invariance", "seed"), version=2),
    Stage("occlusion", "[ZF13] Fig. 7", ("train",), ("occlusion", "seed"), version=3),
    Stage("correspondence", "[ZF13] Table 1, Fig. 8", ("train",), ("correspondence", "seed"), version=3),
    Stage("class_model", "[SVZ13] Fig. 1", ("train",), ("class_model", "seed"), version=2),
    Stage("saliency", "[SVZ13] Fig. 2", ("train",), ("saliency", "seed")),
    Stage("patterns", "[K17] Figs. 3, 4, 6", ("train",), ("patterns", "seed"), version=3),
    Stage("transfer", "[ZF13] Tables 4 and 7, Fig. 9", ("train",), ("transfer", "seed", *_CACHING), keeps=True),
    Stage("voc", "[ZF13] Table 6", ("train",), ("voc", "seed"), keeps=True),
    Stage("localization", "[SVZ13] 3.2 and Fig. 3", ("train",), ("localization", "seed"), keeps=True),
)
_REPORT = Stage(
    "report",
    "every table and figure beside the papers'",
    tuple(stage.name for stage in _TABLE),
    ("report",),
    made_of="report",
    leaves=("index.html",),
)
_LOOK = Stage("look", "every method on a photograph: image=FILE", ("train",), ("image", "look", "seed"), of_photo=True)
STAGES: dict[str, Stage] = {stage.name: stage for stage in (*_TABLE, _REPORT, _LOOK)}


def parse_stages(text: str) -> list[str]:
    """The stage names in "train,occlusion". Raises UserError naming the first that is unknown."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STAGES:
            raise UserError(f"stage: no stage {name!r}; known: {', '.join(STAGES)}")
    if not names:
        raise UserError(f"stage: empty; name one of {', '.join(STAGES)}")
    return names


def needs(stage: Stage, config: Config) -> tuple[str, ...]:
    """What the stage needs in this configuration: with somebody else's network none of what we make of ours."""
    return () if _network(stage, config)[0] != TRAINED else stage.needs


def _network(stage: Stage, config: Config) -> tuple[str, str]:
    """Whose network the stage looks at, and the file of its weights: ours where its section names none."""
    section = getattr(config, stage.name, None)
    return getattr(section, "network", TRAINED), getattr(section, "weights", "")


def plan(names: list[str], config: Config | None = None) -> list[Stage]:
    """The named stages and all they need, each once, needs first."""
    wanted: set[str] = set()

    def add(name: str) -> None:
        wanted.add(name)
        for need in needs(STAGES[name], config or Config()):
            add(need)

    for name in names:
        add(name)
    return [stage for stage in STAGES.values() if stage.name in wanted]


def fingerprint(stage: Stage, config: Config) -> str:
    """Hash of everything in the configuration that the stage's numbers depend on."""
    told = {key: _section(config, key) for key in stage.reads}
    if "data" in told:
        root = config.data.root  # empty: paths.data, which is the user's and not the numbers'
        told["root"] = root and os.path.abspath(root)
        told["data"] = {**told["data"], "root": told["root"]}
    told["files"] = {key: digest for key in stage.reads if (digest := raw_files(config, key))}
    if named := {key: digests for key in stage.reads if (digests := sources.named_files(config, key))}:
        told["named"] = named
    if stage.made_of:
        told["made_of"] = _texts(PACKAGE / stage.made_of)
    before = [fingerprint(STAGES[name], config) for name in needs(stage, config)]
    text = json.dumps([stage.name, stage.version, told, before], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _texts(folder: Path) -> str:
    """Hash of the files of a folder and of those below it."""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def run(config: Config, command: str) -> list[Path]:
    """Run the stages that `config.stage` names, with all they need; returns their folders.

    Raises UserError; what was computed before the error stays.
    """
    keep_memory()
    sources.forget_listings()
    planned, folders = plan(parse_stages(config.stage), config), []
    if any(stage.of_photo for stage in planned):
        importlib.import_module("zfnet.experiments.stages").check_photo(config)
    for stage in planned:
        network, weights = _network(stage, config)
        if weights:
            importlib.import_module("zfnet.networks.pretrained").check_weights(stage.name, network, weights)
    ahead = [stage for stage in planned if not result_of(stage, config)]
    if any("train" in stage.reads for stage in ahead):
        importlib.import_module("zfnet.experiments.wiring").check_machine(config)
    check_inputs(config, [stage.name for stage in ahead])
    for stage in planned:
        folder = folder_of(stage, config)
        done = result_of(stage, config)
        if done and not stage.of_photo:
            print(f"{stage.name:16} done before   {done.get('headline', '')}", flush=True)
        else:
            mirrored = stage is planned[-1] or not under_agent()  # a sweep's agent opens one run
            with _alone(stage, config):
                _run_stage(stage, config, folder, command, mirrored)
        folders.append(folder)
    return folders


def folder_of(stage: Stage, config: Config) -> Path:
    """Where the stage leaves its outputs; a look has one a photograph and network."""
    folder = Path(config.paths.outputs) / config.profile / stage.name
    if not stage.of_photo:
        return folder
    network = config.look.network
    return folder / (Path(config.image).stem + ("" if network == TRAINED else f"-{network}"))


def cache_folder(config: Config) -> Path:
    """Where stage data leaves the caches train/ and val/: in its own folder, or where other runs find them too."""
    stage = STAGES["data"]
    if not config.paths.cache:
        return folder_of(stage, config)
    return Path(config.paths.cache) / fingerprint(stage, config)


def result_of(stage: Stage, config: Config) -> dict[str, Any] | None:
    """The stage's result where this configuration would give the same, else None."""
    where = cache_folder(config) if stage.name == "data" else folder_of(stage, config)
    if not all((where / file).is_file() for file in stage.leaves):
        return None
    done = record.read_result(folder_of(stage, config))
    return done if done and done.get("fingerprint") == fingerprint(stage, config) else None


def _alone(stage: Stage, config: Config) -> contextlib.AbstractContextManager[None]:
    """Context that one run at a time enters for this folder; raises UserError where another run works in it.

    Several nodes that train together are one run.
    """
    folder = folder_of(stage, config)
    if config.nodes > 1:
        return contextlib.nullcontext()
    busy = f"paths.outputs: another run is working in {folder}; wait for it or give another folder"
    return lock_folder(folder, busy, wait=False)


def _changes(stage: Stage, config: Config, most: int = 3) -> str:
    """What is new since the stage ran in this folder, as "train.epochs 2 -> 40", as far as it reads it itself."""
    before = (record.read_result(folder_of(stage, config)) or {}).get("config")
    if not isinstance(before, dict):
        return ""
    old, new = (dict(_flat(values)) for values in (before, {key: _section(config, key) for key in stage.reads}))
    told = [f"{key} {old[key]} -> {value}" for key, value in new.items() if key in old and old[key] != value]
    return "; ".join([*told[:most], *(["and more"] if len(told) > most else [])])


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def _run_stage(stage: Stage, config: Config, folder: Path, command: str, mirrored: bool) -> None:
    print(f"{stage.name:16} ...   {_changes(stage, config)}".rstrip(), flush=True)
    if not stage.keeps and folder.exists():
        shutil.rmtree(folder)
    (folder / record.RESULT).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    dashboard = config.wandb if mirrored else dataclasses.replace(config.wandb, mode="disabled")
    root = Path(config.paths.outputs) / config.profile
    mirror = Mirror(dashboard, config.profile, stage.name, dataclasses.asdict(config), folder, root)
    outcome, began = None, time.monotonic()
    try:
        function = getattr(importlib.import_module("zfnet.experiments.stages"), stage.name)
        outcome = function(config, folder)
    finally:
        mirror.finish(outcome)
    seconds = time.monotonic() - began
    _write_result(stage, config, folder, outcome, seconds, command)
    print(f"{stage.name:16} {duration(seconds):>12}   {outcome.headline}", flush=True)


def _write_result(
    stage: Stage, config: Config, folder: Path, outcome: record.Outcome, seconds: float, command: str
) -> None:
    from zfnet.core.machine import pick_device

    head, dirty = record.commit()
    result = {
        "stage": stage.name,
        "artefact": stage.artefact,
        "profile": config.profile,
        "config": {key: _section(config, key) for key in stage.reads},
        "fingerprint": fingerprint(stage, config),
        "files": raw_files(config, stage.name),
        "seed": config.seed,
        "versions": record.versions(),
        "commit": head,
        "dirty": dirty,
        "device": device_name(pick_device(config.device)),
        "seconds": round(seconds, 2),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "headline": outcome.headline,
        "numbers": outcome.numbers,
        "figures": outcome.figures,
        "steps": outcome.steps,
    }
    record.write_result(folder, result)


def raw_files(config: Config, section: str) -> str:
    """What lies in the raw folder that the section reads; as recorded where the folder was removed after use."""
    found = sources.raw_files(config, section)
    if found is None:
        recorded = record.read_result(folder_of(STAGES[section], config)) or {}
        found = recorded.get("files", "")
    return found


def _section(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
