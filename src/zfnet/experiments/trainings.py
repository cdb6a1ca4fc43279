"""The job of a training and the checks before it, shared by the stages that train networks.

A row of the ablations is a network of the table with suffixes that change its recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfnet.core.errors import UserError
from zfnet.core.statistics import Measure
from zfnet.experiments.context import Context
from zfnet.networks.options import ModelOptions
from zfnet.training.options import TrainOptions

if TYPE_CHECKING:
    from zfnet.training.fit import Job

NOCLIP = "-noclip"  # suffix of a row that trains without RMS renormalization ([ZF13] Fig. 6a)
PAPERSCALE = "-paperscale"  # suffix of a row with the paper's scale of inputs, weights and learning rate


def train_one(
    context: Context, model: ModelOptions, recipe: TrainOptions, out: Path, caches: Path | None = None
) -> dict[str, Any]:
    """The numbers of a network trained in `out` on the data stage's images, or on those cached in `caches`."""
    from zfnet.training.run import train_network

    config = context.config
    job = _job(context, model, recipe, out, caches or context.image_cache)
    return train_network(job, config.gpus or config.workers, config.nodes, config.rendezvous)


def trained_elsewhere(
    context: Context, model: ModelOptions, recipe: TrainOptions, caches: Path | None = None
) -> Path | None:
    """The folder in which stage train or ensemble has done the same training, or None."""
    from zfnet.training.run import is_trained

    main = context.config.train
    if model != context.config.model or replace(recipe, seed=main.seed, snapshots=main.snapshots) != main:
        return None
    folder = context.folder("ensemble") / f"seed_{recipe.seed}"
    if recipe.seed == main.seed:
        folder, recipe = context.folder("train"), main
    return folder if is_trained(_job(context, model, recipe, folder, caches or context.image_cache)) else None


def _job(context: Context, model: ModelOptions, recipe: TrainOptions, out: Path, caches: Path) -> Job:
    from zfnet.training.fit import Job

    config = context.config
    device = "cuda" if config.gpus else config.device
    if not config.gpus and config.workers * config.nodes > 1:
        device = "cpu"
    return Job(model, recipe, config.checkpoints, str(out), device, str(caches / "train"), str(caches / "val"))


def error_measure(percents: Sequence[float], n_images: int) -> dict[str, Any]:
    """The mean of an error in percent with its interval over seeds, or of one network over its images; as JSON."""
    if len(percents) > 1:
        return Measure.over_repeats(percents, "seeds").to_json()
    return Measure.percentage(percents[0], n_images).to_json()


def check_training(context: Context, *rows: str) -> None:
    """Raise UserError for a machine that cannot train as configured, and for an unknown network."""
    from zfnet.data.crops import crop_size
    from zfnet.networks.table import architecture
    from zfnet.training.run import check_machine

    config = context.config
    if config.train.stop_after and config.train.schedule != "plateau":
        raise UserError("train.stop_after: counts plateaus, which needs train.schedule=plateau; or set it to 0")
    if config.data.source == "photographs":
        raise UserError(
            "data.source: photographs are for networks trained elsewhere; to train, give data.source=folder"
        )
    check_machine(config.device, config.gpus, config.nodes, config.rendezvous)
    for row in (config.model.name, *rows):
        architecture(network_of(row), crop_size(config.data.size), config.model.width)


def network_of(row: str) -> str:
    """The network of a row of the ablations: its name without the suffixes."""
    return row.removesuffix(NOCLIP).removesuffix(PAPERSCALE)


def variant(
    model: ModelOptions, recipe: TrainOptions, row: str, paperscale_epochs: int
) -> tuple[ModelOptions, TrainOptions]:
    """Network and recipe of one row of the ablations.

    At the paper's scale: its learning rate, constant, at batches of 16 instead of 128, since there are fewer images.
    """
    model = replace(model, name=network_of(row))
    if row.endswith(NOCLIP):
        recipe = replace(recipe, rms_radius=0.0)
    if PAPERSCALE not in row:
        return model, recipe
    recipe = replace(
        recipe,
        epochs=paperscale_epochs or recipe.epochs,
        divisor=1.0,
        lr=0.01,
        batch=16,
        reference_batch=16,
        schedule="constant",
        warmup_epochs=0.0,
    )
    return replace(model, init="gain"), recipe
