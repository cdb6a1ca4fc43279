"""The runner: stages run after those they need, and a stage that is done is skipped.

A stage is done when result.json, which is written last, holds the fingerprint of this configuration, and the files of
`Stage.leaves` are those whose checksums it holds. The fingerprint is a hash of the sections that the stage reads, of
its version, of the fingerprints of its needs and of the weights that these have left. So a changed value, or another
network in the place of the trained one, runs again what depends on it and nothing else.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from zfnet.core.errors import LacksData, LacksLayer, UserError
from zfnet.core.files import remove_unfinished
from zfnet.core.lock import lock_folder
from zfnet.core.machine import device_name, keep_memory, pick_device
from zfnet.core.options import flatten
from zfnet.core.progress import duration
from zfnet.core.resume import Part, checksum, read_checked
from zfnet.core.workers import Workers
from zfnet.data.listing import mark_outputs
from zfnet.experiments import sources
from zfnet.experiments.config import Settings
from zfnet.experiments.context import Context, device_of, folder_of, is_borrowed, raw_files
from zfnet.experiments.control import add_control
from zfnet.experiments.explain.photo import folder_name
from zfnet.experiments.stage import Stage
from zfnet.experiments.table import STAGES
from zfnet.pipeline import record
from zfnet.running.wandb_logger import About, RunLogger, under_agent


# ---------------------------------------------------------------- which stages
def parse_stages(text: str) -> list[str]:
    """The stage names in "train,occlusion". Raises UserError naming the first that is unknown."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STAGES:
            raise UserError(f"stage: no stage {name!r}; there are {', '.join(STAGES)}")
    if not names:
        raise UserError(f"stage: empty; name one of {', '.join(STAGES)}")
    return names


def needs(stage: Stage, config: Settings) -> tuple[str, ...]:
    """Names of the stages that run before this one; the report of a borrowed network needs none that train."""
    if stage.name == "report":
        reported = [other for other in STAGES.values() if other.name != "report" and not other.of_photo]
        return tuple(other.name for other in reported if not (is_borrowed(config) and other.trains))
    if is_borrowed(config) and stage.uses_network:
        return stage.borrowed_needs
    return stage.needs


def plan(names: list[str], config: Settings) -> list[Stage]:
    """The named stages and all they need, each once, needs first.

    Raises UserError for a stage about trainings where the network is a borrowed one.
    """
    wanted: set[str] = set()

    def add(name: str) -> None:
        wanted.add(name)
        for need in needs(STAGES[name], config):
            add(need)

    for name in names:
        add(name)
        if STAGES[name].trains and is_borrowed(config):
            raise UserError(
                f"stage: {name} is about training, and {config.network.name} was trained elsewhere; "
                "leave network out, or choose another stage"
            )
    return [stage for stage in STAGES.values() if stage.name in wanted]


# ---------------------------------------------------------------- what is done
def fingerprint(stage: Stage, config: Settings) -> str:
    """Hash of everything in the configuration that the stage's numbers depend on."""
    sections = {key: section(config, key) for key in stage.reads}
    if "data" in sections:
        root = config.data.root  # empty: paths.data, which is the user's and not the numbers'
        sections["data"] = {**sections["data"], "root": root and os.path.abspath(root)}
    content = {
        "sections": sections,
        "files": {key: raw_files(config, key) for key in stage.reads},
        "named": {key: sources.named_files(config, key) for key in stage.reads},
        "package": _texts(stage.package) if stage.package else "",
        "needs": [fingerprint(STAGES[name], config) for name in needs(stage, config)],
        "weights": {name: _weights(STAGES[name], config) for name in needs(stage, config)},
    }
    text = json.dumps([stage.name, stage.version, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _weights(stage: Stage, config: Settings) -> dict[str, Part]:
    """Checksums of the networks that a stage about training has left; empty for other stages and before it has run."""
    result = record.read_result(stage_folder(stage, config)) if stage.trains else None
    return result.get("leaves", {}) if result else {}


def section(config: Settings, key: str) -> Any:
    """The part of the configuration that a dotted key names, as plain values."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


@cache
def _texts(package: str) -> str:
    """Hash of the files of a package and of the folders below it."""
    folder = Path(str(resources.files(package)))
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def stage_folder(stage: Stage, config: Settings) -> Path:
    """The folder of the stage's outputs; stage explain has one for each photograph."""
    shared = stage.trains or not stage.uses_network
    folder = folder_of(config, stage.name, shared=shared)
    return folder / folder_name(config.image, config.explain) if stage.of_photo else folder


def image_cache(config: Settings) -> Path:
    """The folder of the caches train/ and val/: that of stage data, or one that runs share (paths.cache)."""
    stage = STAGES["data"]
    if not config.paths.cache:
        return stage_folder(stage, config)
    return Path(config.paths.cache) / fingerprint(stage, config)


def result_of(stage: Stage, config: Settings) -> dict[str, Any] | None:
    """The stage's result where it is current for this configuration, else None."""
    result = record.read_result(stage_folder(stage, config))
    if not result or result.get("fingerprint") != fingerprint(stage, config):
        return None
    leaves, folder = result.get("leaves"), _folder_of_leaves(stage, config)
    if leaves is None or any(_checksum(folder / name) != part for name, part in leaves.items()):
        return None
    return result


def _folder_of_leaves(stage: Stage, config: Settings) -> Path:
    return image_cache(config) if stage.name == "data" else stage_folder(stage, config)


def _leaves(stage: Stage, config: Settings) -> dict[str, Part | None]:
    """The files by which the stage is known, and their checksums."""
    folder = _folder_of_leaves(stage, config)
    files = [file for pattern in stage.leaves for file in sorted(folder.glob(pattern))]
    return {file.relative_to(folder).as_posix(): _checksum(file) for file in files}


def _checksum(file: Path) -> Part | None:
    """The checksum of a file, None where it cannot be read; computed once in a run while size and time stay."""
    try:
        state = file.stat()
        return _checksum_at(file, state.st_size, state.st_mtime_ns)
    except OSError:
        return None


@cache
def _checksum_at(file: Path, size: int, time_ns: int) -> Part:
    return checksum(file)


def context_of(stage: Stage, config: Settings) -> Context:
    """The context in which the stage runs."""

    def result(name: str) -> dict[str, Any] | None:
        return result_of(STAGES[name], config)

    return Context(config, stage.name, stage_folder(stage, config), image_cache(config), result)


# ---------------------------------------------------------------- the run
def run(config: Settings, command: str) -> list[Path]:
    """Run the stages that `config.stage` names, and those they need; returns their folders."""
    keep_memory()
    planned = plan(parse_stages(config.stage), config)
    for folder in filter(None, (config.paths.outputs, config.paths.cache)):
        mark_outputs(Path(folder))
    with _exclusive(config):
        _run_planned(planned, config, command)
    return [stage_folder(stage, config) for stage in planned]


def _run_planned(planned: list[Stage], config: Settings, command: str) -> None:
    sources.forget_listings()
    _checksum_at.cache_clear()
    if config.nodes == 1:  # else processes of another machine may be writing
        for folder in {image_cache(config), *(stage_folder(stage, config) for stage in planned)}:
            remove_unfinished(folder)
    pending = [stage for stage in planned if stage.of_photo or not result_of(stage, config)]
    passed_over = check_all(pending, config)
    for reason in passed_over.values():
        print(f"  passed over: {reason}", flush=True)
    for stage in planned:
        result = result_of(stage, config)
        if result and not stage.of_photo:
            print(f"{stage.name:16} done before   {result.get('headline', '')}", flush=True)
            continue
        logged = stage is planned[-1] or not under_agent()  # a sweep's agent opens one run
        _run_stage(stage, config, command, logged, passed_over.get(stage.name, ""))


def check_all(stages: list[Stage], config: Settings) -> dict[str, str]:
    """Raise UserError for the first error that one of the stages would raise while it runs.

    Stages that only the report asked for, and that need a layer or a dataset which is not there, are passed over:
    stage -> why.
    """
    named, passed_over = parse_stages(config.stage), {}
    if any(stage.uses_network or stage.trains for stage in stages):
        from zfnet.training.run import check_machine

        check_machine(config.device, config.gpus, config.nodes, config.rendezvous)
    if is_borrowed(config) and any(stage.uses_network for stage in stages):
        from zfnet.networks.load import check_network

        check_network(**dataclasses.asdict(config.network))
    for stage in sorted(stages, key=lambda stage: not stage.of_photo):  # the user's photograph first
        try:
            stage.check(context_of(stage, config))
        except (LacksLayer, LacksData) as error:
            if stage.name in named:
                raise
            passed_over[stage.name] = str(error)
    return passed_over


def _exclusive(config: Settings) -> contextlib.AbstractContextManager[None]:
    """Context that locks the profile's outputs for this run (not for nodes that train together)."""
    if config.nodes > 1:
        return contextlib.nullcontext()
    folder = Path(config.paths.outputs) / config.profile
    busy = f"paths.outputs: another run is working in {folder}; wait for it or give another folder"
    return lock_folder(folder, busy, wait=False)


def _run_stage(stage: Stage, config: Settings, command: str, logged: bool, passed_over: str) -> None:
    folder = stage_folder(stage, config)
    print(f"{stage.name:16} ...   {_changes(stage, config)}".rstrip(), flush=True)
    if folder.is_symlink():
        raise UserError(f"{folder}: a link; results are written to a folder: remove it, or link paths.outputs instead")
    if not stage.keeps and folder.exists():
        shutil.rmtree(folder)
    if not stage.of_photo:  # an explanation is replaced by the next one that succeeds
        (folder / record.RESULT).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    options = config.wandb if logged else dataclasses.replace(config.wandb, mode="disabled")
    root = folder_of(config, stage.name).parent
    network = config.network.name if is_borrowed(config) else config.model.name
    about = About(stage.artefact, network if stage.uses_network else "", command, fingerprint(stage, config))
    logger = RunLogger(options, root.name, stage.name, dataclasses.asdict(config), folder, root, about)
    commit = record.commit()  # of the code that runs, even if the checkout changes meanwhile
    outcome, started = None, time.monotonic()
    try:
        with Workers(config.gpus or config.workers, cuda=config.gpus > 0) as workers:
            context = dataclasses.replace(context_of(stage, config), workers=workers)
            outcome = record.skipped(passed_over) if passed_over else stage.run(context)
            add_control(stage.control, context, outcome)
    finally:
        logger.finish(outcome)
    seconds = time.monotonic() - started
    _write_result(stage, config, outcome, seconds, command, commit)
    print(f"{stage.name:16} {duration(seconds):>12}   {outcome.headline}", flush=True)


def _write_result(
    stage: Stage,
    config: Settings,
    outcome: record.Outcome,
    seconds: float,
    command: str,
    commit: tuple[str, bool],
) -> None:
    result = {
        "stage": stage.name,
        "artefact": stage.artefact,
        "profile": config.profile,
        "config": {key: section(config, key) for key in stage.reads},
        "fingerprint": fingerprint(stage, config),
        "files": raw_files(config, stage.name),
        "leaves": _leaves(stage, config),
        "seed": config.seed,
        "versions": record.versions(),
        "commit": commit[0],
        "dirty": commit[1],
        "device": device_name(pick_device(device_of(config))),
        "training": _training(stage, config),
        "seconds": round(seconds, 2),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "headline": outcome.headline,
        "numbers": outcome.numbers,
        "figures": outcome.figures,
        "steps": outcome.steps,
        "examples": outcome.examples,
    }
    record.write_result(stage_folder(stage, config), result)


def _training(stage: Stage, config: Settings) -> dict[str, Any]:
    """Commit and device of the training whose network the stage reads or made; {} for a borrowed network."""
    from zfnet.training.ended import NUMBERS

    if is_borrowed(config) or not (stage.uses_network or stage.trains):
        return {}
    numbers = read_checked(folder_of(config, "train", shared=True) / NUMBERS) or {}
    return dict(numbers.get("made_by") or {})


def _changes(stage: Stage, config: Settings, limit: int = 3) -> str:
    """Changes of the settings that the stage reads since it ran in this folder, as "train.epochs 2 -> 40"."""
    before = (record.read_result(stage_folder(stage, config)) or {}).get("config")
    if not isinstance(before, dict):
        return ""
    old = dict(flatten(before))
    changes = []
    for key, value in flatten({key: section(config, key) for key in stage.reads}):
        if key in old and old[key] != value and not isinstance(value, dict):
            changes.append(f"{key} {old[key]} -> {value}")
    if len(changes) > limit:
        changes = [*changes[:limit], "and more"]
    return "; ".join(changes)
