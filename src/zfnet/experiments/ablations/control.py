"""The null control of Table 3: the errors of its networks with their initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfnet.experiments.context import Context
from zfnet.experiments.trainings import error_measure, variant

if TYPE_CHECKING:
    from zfnet.data.cache.images import Images
    from zfnet.networks.network import Network

N_IMAGES = 400  # of each split, at most; center crop


def initial_errors(context: Context, numbers: Mapping[str, Any], caches: Path) -> dict[str, Any]:
    """The errors in percent of every row of `numbers` before its trainings, by the names that the stage gives them.

    caches: folder of the images of the trainings.
    """
    from zfnet.data.cache.images import open_cache

    train, val = open_cache(caches / "train"), open_cache(caches / "val")
    rows: dict[str, dict[str, Any]] = {}
    for row in numbers["rows"]:
        networks = [_initial(context, train, row, seed) for seed in numbers["seeds"]]
        on_val = error_measure([_error(network, val) for network in networks], min(N_IMAGES, len(val)))
        on_train = error_measure([_error(network, train) for network in networks], min(N_IMAGES, len(train)))
        errors = {"val_top1_error": on_val, "center_top1_error": on_val, "train_top1_error": on_train}
        rows[row] = {"converged": True} | errors
    return {"rows": rows, "seeds": numbers["seeds"]}


def _initial(context: Context, train: Images, row: str, seed: int) -> Network:
    """The network of a row as its training begins."""
    from zfnet.networks.checkpoint import trained_network
    from zfnet.networks.convnet import build
    from zfnet.networks.inputs import Inputs
    from zfnet.networks.network import Classes

    config = context.config
    model, recipe = variant(config.model, config.train, row, context.options.paperscale_epochs)
    assert train.mean is not None
    inputs = Inputs.of_mean_image(train.mean, recipe.divisor)
    module = build(model.name, len(train.index.classes), inputs.crop, model.width)
    module.initialize(model.init, seed)
    return trained_network(module.eval().to(context.device), inputs, Classes(train.index.classes, train.index.names))


def _error(network: Network, images: Images) -> float:
    """Top-1 error in percent of the center crops of at most N_IMAGES images."""
    from zfnet.networks.predict import predict

    drawn = np.random.default_rng(0).permutation(len(images))[:N_IMAGES]
    wrong = []
    for rows, probabilities in predict(network, images, drawn, "center"):
        wrong.append(probabilities.argmax(1).cpu().numpy() != images.index.labels[rows])
    return 100 * float(np.concatenate(wrong).mean())
