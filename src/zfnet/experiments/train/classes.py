"""The validation images class by class: accuracy and confusion matrix of the center crop [our choice]."""

from typing import Any

import numpy as np

from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.predict import predict

MOST = 100  # classes of which a confusion matrix is kept


def by_class(network: Network, images: Images) -> dict[str, Any]:
    """Share of each class's images that are classified correctly ("per_class"), and who is taken for whom.

    confusion: {"classes": names, "counts": images of class i that are taken for class j}, of at most MOST classes.
    """
    classes, labels = network.classes, network.classes.labels(images.index)
    counts = np.zeros((len(classes.names), len(classes.names)), dtype=np.int64)
    for part, probabilities in predict(network, images, np.flatnonzero(labels >= 0), "center"):
        np.add.at(counts, (labels[part], probabilities.argmax(1).cpu().numpy()), 1)
    totals = counts.sum(1)
    names = [f"{name} ({classes.ids[k]})" if classes.names.count(name) > 1 else name
             for k, name in enumerate(classes.names)]  # fmt: skip
    numbers: dict[str, Any] = {
        "per_class": {names[k]: counts[k, k] / totals[k] for k in range(len(names)) if totals[k]}
    }
    if len(names) <= MOST:
        numbers["confusion"] = {"classes": names, "counts": counts.tolist()}
    return numbers
