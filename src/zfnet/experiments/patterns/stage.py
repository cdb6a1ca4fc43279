"""Stage patterns: [K17] Figs. 3, 4, 6."""

from zfnet.experiments.context import Context
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def run(context: Context) -> Outcome:
    from zfnet.experiments.patterns import compute

    return compute.run(context.options, context.network, context.train, context.val, context.out, context.seed)


PATTERNS = Stage(
    "patterns",
    "[K17] Figs. 3, 4, 6",
    run,
    options=PatternsOptions,
    needs=("train",),
    reads=("network", "patterns", "seed"),
    version=5,
)
