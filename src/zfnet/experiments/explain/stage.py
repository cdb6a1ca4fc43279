"""Stage explain: every method of the three papers on a photograph, image=FILE, or on those of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zfnet.core.errors import UserError
from zfnet.experiments.context import Context, folder_of, is_borrowed
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome

if TYPE_CHECKING:
    from zfnet.experiments.explain.compute import Estimated

PATTERNS_FILE = "patterns.pt"  # of stage patterns


def check(context: Context) -> None:
    from zfnet.experiments.explain.photo import list_photos, read_photo

    options, image = context.options, context.config.image
    if options.unit >= 0 and not options.layer:
        raise UserError("explain.unit: a map belongs to a layer; give explain.layer too")
    if options.layer:
        context.need_layers(options.layer)
    if image and Path(image).expanduser().is_dir():
        list_photos(image)
    else:
        read_photo(image)


def run(context: Context) -> Outcome:
    from zfnet.experiments.explain import compute, folder
    from zfnet.experiments.explain.photo import list_photos, read_photo

    options, network, estimated = context.options, context.network, patterns_of(context)
    path = Path(context.config.image).expanduser()
    if not path.is_dir():
        return compute.run(options, network, read_photo(str(path)), path.name, context.out, estimated)
    photos, passed_over = list_photos(str(path))
    return folder.run(options, network, photos, passed_over, context.out, estimated)


def patterns_of(context: Context) -> Estimated | None:
    """The network's patterns from stage patterns, or estimated from training images; None for a borrowed network."""
    from zfnet.attribution.patterns import load_patterns
    from zfnet.experiments.explain.compute import Estimated, estimate_patterns

    if context.result_of("patterns"):
        file = folder_of(context.config, "patterns") / PATTERNS_FILE
        return Estimated(load_patterns(file)["a+"], "stage patterns")
    if is_borrowed(context.config):
        return None
    return estimate_patterns(context.network, context.train, context.options.n_images, context.seed)


EXPLAIN = Stage(
    "explain",
    "every method on a photograph: image=FILE or a folder",
    run,
    check,
    options=ExplainOptions,
    needs=("train",),
    borrowed_needs=(),
    reads=("network", "image", "explain", "seed"),
    keeps=True,
    of_photo=True,
)
