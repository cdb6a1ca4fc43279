"""Stage voc: [ZF13] Table 6, average precision on PASCAL VOC with a frozen network."""

from pathlib import Path

from zfnet.experiments.context import Context
from zfnet.experiments.stage import Stage
from zfnet.experiments.voc.options import VocOptions
from zfnet.pipeline.record import Outcome, skipped

CACHING = ("data.menagerie", "data.bad_limit", "data.cache", "data.quality")  # read where stage data is not needed


def check(context: Context) -> None:
    from zfnet.data.index import require_folder

    root = context.options.root
    if root:
        require_folder(Path(root), "voc.root", "see data/README.md")


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
    return compute.run(options, network, train, test, context.out, context.seed, year, split)


VOC = Stage(
    "voc",
    "[ZF13] Table 6",
    run,
    check,
    options=VocOptions,
    needs=("train",),
    borrowed_needs=(),
    reads=("network", "voc", "seed", *CACHING),
    version=3,
    keeps=True,
)
