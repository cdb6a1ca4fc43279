"""Stage ensemble: [ZF13] Table 2, networks that are averaged."""

from dataclasses import replace

from zfnet.experiments.context import Context
from zfnet.experiments.ensemble.options import EnsembleOptions
from zfnet.experiments.stage import Stage
from zfnet.experiments.trainings import check_training, train_one
from zfnet.pipeline.record import Outcome, skipped


def check(context: Context) -> None:
    config = context.config
    check_training(context, *([f"{config.model.name}-wide345"] if config.ensemble.wide else []))


def run(context: Context) -> Outcome:
    from zfnet.core.precision import resolve
    from zfnet.experiments.ensemble.compute import table2, ten_crop_probabilities
    from zfnet.networks.checkpoint import load_trained

    config, out = context.config, context.out
    options, recipe = config.ensemble, replace(config.train, snapshots=[])
    seeds = [seed for seed in options.seeds if seed != config.train.seed]
    if not seeds and not options.wide:
        return skipped("ensemble.seeds is empty and ensemble.wide is false")
    folders = [out / f"seed_{seed}" for seed in seeds]
    trained = []
    for seed, folder in zip(seeds, folders, strict=True):
        trained.append(train_one(context, config.model, replace(recipe, seed=seed), folder))
    if options.wide:
        wide = replace(config.model, name=f"{config.model.name}-wide345")
        trained.append(train_one(context, wide, recipe, out / "wide"))

    precision = resolve(config.train.precision, context.device)
    probabilities = []
    for folder in (context.folder("train"), *folders, *([out / "wide"] if options.wide else [])):
        network = load_trained(folder / "model.pt", context.device)
        probabilities.append(ten_crop_probabilities(network, context.val, precision))
    other = probabilities.pop() if options.wide else None
    rows = table2(probabilities, other, context.val.index.labels)
    numbers = {
        "seeds": [config.train.seed, *seeds],
        "epochs": recipe.epochs,
        "n_val": len(context.val),
        **rows,
        "train_seconds": sum(run["train_seconds"] for run in trained),
    }
    best = rows.get("all") or rows["average"]
    single = rows["single"]["top1_error"]["value"]
    headline = f"{best['n_networks']} networks: top-1 error {best['top1_error']['value']:.1f} %, singly {single:.1f} %"
    return Outcome(numbers, {}, headline)


ENSEMBLE = Stage(
    "ensemble",
    "[ZF13] Table 2, averaged nets",
    run,
    check,
    options=EnsembleOptions,
    needs=("train",),
    reads=("ensemble", "model", "train"),
    version=4,
    keeps=True,
    trains=True,
)
