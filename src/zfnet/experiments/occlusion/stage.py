"""Stage occlusion: [ZF13] Fig. 7."""

from dataclasses import replace

from zfnet.experiments.context import Context
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
from zfnet.experiments.occlusion.options import OcclusionOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def check(context: Context) -> None:
    from zfnet.experiments.occlusion.compute import grid

    _, crop, _ = context.expected
    context.need_layers(1)
    grid(crop, context.options.square, context.options.stride)


def run(context: Context) -> Outcome:
    from zfnet.experiments.occlusion import compute

    return compute.run(context.options, context.network, context.val, context.out, context.seed, context.workers)


def of_control(options: OcclusionOptions, numbers: Numbers) -> OcclusionOptions:
    """Two fifths of the images, at every other place."""
    return replace(options, n_images=1, n_score=fewer(options.n_score, 0.4, 12), stride=2 * options.stride)


OCCLUSION = Stage(
    "occlusion",
    "[ZF13] Fig. 7",
    run,
    check,
    options=OcclusionOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "occlusion", "seed"),
    version=9,
)
