"""Stage explain: every method of the three papers on a photograph, image=FILE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zfnet.experiments.context import Context, folder_of, is_borrowed
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.experiments.stage import Stage
from zfnet.pipeline.record import Outcome

if TYPE_CHECKING:
    from zfnet.experiments.explain.compute import Estimated

PATTERNS_FILE = "patterns.pt"  # of stage patterns


def check(context: Context) -> None:
    from zfnet.experiments.explain.photo import read_photo

    read_photo(context.config.image)


def run(context: Context) -> Outcome:
    from zfnet.experiments.explain import compute
    from zfnet.experiments.explain.photo import read_photo

    photo, name = read_photo(context.config.image), Path(context.config.image).name
    return compute.run(context.options, context.network, photo, name, context.out, patterns_of(context))


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
    "every method on a photograph: image=FILE",
    run,
    check,
    options=ExplainOptions,
    needs=("train",),
    borrowed_needs=(),
    reads=("network", "image", "explain", "seed"),
    of_photo=True,
)
