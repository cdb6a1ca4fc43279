"""Stage correspondence: [ZF13] 4.3, Table 1 and Fig. 8."""

from dataclasses import replace
from pathlib import Path

from zfnet.core.errors import LacksLayer
from zfnet.experiments.context import Context
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
from zfnet.experiments.correspondence.options import CorrespondenceOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome, skipped


def check(context: Context) -> None:
    from zfnet.experiments.correspondence.compute import FIRST_COMPARED
    from zfnet.experiments.correspondence.parts import read_parts

    parts = context.options.parts
    if parts:
        read_parts(Path(parts))
    context.need_layers(FIRST_COMPARED)
    _, _, layers = context.expected
    if max(layers) == FIRST_COMPARED:
        raise LacksLayer(
            f"correspondence: compares layer {FIRST_COMPARED} with a later hidden layer, and the network has none; "
            "choose another network"
        )


def run(context: Context) -> Outcome:
    from zfnet.experiments.correspondence import compute
    from zfnet.experiments.sources import parts_file

    options = context.options
    parts = parts_file(context.config)
    if parts is None:
        missing = "no positions of eyes and noses for this dataset"
        return skipped(f"{missing}; give a CSV file,part,x,y,radius with correspondence.parts")
    try:
        return compute.run(options, context.network, context.val, parts, context.out, context.seed)
    except compute.TooFewFaces as error:
        if options.parts:
            raise
        return skipped(str(error))


def of_control(options: CorrespondenceOptions, numbers: Numbers) -> CorrespondenceOptions:
    """The same faces, with half of the random places."""
    return replace(options, n_random=fewer(options.n_random, 0.5, 3))


CORRESPONDENCE = Stage(
    "correspondence",
    "[ZF13] Table 1, Fig. 8",
    run,
    check,
    options=CorrespondenceOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "correspondence", "seed"),
    version=6,
)
