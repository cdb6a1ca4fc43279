"""When the weights of each layer alone have come to stay ([ZF13] Fig. 4), and how noise of equal size would look.

A projection from layer l passes through all layers below, so while every layer drifts alike the upper ones seem to
settle later: their projections gather the changes of all. Here one layer at a time has the weights of a snapshot, and
all others those of the end,

    similarity_alone(t) = cos(projection with layer l of snapshot t, projection at the end)

in the image and place that are strongest at the end. The null control replaces the snapshot's weights by the final ones
with Gaussian noise, whose size relative to the weights is the same in all layers: the mean over the layers of
|W_l(t) - W_l| / |W_l|. A claim on the order of the layers that holds there too is about the architecture.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from zfnet.attribution.strongest import Strongest
from zfnet.attribution.units import CHUNK, project_units
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches


def project_alone(
    networks: Sequence[Network], images: Images, number: int, best: Strongest, maps: np.ndarray
) -> np.ndarray:
    """Projections (t, maps, size, size, 3) with the convolution of layer `number` alone as in each snapshot."""
    weights = [_weight(network, number) for network in networks]
    return _with_weights(networks[-1], weights, images, number, best, maps)


def project_noise(
    networks: Sequence[Network], images: Images, number: int, best: Strongest, maps: np.ndarray, seed: int
) -> np.ndarray:
    """The same with the final weights and noise as large, relative to them, as the snapshots' mean change."""
    final = _weight(networks[-1], number)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(final.shape, generator=generator).to(final)
    noise = noise * final.norm() / noise.norm()
    weights = [final + change * noise for change in relative_changes(networks)]
    return _with_weights(networks[-1], weights, images, number, best, maps)


def relative_changes(networks: Sequence[Network]) -> list[float]:
    """|W(t) - W| / |W| of each snapshot, the mean over the convolutions."""
    last = networks[-1]
    changes = []
    for network in networks:
        of_layers = []
        for number in last.feature_maps:
            final = _weight(last, number)
            of_layers.append(float((_weight(network, number) - final).norm() / final.norm()))
        changes.append(float(np.mean(of_layers)))
    return changes


def _with_weights(
    last: Network, weights: Sequence[Tensor], images: Images, number: int, best: Strongest, maps: np.ndarray
) -> np.ndarray:
    module = copy.deepcopy(last.module)
    convolution = _convolution(module, number)
    rows, places = best.rows[maps, 0].numpy(), best.places[maps, 0].numpy()
    projections = []
    for of_snapshot in weights:
        with torch.no_grad():
            convolution.weight.copy_(of_snapshot)
        batches = center_batches(last, images, rows, CHUNK)
        projections.append(project_units(module, batches, last.feature_maps[number], maps, places))
    return np.stack(projections)


def _weight(network: Network, number: int) -> Tensor:
    return _convolution(network.module, number).weight.detach()


def _convolution(module: nn.Module, number: int) -> nn.Conv2d:
    """The convolution of a layer of one of our networks."""
    convolution = module.get_submodule(f"conv{number}")
    assert isinstance(convolution, nn.Conv2d)
    return convolution
