"""Stage invariance: [ZF13] Fig. 5."""

from dataclasses import replace

from zfnet.experiments.context import Context
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
from zfnet.experiments.invariance.options import InvarianceOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def check(context: Context) -> None:
    context.need_layers(1)


def run(context: Context) -> Outcome:
    from zfnet.experiments.invariance import compute

    return compute.run(context.options, context.network, context.val, context.out, context.seed, context.workers)


def of_control(options: InvarianceOptions, numbers: Numbers) -> InvarianceOptions:
    """A quarter of the images, at half of the amounts."""
    return replace(options, n_images=1, n_score=fewer(options.n_score, 0.25, 40), steps=max(5, options.steps // 2))


INVARIANCE = Stage(
    "invariance",
    "[ZF13] Fig. 5",
    run,
    check,
    options=InvarianceOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "invariance", "seed"),
    version=6,
)
