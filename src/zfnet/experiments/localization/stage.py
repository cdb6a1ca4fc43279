"""Stage localization: [SVZ13] 3.2 and Fig. 3, boxes from saliency maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zfnet.core.errors import UserError
from zfnet.experiments.context import Context, is_borrowed
from zfnet.experiments.localization.options import OF_TRAINING_IMAGES, SALIENCY, LocalizationOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome, skipped

if TYPE_CHECKING:
    from zfnet.data.cache.images import Images


def check(context: Context) -> None:
    from zfnet.experiments.localization.compute import check_comparison

    options = context.options
    context.need_folder("images")
    if options.blacklist and not Path(options.blacklist).is_file():
        raise UserError(f"localization.blacklist: no file {options.blacklist}")
    check_comparison(options)
    _check_sources(context)


def _check_sources(context: Context) -> None:
    """Raise UserError for a source that needs the training images of a network that was trained elsewhere."""
    options, data, name = context.options, context.config.data, context.config.network.name
    if not is_borrowed(context.config) or data.source == "imagenet" or Path(name).is_dir():
        return
    others = ", ".join(source for source in SALIENCY if source not in OF_TRAINING_IMAGES)
    for key, sources in {"saliency": [options.saliency], "compare": options.compare}.items():
        for source in sources:
            if source in OF_TRAINING_IMAGES:
                raise UserError(
                    f"localization.{key}: {source} needs the images that {name} was trained on, and "
                    f"data.source={data.source} is not known to hold them; choose from {others}"
                )


def run(context: Context) -> Outcome:
    from zfnet.core.machine import n_cores
    from zfnet.experiments.localization import compute
    from zfnet.experiments.localization.sources import make_source
    from zfnet.experiments.sources import blacklist_file

    options, network = context.options, context.network
    train, val = context.images
    if not any(len(boxes) for boxes in val.index.boxes):
        return skipped("no image of this dataset has a box")
    further = _further_images(context) if options.images else None
    options = replace(options, blacklist=blacklist_file(context.config, val.index))
    names = sorted({options.saliency, *options.compare})
    sources = {name: make_source(name, network, train, context.seed) for name in names}
    return compute.run(options, network, train, val, sources, context.out, context.seed, n_cores(), further)


def _further_images(context: Context) -> Images:
    from zfnet.data.sources.imagenet import read_boxed

    classes = context.network.classes
    folder = Path(context.options.images)
    index = read_boxed(folder, "localization.images", classes.ids, classes.names)
    return context.cache("localization", index, context.out / "images" / "cache")


LOCALIZATION = Stage(
    "localization",
    "[SVZ13] 3.2 and Fig. 3",
    run,
    check,
    options=LocalizationOptions,
    needs=("train",),
    reads=("network", "localization", "seed"),
    version=3,
    keeps=True,
)
