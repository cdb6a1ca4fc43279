"""Stage saliency: [SVZ13] Fig. 2."""

from dataclasses import replace

from zfnet.experiments.context import Context
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
from zfnet.experiments.saliency.options import SaliencyOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome


def run(context: Context) -> Outcome:
    from zfnet.experiments.saliency import compute

    return compute.run(context.options, context.network, context.val, context.out, context.seed)


def of_control(options: SaliencyOptions, numbers: Numbers) -> SaliencyOptions:
    """A fifth of the images."""
    return replace(options, n_images=1, n_score=fewer(options.n_score, 0.2, 60))


SALIENCY = Stage(
    "saliency",
    "[SVZ13] Fig. 2",
    run,
    options=SaliencyOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "saliency", "seed"),
    version=4,
)
