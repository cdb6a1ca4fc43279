"""Stage saliency: [SVZ13] Fig. 2."""

from zfnet.experiments.context import Context
from zfnet.experiments.saliency.options import SaliencyOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def run(context: Context) -> Outcome:
    from zfnet.experiments.saliency import compute

    return compute.run(context.options, context.network, context.val, context.out, context.seed)


SALIENCY = Stage(
    "saliency",
    "[SVZ13] Fig. 2",
    run,
    options=SaliencyOptions,
    needs=("train",),
    reads=("network", "saliency", "seed"),
    version=3,
)
