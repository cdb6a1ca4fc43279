"""Stage train: the network of the profile, its error ([ZF13] Table 2, single net) and its snapshots."""

from __future__ import annotations

from zfnet.experiments.context import Context
from zfnet.experiments.stage import Stage
from zfnet.experiments.trainings import check_training, train_one
from zfnet.pipeline.record import Outcome


def check(context: Context) -> None:
    check_training(context)


def run(context: Context) -> Outcome:
    from zfnet.experiments.train.figure import draw_history
    from zfnet.experiments.train.pixels import pixel_baseline

    config = context.config
    numbers = train_one(context, config.model, config.train, context.out)
    numbers["linear_pixels"] = pixel_baseline(context.train, context.val, config.train.seed)
    errors = f"ten-crop error top-1 {numbers['top1_error']:.1f} %, top-5 {numbers['top5_error']:.1f} %"
    figures = draw_history(numbers["history"], context.out)
    return Outcome(numbers, figures, f"{errors} ({numbers['n_classes']} classes)")


TRAIN = Stage(
    "train",
    "[ZF13] Table 2, single net; snapshots",
    run,
    check,
    needs=("data",),
    reads=("model", "train"),
    version=2,
    keeps=True,
    leaves=("model.pt",),
    trains=True,
)
