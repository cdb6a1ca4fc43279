"""Stage evolution: [ZF13] Fig. 4."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zfnet.experiments.context import Context
from zfnet.experiments.evolution.options import EvolutionOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome

if TYPE_CHECKING:
    from zfnet.networks.network import Network


def run(context: Context) -> Outcome:
    from zfnet.experiments.evolution import compute
    from zfnet.networks.checkpoint import load_trained
    from zfnet.training.ended import read_numbers

    folder = context.folder("train")
    last = read_numbers(folder)["epochs"]
    epochs = sorted(epoch for epoch in {*context.config.train.snapshots, last} if epoch <= last)
    checkpoints = [(epoch, folder / "snapshots" / f"epoch_{epoch:04d}.pt") for epoch in epochs]

    def load(path: Path) -> Network:
        return load_trained(path, context.device)

    out, seed, workers = context.out, context.seed, context.workers
    return compute.run(context.options, checkpoints, context.train, out, seed, load, workers)


EVOLUTION = Stage(
    "evolution",
    "[ZF13] Fig. 4",
    run,
    options=EvolutionOptions,
    needs=("train",),
    reads=("evolution", "seed"),
    version=6,
    trains=True,
    uses_network=False,
)
