"""Stage top_activations: [ZF13] Fig. 2."""

from dataclasses import replace

from zfnet.experiments.context import Context
from zfnet.experiments.control import Numbers, with_initial_weights
from zfnet.experiments.stage import Stage
from zfnet.experiments.top_activations.options import TopActivationsOptions
from zfnet.pipeline.record import Outcome


def check(context: Context) -> None:
    context.need_layers(1)


def run(context: Context) -> Outcome:
    from zfnet.experiments.top_activations import compute

    return compute.run(context.options, context.network, context.val, context.out, context.seed, context.workers)


def of_control(options: TopActivationsOptions, numbers: Numbers) -> TopActivationsOptions:
    """All images, of which the strongest are taken, and hardly a picture."""
    return replace(options, n_maps=[1], atlas_maps=1)


TOP_ACTIVATIONS = Stage(
    "top_activations",
    "[ZF13] Fig. 2, and all maps",
    run,
    check,
    options=TopActivationsOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "top_activations", "seed"),
    version=6,
)
