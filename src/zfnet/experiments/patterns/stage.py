"""Stage patterns: [K17] Figs. 3, 4, 6."""

from dataclasses import replace

from zfnet.experiments.context import Context
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
from zfnet.experiments.patterns.options import PatternsOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def run(context: Context) -> Outcome:
    from zfnet.experiments.patterns import compute

    train, val = context.images
    return compute.run(context.options, context.network, train, val, context.out, context.seed, context.workers)


def of_control(options: PatternsOptions, numbers: Numbers) -> PatternsOptions:
    """A quarter of the images for the patterns, a few neurons, and few images that lose patches."""
    return replace(
        options,
        n_images=fewer(numbers["n_images"], 0.25, 500),
        n_measure=fewer(options.n_measure, 0.6, 500),
        n_neurons=fewer(options.n_neurons, 0.25, 8),
        n_degraded=fewer(options.n_degraded, 0.2, 12),
        n_swept=fewer(options.n_swept, 0.1, 60),
        n_shown=1,
    )


PATTERNS = Stage(
    "patterns",
    "[K17] Figs. 3, 4, 6",
    run,
    options=PatternsOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "patterns", "seed"),
    version=6,
)
