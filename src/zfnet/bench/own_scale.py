"""The papers' own scale on a laptop: 224 px, 1000 classes, where a user waits.

    saliency      the maps of six classes of an image over its ten crops: one forward pass for all of them, against
                  captum.attr.Saliency, called once a class on the same crops
    localization  maps and cuts of an image's six classes: one forward pass and processes that cut while the network
                  works, against one forward pass a class and cuts in this process; the boxes must be the same
    gallery       projections of a layer's units on their receptive fields, against captum.attr.Deconvolution on the
                  whole image
    explain       every method on one photograph, end to end, without the import of torch

Memory is kept as in every run of a stage, for the peers too. Weights are random: they change no time. Photographs are
drawn, as in the part localization.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.maps import saliency_maps
from zfnet.attribution.window import project_window
from zfnet.bench.localization import CUT, draw_photos
from zfnet.bench.projection import captum_deconvolution
from zfnet.bench.row import ROUNDS, in_turn, limit_row, rate_row, timed
from zfnet.core.machine import keep_memory, n_cores
from zfnet.data.crops import shrink
from zfnet.data.decode import read_rgb
from zfnet.experiments.explain.compute import explain
from zfnet.experiments.explain.options import ExplainOptions
from zfnet.experiments.localization.locate import ImageBoxes, Methods, Task
from zfnet.experiments.localization.options import LocalizationOptions
from zfnet.experiments.localization.pool import locate_each
from zfnet.networks.load import Preprocessing, load_network
from zfnet.networks.network import Network

CLASSES = np.arange(6)  # of an image: five guesses and the true class
GALLERY_LAYER = 3  # of AlexNet
UNITS = 48  # projected at once
SECONDS = 12.0  # for one photograph through every method


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """The rows of the benchmark: {name, ours, peer, unit, ratio, target, holds, note}."""
    keep_memory()
    rounds = 1 if quick else ROUNDS
    sides: Preprocessing = {"frame": 72, "crop": 64} if quick else {}
    squeezenet = load_network("squeezenet1_0", weights="random", **sides)
    alexnet = load_network("alexnet", weights="random", **sides)
    with tempfile.TemporaryDirectory() as folder:
        photos, _ = draw_photos(Path(folder), 1 if quick else 4)
        return [
            _saliency(squeezenet, photos[0], rounds),
            _localization(squeezenet, photos, rounds),
            _gallery(alexnet, 4 if quick else UNITS, rounds, quick),
            _explain(alexnet, photos[0], quick),
        ]


# ---------------------------------------------------------------- saliency
def _saliency(network: Network, photo: Path, rounds: int) -> dict[str, Any]:
    frames = _frame(network, photo)
    crops = network.inputs.ten_crops(frames)[0]
    ours, theirs = in_turn(
        lambda: saliency_maps(network, frames, CLASSES[None]), lambda: _captum_saliency(network, crops), rounds=rounds
    )
    note = "SqueezeNet, six classes, ten crops; ours puts the crops' maps back into the frame as well"
    return rate_row("saliency, six classes of an image", 6 / ours, 6 / theirs, "maps/s", 3.0, note)


def _frame(network: Network, photo: Path) -> np.ndarray:
    return shrink(read_rgb(photo), network.inputs.frame)[None]


def _captum_saliency(network: Network, crops: Tensor) -> list[Tensor]:
    from captum.attr import Saliency

    method = Saliency(network.module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [method.attribute(crops.clone().requires_grad_(), target=int(output)) for output in CLASSES]


# ---------------------------------------------------------------- localization
def _localization(network: Network, photos: list[Path], rounds: int) -> dict[str, Any]:
    methods = Methods({CUT: LocalizationOptions()}, {})
    processes = n_cores()

    def together() -> list[ImageBoxes]:
        return list(locate_each(_tasks(network, photos, at_once=True), methods, processes))

    def one_by_one() -> list[ImageBoxes]:
        return list(locate_each(_tasks(network, photos, at_once=False), methods, 1))

    same = _boxes(together()) == _boxes(one_by_one())
    ours, theirs = in_turn(together, one_by_one, rounds=rounds, warm_up=0)
    note = (
        f"SqueezeNet, six classes, ten crops, {processes} processes; the boxes are {'equal' if same else 'NOT equal'}"
    )
    n = len(photos)
    return rate_row("localization, six boxes an image", n / ours, n / theirs, "images/s", 2.0, note)


def _tasks(network: Network, photos: list[Path], at_once: bool) -> Iterator[Task]:
    for row, photo in enumerate(photos):
        frames = _frame(network, photo)
        if at_once:
            maps = saliency_maps(network, frames, CLASSES[None])[0]
        else:
            maps = np.concatenate([saliency_maps(network, frames, CLASSES[k : k + 1]) for k in CLASSES])
        yield Task(row, photo, maps, seed=row)


def _boxes(located: list[ImageBoxes]) -> dict[int, list[list[int]]]:
    return {image.row: image.boxes[CUT] for image in located}


# ---------------------------------------------------------------- gallery
def _gallery(network: Network, n_units: int, rounds: int, quick: bool) -> dict[str, Any]:
    layer = network.feature_maps[GALLERY_LAYER]
    features, _, index = layer.rpartition(".")
    below = nn.Sequential(*list(network.module.get_submodule(features).children())[: int(index) + 1])
    images = torch.randn(n_units, 3, network.inputs.crop, network.inputs.crop)
    units, places = torch.arange(n_units), torch.randint(0, 3 if quick else 13, (n_units, 2))
    ours, theirs = in_turn(
        lambda: project_window(network.module, images, layer, units, places),
        lambda: captum_deconvolution(below, images, units, places),
        rounds=rounds,
    )
    note = f"AlexNet, layer {GALLERY_LAYER}, {n_units} units at once; Captum on the whole image"
    return rate_row("gallery of units", n_units / ours, n_units / theirs, "units/s", 1.0, note)


# ---------------------------------------------------------------- explain
def _explain(network: Network, photo: Path, quick: bool) -> dict[str, Any]:
    options = ExplainOptions(places=3) if quick else ExplainOptions()
    seconds = timed(lambda: explain(options, network, read_rgb(photo), photo.name))[1]
    note = "AlexNet, one photograph read, put through every method and drawn"
    return limit_row("explain one photograph", seconds, SECONDS, "s", note)
