"""Stage voc: [ZF13] Table 6, average precision on PASCAL VOC with a frozen network."""

from zfnet.experiments.context import CACHING, Context
from zfnet.experiments.stage import Stage
from zfnet.experiments.voc.options import VocOptions
from zfnet.pipeline.record import Outcome, skipped


def check(context: Context) -> None:
    context.need_folder("root")
    context.need_data()
    context.need_layers(1)


def run(context: Context) -> Outcome:
    from zfnet.experiments.sources import read_voc_source, voc_folder, why_absent
    from zfnet.experiments.voc import compute

    if reason := why_absent(context.config, "voc"):
        return skipped(reason)
    network, options = context.network, context.options
    _, year = voc_folder(context.config)
    train_index, test_index, split = read_voc_source(context.config)
    folder, frame = context.out / "images", network.inputs.frame
    train = context.cache("voc", train_index, folder / "train", size=frame)
    test = context.cache("voc", test_index, folder / "test", size=frame)
    return compute.run(options, network, train, test, context.out, context.seed, year, split, context.workers)


VOC = Stage(
    "voc",
    "[ZF13] Table 6",
    run,
    check,
    options=VocOptions,
    needs=("train",),
    borrowed_needs=(),
    reads=("network", "voc", "seed", *CACHING),
    version=4,
    keeps=True,
)
