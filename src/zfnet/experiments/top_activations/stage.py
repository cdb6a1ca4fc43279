"""Stage top_activations: [ZF13] Fig. 2."""

from zfnet.experiments.context import Context
from zfnet.experiments.stage import Stage
from zfnet.experiments.top_activations.options import TopActivationsOptions
from zfnet.pipeline.record import Outcome


def check(context: Context) -> None:
    context.need_layers(1)


def run(context: Context) -> Outcome:
    from zfnet.experiments.top_activations import compute

    return compute.run(context.options, context.network, context.val, context.out, context.seed)


TOP_ACTIVATIONS = Stage(
    "top_activations",
    "[ZF13] Fig. 2, and all maps",
    run,
    check,
    options=TopActivationsOptions,
    needs=("train",),
    reads=("network", "top_activations", "seed"),
    version=5,
)
