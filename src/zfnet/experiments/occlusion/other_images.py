"""[ZF13] Fig. 7c: the followed map in other images, projected to pixels by the deconvnet.

The paper shows "visualizations of this map from other images" and does not say which [NS]. Here they are the images in
which the map's total response is largest, among those that the caller draws (at most N_SEARCHED).
"""

from collections.abc import Sequence

import numpy as np
import torch

from zfnet.attribution.engine import Target, project
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.predict import center_batches
from zfnet.networks.walk import outputs

N_SEARCHED = 200  # images: their forward passes are a small part of the stage
N_OTHERS = 4


@torch.inference_mode()
def map_totals(network: Network, images: Images, rows: np.ndarray, layer: str, batch: int) -> np.ndarray:
    """Total response (n, channels) of each map of a layer in the center crops of `rows`."""
    parts = []
    for x in center_batches(network, images, rows, batch):
        parts.append(outputs(network.module, x, [layer])[layer].sum((2, 3)).cpu())
    return torch.cat(parts).numpy()


def strongest_others(totals: np.ndarray, rows: np.ndarray, own: int) -> np.ndarray:
    """The rows but `own` with the largest totals (n,), largest first; those in which the map is silent are left out."""
    order = np.argsort(-totals, kind="stable")
    found = rows[order][totals[order] > 0]
    return found[found != own][:N_OTHERS]


def project_map(
    network: Network, images: Images, rows: Sequence[int] | np.ndarray, channel: int, layer: str
) -> np.ndarray:
    """The map projected to the pixels of the center crops of `rows`, (n, crop, crop, 3) signed."""
    if not len(rows):
        return np.zeros((0, network.inputs.crop, network.inputs.crop, 3), np.float32)
    projected = project(network.module, network.center(images.frames(rows)), Target(channel), layer)
    return projected.detach().cpu().permute(0, 2, 3, 1).numpy()
