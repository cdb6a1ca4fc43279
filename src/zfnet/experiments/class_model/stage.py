"""Stage class_model: [SVZ13] Fig. 1."""

from zfnet.experiments.class_model.options import ClassModelOptions
from zfnet.experiments.context import Context
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def run(context: Context) -> Outcome:
    from zfnet.experiments.class_model import compute

    return compute.run(context.options, context.network, context.out, context.seed)


CLASS_MODEL = Stage(
    "class_model",
    "[SVZ13] Fig. 1",
    run,
    options=ClassModelOptions,
    needs=("train",),
    reads=("network", "class_model", "seed"),
    version=3,
)
