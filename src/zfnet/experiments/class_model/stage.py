"""Stage class_model: [SVZ13] Fig. 1."""

from dataclasses import replace

from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.experiments.context import Context
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def run(context: Context) -> Outcome:
    from zfnet.experiments.class_model import compute

    return compute.run(context.options, context.network, context.out, context.seed)


def of_control(options: ClassModelOptions, numbers: Numbers) -> ClassModelOptions:
    """A third of the steps for two thirds of the classes."""
    iterations = fewer(options.iterations, 1 / 3, 20)
    return replace(options, n_classes=fewer(options.n_classes, 2 / 3, 4), iterations=iterations)


CLASS_MODEL = Stage(
    "class_model",
    "[SVZ13] Fig. 1",
    run,
    options=ClassModelOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "class_model", "seed"),
    version=4,
)
