"""Stage ablations: [ZF13] Table 3, networks with layers removed or resized, all trained alike."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zfnet.core.errors import UserError
from zfnet.experiments.ablations.control import initial_errors
from zfnet.experiments.ablations.options import AblationsOptions
from zfnet.experiments.context import Context
from zfnet.experiments.stage import Stage
from zfnet.experiments.trainings import (
    NOCLIP,
    PAPERSCALE,
    Training,
    check_training,
    error_measure,
    train_unless_elsewhere,
    variant,
)
from zfnet.pipeline.record import Outcome
from zfnet.training.options import TrainOptions


def check(context: Context) -> None:
    options = context.options
    if options.n_classes == 1:
        raise UserError("ablations.n_classes: one class leaves nothing to classify; 0 takes all of them")
    check_training(context, *options.rows)


def trainings_by_row(context: Context) -> dict[str, list[Training]]:
    """The trainings of each row, one a seed."""
    config, options = context.config, context.options
    caches = few_classes(context, options.n_classes, context.out / "images")
    by_row = {}
    for row in rows_of(options.rows, options.paperscale_epochs):
        model, recipe = variant(config.model, _recipe(context), row, options.paperscale_epochs)
        of_row = []
        for seed in options.seeds:
            of_row.append(Training(model, replace(recipe, seed=seed), context.out / row / f"seed_{seed}", caches))
        by_row[row] = of_row
    return by_row


def trainings(context: Context) -> list[Training]:
    """Those of all rows, row by row."""
    return list(itertools.chain.from_iterable(trainings_by_row(context).values()))


def run(context: Context) -> Outcome:
    from zfnet.networks.table import TABLE3, architecture
    from zfnet.training.fit import MEASURED

    config, options = context.config, context.options
    recipe = _recipe(context)
    table: dict[str, Any] = {}
    train_seconds = 0.0
    for row, of_row in trainings_by_row(context).items():
        trained = [train_unless_elsewhere(context, training) for training in of_row]
        folders = [folder.relative_to(context.out.parent).as_posix() for folder, _ in trained]
        runs = [numbers_of_run for _, numbers_of_run in trained]
        table[row] = summary(runs) | {"folders": folders}
        own = [run for folder, run in trained if folder.is_relative_to(context.out)]
        train_seconds += sum(run["train_seconds"] for run in own)
        print(f"  {row:22} val top-1 error {table[row]['val_top1_error']['value']:.1f} %", flush=True)
    last = runs[0]
    numbers = {
        "max_epochs": recipe.epochs,
        "rule": _rule(recipe),
        "seeds": list(options.seeds),
        "rows": table,
        "train_seconds": train_seconds,
        "n_classes": last["n_classes"],
        "n_train": last["n_train"],
        "n_val": last["n_val"],
        "n_train_measured": min(last["n_train"], MEASURED),
        "full_units": architecture("zfnet", last["pictures"], config.model.width).fulls[6].units,
        "spread": _spread(options.seeds),
    }
    if missing := [row for row in TABLE3 if row not in table]:
        numbers["not_trained"] = ", ".join(missing)
    best = min(table, key=lambda row: table[row]["val_top1_error"]["value"])
    unfinished = [row for row, numbers_of_row in table.items() if not numbers_of_row["converged"]]
    ended = f"not converged: {', '.join(unfinished)}" if unfinished else "all converged"
    return Outcome(numbers, {}, f"{len(table)} networks, best {best}; {ended}")


def _recipe(context: Context) -> TrainOptions:
    """The recipe of all rows but for what is peculiar to one."""
    recipe = context.config.train
    return replace(recipe, epochs=context.options.epochs or recipe.epochs, snapshots=[])


def _spread(seeds: Sequence[int]) -> str:
    """What the spread of the rows is over, in words."""
    if len(seeds) > 1:
        return f"Spreads are standard deviations over the {len(seeds)} trainings of a row."
    return "Intervals are over the images alone; two networks of the same recipe differ too."


def _rule(recipe: TrainOptions) -> str:
    """The rule by which the trainings end, in words."""
    if recipe.schedule != "plateau" or not recipe.stop_after:
        return f"every network is trained for {recipe.epochs} epochs, which does not show whether it has converged"
    return (
        f"the learning rate is multiplied by {recipe.factor:g} after {recipe.patience} epochs without a lower "
        f"validation error; a training has converged when that has happened {recipe.stop_after} times; "
        f"{recipe.epochs} epochs at most"
    )


def rows_of(configured: Sequence[str], paperscale_epochs: int) -> list[str]:
    """The rows to train: the configured ones, or all of Table 3 and the network without renormalization."""
    from zfnet.networks.table import TABLE3

    rows = list(configured) or [*TABLE3, "zfnet" + NOCLIP]
    if paperscale_epochs:
        rows += ["zfnet" + PAPERSCALE, "zfnet" + PAPERSCALE + NOCLIP]
    return rows


def few_classes(context: Context, count: int, folder: Path) -> Path:
    """The folder of caches with the data stage's first `count` classes, built in `folder`; 0: the stage's own."""
    if count == 0:
        return context.image_cache
    for name, images in zip(("train", "val"), context.images, strict=True):
        index = images.index.only_classes(images.index.classes[:count])
        context.cache("data", index, folder / name, mean=name == "train")
    return folder


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The errors of one row in percent: means over seeds, or of one network."""
    from zfnet.training.fit import MEASURED

    n_val, n_measured = runs[0]["n_val"], min(runs[0]["n_train"], MEASURED)
    last_epochs = [run["history"][-1] for run in runs]
    return {
        "converged": all(run["converged"] for run in runs),
        "training": _training(runs),
        "train_top1_error": error_measure([run["train"]["top1_error"] for run in runs], n_measured),  # center crop
        "center_top1_error": error_measure([run["center"]["top1_error"] for run in runs], n_val),
        "val_top1_error": error_measure([run["top1_error"] for run in runs], n_val),
        "val_top5_error": error_measure([run["top5_error"] for run in runs], n_val),
        "parameters": runs[0]["parameters"],
        "made_by": [run.get("made_by", {}) for run in runs],
        "clipped_conv1": float(np.mean([line["clipped_filters"]["conv1"] for line in last_epochs])),
        "rms_conv1": float(np.max([line["rms_max"]["conv1"] for line in last_epochs])),
    }


def _training(runs: Sequence[Mapping[str, Any]]) -> str:
    """How the trainings of a row ended, in words: "converged after 31, 28 epochs"."""
    epochs = ", ".join(str(run["epochs"]) for run in runs)
    return f"{'converged' if all(run['converged'] for run in runs) else 'not converged'} after {epochs} epochs"


def control(context: Context, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The errors of the rows before their trainings."""
    caches = few_classes(context, context.options.n_classes, context.out / "images")
    return initial_errors(context, numbers, caches)


ABLATIONS = Stage(
    "ablations",
    "[ZF13] Table 3",
    run,
    check,
    options=AblationsOptions,
    control=control,
    trainings=trainings,
    needs=("data",),
    reads=("ablations", "model.width", "model.init", "model.dropout", "train"),
    version=7,
    keeps=True,
    leaves=("*/seed_*/model.pt",),
    trains=True,
)
