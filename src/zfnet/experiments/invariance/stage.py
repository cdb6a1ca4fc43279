"""Stage invariance: [ZF13] Fig. 5."""

from zfnet.experiments.context import Context
from zfnet.experiments.invariance.options import InvarianceOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def check(context: Context) -> None:
    context.need_layers(1)


def run(context: Context) -> Outcome:
    from zfnet.experiments.invariance import compute

    return compute.run(context.options, context.network, context.val, context.out, context.seed)


INVARIANCE = Stage(
    "invariance",
    "[ZF13] Fig. 5",
    run,
    check,
    options=InvarianceOptions,
    needs=("train",),
    reads=("network", "invariance", "seed"),
    version=4,
)
