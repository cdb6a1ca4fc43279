"""Stage first_layer: [ZF13] Fig. 6."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zfnet.experiments.context import Context, is_borrowed
from zfnet.experiments.control import Numbers, fewer, with_initial_weights
from zfnet.experiments.first_layer.options import FirstLayerOptions
from zfnet.experiments.stage import Stage
from zfnet.experiments.trainings import NOCLIP, PAPERSCALE
from zfnet.pipeline.record import Outcome

if TYPE_CHECKING:
    from zfnet.networks.network import Network

COMPARED = {  # title of a network -> its row of the ablations, which were all trained alike
    "zfnet": "zfnet",
    "zfnet, no RMS clipping": "zfnet" + NOCLIP,
    "krizhevsky": "krizhevsky",
}
COMPARED_AT_PAPER_SCALE = {  # there the radius acts, so the pair of Fig. 6a is this one
    "zfnet": "zfnet",
    "krizhevsky": "krizhevsky",
    "zfnet, paper's scale": "zfnet" + PAPERSCALE,
    "zfnet, paper's scale, no RMS clipping": "zfnet" + PAPERSCALE + NOCLIP,
}


def run(context: Context) -> Outcome:
    from zfnet.experiments.first_layer import compute

    networks, seeds = {context.network.title: [context.network]}, list(context.config.ablations.seeds)
    if not is_borrowed(context.config):
        name, rows = context.config.model.name, _rows(context)
        is_row = context.folder("train").name in _table(context).get(name, {}).get("folders", [])
        networks = rows if is_row and name in rows else {f"{name}, trained in full": [context.network], **rows}
    return compute.run(context.options, networks, context.val, context.out, context.seed, seeds)


def _table(context: Context) -> dict[str, Any]:
    """The rows of the ablations."""
    return (context.result_of("ablations") or {}).get("numbers", {}).get("rows", {})


def _rows(context: Context) -> dict[str, list[Network]]:
    """The networks of the ablations by their titles, one a seed."""
    from zfnet.networks.checkpoint import load_trained

    options, networks, table = context.config.ablations, {}, _table(context)
    profile = context.folder("ablations").parent
    rows = COMPARED_AT_PAPER_SCALE if options.paperscale_epochs else COMPARED
    for title, row in rows.items():
        if row in table:
            trained = [load_trained(profile / folder / "model.pt", context.device) for folder in table[row]["folders"]]
            networks[title] = [context.as_initial(*pair) for pair in zip(trained, options.seeds, strict=True)]
    return networks


def of_control(options: FirstLayerOptions, numbers: Numbers) -> FirstLayerOptions:
    """A fifth of the images."""
    return replace(options, n_images=fewer(options.n_images, 0.2, 100), n_shifted=fewer(options.n_shifted, 0.5))


FIRST_LAYER = Stage(
    "first_layer",
    "[ZF13] Fig. 6",
    run,
    options=FirstLayerOptions,
    control=with_initial_weights(run, of_control),
    needs=("train", "ablations"),
    reads=("network", "first_layer", "seed"),
    version=6,
)
