"""Stage first_layer: [ZF13] Fig. 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zfnet.experiments.context import Context, is_borrowed
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

    return compute.run(context.options, _networks(context), context.val, context.out, context.seed)


def _networks(context: Context) -> dict[str, Network]:
    """The networks by their titles: the profile's own and those of the ablations, or a borrowed one alone."""
    from zfnet.networks.checkpoint import load_trained

    config = context.config
    if is_borrowed(config):
        return {context.network.title: context.network}
    networks = {f"{config.model.name}, trained in full": context.network}
    table = (context.result_of("ablations") or {}).get("numbers", {}).get("rows", {})
    rows = COMPARED_AT_PAPER_SCALE if config.ablations.paperscale_epochs else COMPARED
    for title, row in rows.items():
        if row in table:
            path = context.folder("ablations").parent / table[row]["folders"][0] / "model.pt"
            networks[title] = load_trained(path, context.device)
    return networks


FIRST_LAYER = Stage(
    "first_layer",
    "[ZF13] Fig. 6",
    run,
    options=FirstLayerOptions,
    needs=("train", "ablations"),
    reads=("network", "first_layer", "seed"),
    version=4,
)
