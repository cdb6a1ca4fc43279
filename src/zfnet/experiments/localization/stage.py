"""Stage localization: [SVZ13] 3.2 and Fig. 3, boxes from saliency maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfnet.core.errors import UserError
from zfnet.experiments.context import Context, is_borrowed
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
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
    out, seed, workers = context.out, context.seed, context.workers
    return compute.run(options, network, train, val, sources, out, seed, n_cores(), further, workers)


def _further_images(context: Context) -> Images:
    from zfnet.data.sources.imagenet import read_boxed

    classes = context.network.classes
    folder = Path(context.options.images)
    index = read_boxed(folder, "localization.images", classes.ids, classes.names)
    return context.cache("localization", index, context.out / "images" / "cache")


def of_control(options: LocalizationOptions, numbers: Numbers) -> LocalizationOptions:
    """A fifth of the images, with the settings that the stage has chosen."""
    chosen: dict[str, Any] = {}
    for of_method in numbers.get("tuning", {}).values():
        if isinstance(of_method, Mapping):
            chosen |= of_method["chosen"]
    n_images = fewer(numbers["n_images"], 0.2, 40)
    return replace(options, **chosen, n_images=n_images, tune=0, compare=[], images="", guesses=1, n_shown=1)


LOCALIZATION = Stage(
    "localization",
    "[SVZ13] 3.2 and Fig. 3",
    run,
    check,
    options=LocalizationOptions,
    control=with_initial_weights(run, of_control),
    needs=("train",),
    reads=("network", "localization", "seed"),
    version=4,
    keeps=True,
)
