"""Stage ensemble: [ZF13] Table 2, networks that are averaged."""

from zfnet.experiments.context import Context
from zfnet.experiments.ensemble.options import EnsembleOptions
from zfnet.experiments.stage import Stage
from zfnet.experiments.trainings import WIDE, Training, check_training, network_of_seed, train_one, wide_network
from zfnet.pipeline.record import Outcome, skipped


def check(context: Context) -> None:
    config = context.config
    check_training(context, *([f"{config.model.name}{WIDE}"] if config.ensemble.wide else []))


def trainings(context: Context) -> list[Training]:
    """The networks beside that of stage train: one for each further seed, and the wide one."""
    further = [network_of_seed(context, seed) for seed in further_seeds(context)]
    return [*further, wide_network(context)] if context.options.wide else further


def further_seeds(context: Context) -> list[int]:
    """The seeds of the networks that differ from that of stage train by nothing else."""
    return [seed for seed in context.config.ensemble.seeds if seed != context.config.train.seed]


def run(context: Context) -> Outcome:
    from zfnet.core.precision import resolve
    from zfnet.core.progress import track
    from zfnet.experiments.ensemble.compute import table2, ten_crop_probabilities
    from zfnet.networks.checkpoint import load_trained

    config, options = context.config, context.config.ensemble
    planned = trainings(context)
    if not planned:
        return skipped("ensemble.seeds is empty and ensemble.wide is false")
    trained = [train_one(context, training) for training in planned]

    precision = resolve(config.train.precision, context.device)
    folders = [context.folder("train"), *(training.out for training in planned)]
    networks = [load_trained(folder / "model.pt", context.device) for folder in folders]
    places = range(len(networks))
    of_networks = context.workers.map(ten_crop_probabilities, places, context.val, precision, *networks)
    probabilities = list(track(of_networks, "ten crops, network", len(networks)))
    other = probabilities.pop() if options.wide else None
    rows = table2(probabilities, other, context.val.index.labels)
    numbers = {
        "seeds": [config.train.seed, *further_seeds(context)],
        "epochs": config.train.epochs,
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
    trainings=trainings,
    needs=("train",),
    reads=("ensemble", "model", "train"),
    version=4,
    keeps=True,
    trains=True,
)
