"""The trainings of a stage and the checks before them, shared by the stages that train networks.

A row of the ablations is a network of the table with suffixes that change its recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfnet.core.errors import UserError
from zfnet.core.statistics import Measure
from zfnet.experiments.context import Context, device_of
from zfnet.networks.options import ModelOptions
from zfnet.training.options import TrainOptions

if TYPE_CHECKING:
    from zfnet.training.fit import Job

WIDE = "-wide345"  # suffix of a network with layers 3, 4, 5 = 512, 1024, 512 ([ZF13] Tables 2 and 3)
NOCLIP = "-noclip"  # suffix of a row that trains without RMS renormalization ([ZF13] Fig. 6a)
PAPERSCALE = "-paperscale"  # suffix of a row with the paper's scale of inputs, weights and learning rate


@dataclass(frozen=True)
class Training:
    """A network that a stage trains in the folder `out`, on the images that are cached in `caches`."""

    model: ModelOptions
    recipe: TrainOptions
    out: Path
    caches: Path

    def gives_network_of(self, other: Training) -> bool:
        """Whether both end in the same network; the snapshots that they keep may differ."""
        recipe = replace(self.recipe, snapshots=other.recipe.snapshots)
        return (self.model, recipe, self.caches) == (other.model, other.recipe, other.caches)


def train_one(context: Context, training: Training) -> dict[str, Any]:
    """The numbers of the network, which is trained unless its folder holds it."""
    from zfnet.training.run import train_network

    config = context.config
    job = _job(context, training)
    return train_network(job, config.gpus or config.workers, config.nodes, config.rendezvous)


def train_unless_elsewhere(context: Context, training: Training) -> tuple[Path, dict[str, Any]]:
    """(folder, numbers) of the network, which stage train or ensemble may have trained already."""
    from zfnet.training.ended import read_numbers

    folder = _trained_elsewhere(context, training)
    if folder is not None:
        return folder, read_numbers(folder)
    return training.out, train_one(context, training)


def network_of_seed(context: Context, seed: int) -> Training:
    """The network of stage train, or with another seed one of stage ensemble."""
    config, recipe = context.config, context.config.train
    if seed == recipe.seed:
        return Training(config.model, recipe, context.folder("train"), context.image_cache)
    recipe = replace(recipe, seed=seed, snapshots=[])
    return Training(config.model, recipe, context.folder("ensemble") / f"seed_{seed}", context.image_cache)


def wide_network(context: Context) -> Training:
    """Net (b) of [ZF13] Table 2, of stage ensemble."""
    config = context.config
    wide = replace(config.model, name=f"{config.model.name}{WIDE}")
    recipe = replace(config.train, snapshots=[])
    return Training(wide, recipe, context.folder("ensemble") / "wide", context.image_cache)


def _trained_elsewhere(context: Context, training: Training) -> Path | None:
    """The folder in which stage train or ensemble has trained the same network, or None."""
    from zfnet.training.run import is_trained

    for other in (network_of_seed(context, training.recipe.seed), wide_network(context)):
        if training.gives_network_of(other) and is_trained(_job(context, other)):
            return other.out
    return None


def _job(context: Context, training: Training) -> Job:
    from zfnet.training.fit import Job

    config, device = context.config, device_of(context.config)
    train, val = str(training.caches / "train"), str(training.caches / "val")
    return Job(training.model, training.recipe, config.checkpoints, str(training.out), device, train, val)


def error_measure(percents: Sequence[float], n_images: int) -> dict[str, Any]:
    """The mean of an error in percent with its interval over seeds, or of one network over its images; as JSON."""
    if len(percents) > 1:
        return Measure.over_repeats(percents, "seeds").to_json()
    return Measure.percentage(percents[0], n_images).to_json()


def check_training(context: Context, *rows: str) -> None:
    """Raise UserError for a training that is impossible as configured, and for an unknown network."""
    from zfnet.data.crops import crop_size
    from zfnet.networks.table import architecture

    config = context.config
    if config.train.stop_after and config.train.schedule != "plateau":
        raise UserError("train.stop_after: counts plateaus, which needs train.schedule=plateau; or set it to 0")
    if config.data.source == "photographs":
        raise UserError(
            "data.source: photographs are for networks trained elsewhere; to train, give data.source=folder"
        )
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
