"""Ensembles ([ZF13] Table 2): the class probabilities of several networks are averaged, then ranked.

    p(class | image) = 1/N sum over the N networks of 1/10 sum over the ten crops of softmax(network(crop))

Both sums are in float64. Krizhevsky et al. (2012), to whom the table compares, average in the same way.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from zfnet.data.cache.images import Images
from zfnet.experiments.trainings import error_measure
from zfnet.networks.network import Network
from zfnet.networks.predict import predict


def ten_crop_probabilities(place: int, images: Images, precision: str, *networks: Network) -> np.ndarray:
    """Probabilities of every image averaged over its ten crops, (n, classes) float64, by the network at a place."""
    network, rows = networks[place], np.arange(len(images))
    probabilities = np.zeros((len(images), len(network.classes)))
    for part, batch in predict(network, images, rows, "ten", precision):
        probabilities[part] = batch.cpu().numpy()
    return probabilities


def ranking_errors(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Top-1 and top-5 error in percent of probabilities (n, classes); ties go to the earlier class."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    hits = ranked == labels[:, None]
    return {"top1_error": 100 * float(1 - hits[:, 0].mean()), "top5_error": 100 * float(1 - hits.any(1).mean())}


def table2(alike: Sequence[np.ndarray], other: np.ndarray | None, labels: np.ndarray) -> dict[str, Any]:
    """The rows of Table 2 from the probabilities of each network.

    alike: of the networks that differ by their seed alone, at least one. other: of net (b), where there is one.
    """
    rows = {"single": _measures(alike, labels)}
    if len(alike) > 1:
        rows["average"] = {"n_networks": len(alike)} | _measures([np.mean(alike, axis=0)], labels)
    if other is not None:
        rows["other"] = _measures([other], labels)
        members = [*alike, other]
        rows["all"] = {"n_networks": len(members)} | _measures([np.mean(members, axis=0)], labels)
    return rows


def _measures(alike: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, Any]:
    """Both errors of the probabilities of each network, over the networks or, of a single one, over the images."""
    errors = [ranking_errors(probabilities, labels) for probabilities in alike]
    return {kind: error_measure([error[kind] for error in errors], len(labels)) for kind in errors[0]}
