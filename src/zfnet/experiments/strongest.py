"""The strongest activations of every feature map, searched in chunks of images by the workers."""

from collections.abc import Sequence

import numpy as np

from zfnet.attribution.strongest import Strongest, merge, strongest
from zfnet.core.progress import track
from zfnet.core.workers import ALONE, Workers
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches

CHUNK = 8  # batches


def find_strongest(
    networks: Sequence[Network],
    images: Images,
    rows: np.ndarray,
    top: int,
    batch: int,
    workers: Workers = ALONE,
) -> list[dict[str, Strongest]]:
    """Of each network the `top` strongest images among `rows`, which ascend, of every map, by module."""
    chunks = np.split(rows, range(CHUNK * batch, len(rows), CHUNK * batch))
    asked = [(place, chunk) for place in range(len(networks)) for chunk in chunks]
    of_chunks = workers.map(search, asked, images, top, batch, *networks)
    best: list[dict[str, Strongest]] = [{} for _ in networks]
    tracked = track(of_chunks, "strongest activations, chunk", len(asked))
    for (place, _), of_chunk in zip(asked, tracked, strict=True):
        for layer, of_layer in of_chunk.items():
            before = best[place].get(layer)
            best[place][layer] = merge(before, of_layer) if before else of_layer
    return best


def search(
    asked: tuple[int, np.ndarray], images: Images, top: int, batch: int, *networks: Network
) -> dict[str, Strongest]:
    """The strongest images of a chunk of rows, of the network at a place among the networks."""
    place, rows = asked
    network = networks[place]
    batches = center_batches(network, images, rows, batch)
    return strongest(network.module, batches, rows, list(network.feature_maps.values()), top)
