"""The networks of several stages trained as jobs of their own, with the key `shard`.

Shard i of n trains every n-th network from the i-th on, of those that the planned stages train, each in the folder in
which its stage looks for it, under the lock of that folder alone. So shards run side by side in one profile, on one
machine or several. A shard writes no result: the same command without `shard` does, which finds the networks there.
"""

import dataclasses
import re
import time
from pathlib import Path

from zfnet.core.errors import UserError
from zfnet.core.progress import duration
from zfnet.data.listing import mark_outputs
from zfnet.experiments import sources
from zfnet.experiments.config import Settings
from zfnet.experiments.stage import Stage
from zfnet.experiments.trainings import Training, train_unless_elsewhere
from zfnet.pipeline.record import Outcome
from zfnet.running.runner import check_all, context_of, fingerprint, parse_stages, plan, result_of
from zfnet.running.wandb_logger import About, RunLogger


def parse_shard(text: str) -> tuple[int, int]:
    """(i, n) of "i/n". Raises UserError unless 1 <= i <= n."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"shard: {text!r} is not i/n with i from 1 to n; give for example shard=1/4")
    return int(match[1]), int(match[2])


def run_shard(config: Settings, command: str) -> list[Path]:
    """Train the networks of `config.shard` that are not trained yet; returns the folders of all of them.

    Raises UserError where the planned stages train no network, or where the images are not cached.
    """
    position, count = parse_shard(config.shard)
    mark_outputs(Path(config.paths.outputs))
    sources.forget_listings()
    stages = _stages(config)
    check_all(stages, config)
    planned = distinct_trainings(stages, config)
    mine = planned[position - 1 :: count]
    print(f"shard {position} of {count}: {len(mine)} of {len(planned)} networks", flush=True)
    return [_train(stage, training, config, command) for stage, training in mine]


def _stages(config: Settings) -> list[Stage]:
    """The planned stages that train networks; the others that they need must be done."""
    stages = []
    for stage in plan(parse_stages(config.stage), config):
        if stage.trainings:
            stages.append(stage)
        elif not stages and not result_of(stage, config):  # before any training: stage data
            raise UserError(f"shard: stage {stage.name} comes first; run stage={stage.name} without shard")
    if not stages:
        raise UserError(f"shard: stage={config.stage} trains no network; name train, ensemble or ablations")
    return stages


def distinct_trainings(stages: list[Stage], config: Settings) -> list[tuple[Stage, Training]]:
    """The trainings of the stages in their order; a network that several stages train is that of the first."""
    distinct: list[tuple[Stage, Training]] = []
    for stage in stages:
        assert stage.trainings is not None
        for training in stage.trainings(context_of(stage, config)):
            if not any(training.gives_network_of(other) for _, other in distinct):
                distinct.append((stage, training))
    return distinct


def _train(stage: Stage, training: Training, config: Settings, command: str) -> Path:
    """The folder of the network, which is trained unless it is there; its W&B run is named after its folder."""
    context = context_of(stage, config)
    root = context.out.parent
    name = training.out.relative_to(root).as_posix()
    print(f"{name} ...", flush=True)
    about = About(stage.artefact, training.model.name, command, fingerprint(stage, config))
    settings = dataclasses.asdict(dataclasses.replace(config, model=training.model, train=training.recipe))
    run_name = name.replace("/", "-")
    logger = RunLogger(config.wandb, root.name, run_name, settings, training.out, root, about)
    outcome, started = None, time.monotonic()
    try:
        folder, numbers = train_unless_elsewhere(context, training)
        outcome = Outcome(numbers)
    finally:
        logger.finish(outcome)
    print(f"{name}   {duration(time.monotonic() - started)}   top-1 error {numbers['top1_error']:.1f} %", flush=True)
    return folder
