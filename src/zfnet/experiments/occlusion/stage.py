"""Stage occlusion: [ZF13] Fig. 7."""

from zfnet.experiments.context import Context
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

    return compute.run(context.options, context.network, context.val, context.out, context.seed)


OCCLUSION = Stage(
    "occlusion",
    "[ZF13] Fig. 7",
    run,
    check,
    OcclusionOptions,
    needs=("train",),
    reads=("network", "occlusion", "seed"),
    version=6,
)
