"""Stage train: the network of the profile, its error ([ZF13] Table 2, single net) and its snapshots."""

import numpy as np

from zfnet.experiments.context import Context
from zfnet.experiments.stage import Stage
from zfnet.experiments.trainings import Training, check_training, error_measure, network_of_seed, train_one
from zfnet.pipeline.record import Outcome

NORMALIZED = 16  # validation images on which the contrast normalization is measured


def check(context: Context) -> None:
    check_training(context)


def trainings(context: Context) -> list[Training]:
    """The network of the profile."""
    return [network_of_seed(context, context.config.train.seed)]


def run(context: Context) -> Outcome:
    from zfnet.experiments.train.classes import by_class
    from zfnet.experiments.train.figure import draw_history
    from zfnet.experiments.train.pixels import pixel_baseline
    from zfnet.networks.normalization import departures
    from zfnet.training.fit import MEASURED

    config = context.config
    (training,) = trainings(context)
    numbers = train_one(context, training)
    errors = f"ten-crop error top-1 {numbers['top1_error']:.1f} %, top-5 {numbers['top5_error']:.1f} %"
    n_val, n_train = numbers["n_val"], min(numbers["n_train"], MEASURED)
    for part, n_images in ((numbers, n_val), (numbers["center"], n_val), (numbers["train"], n_train)):
        for kind in ("top1_error", "top5_error"):
            part[kind] = error_measure([part[kind]], n_images)
    numbers |= by_class(context.network, context.val)
    numbers["linear_pixels"] = pixel_baseline(context.train, context.val, config.train.seed)
    pictures = context.network.center(context.val.frames(np.arange(min(NORMALIZED, len(context.val)))))
    normalization = departures(context.network.module, pictures)
    numbers["normalization_percent"] = max((100 * value for value in normalization.values()), default=None)
    numbers["clipped_conv1"] = 100 * numbers["history"][-1]["clipped_filters"]["conv1"]
    figures = draw_history(numbers["history"], context.out)
    return Outcome(numbers, figures, f"{errors} ({numbers['n_classes']} classes)")


TRAIN = Stage(
    "train",
    "[ZF13] Table 2, single net; snapshots",
    run,
    check,
    trainings=trainings,
    needs=("data",),
    reads=("model", "train"),
    version=3,
    keeps=True,
    leaves=("model.pt", "snapshots/*.pt"),
    trains=True,
)
