"""Classification error of the center crop or of the mean over ten crops, exact for any number of processes.

Ten-crop: the class probabilities of the ten crops are averaged (Krizhevsky et al. 2012, to whom [ZF13] compares).
"""

import numpy as np
import torch

from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.predict import predict
from zfnet.training.distributed import World

TINY = 1e-12  # the least probability whose logarithm is taken


def errors(
    network: Network,
    images: Images,
    world: World,
    crops: str = "center",
    precision: str = "fp32",
    rows: np.ndarray | None = None,
) -> dict[str, float]:
    """Top-1 and top-5 error in percent, and the cross-entropy ("loss", nats), over `rows` (default: all).

    Counts are summed over processes, nothing is padded.
    """
    rows = np.arange(len(images)) if rows is None else rows
    all_labels = network.classes.labels(images.index)
    counts = torch.zeros(3, dtype=torch.float64, device=world.device)
    for part, probabilities in predict(network, images, world.shard(rows), crops, precision):
        labels = torch.as_tensor(all_labels[part], device=probabilities.device)
        ranked = probabilities.topk(min(5, probabilities.shape[1]), dim=1).indices
        hits = ranked == labels[:, None]
        known = labels >= 0
        likely = probabilities[known].gather(1, labels[known, None]).double()
        loss = -likely.clamp(min=TINY).log().sum()
        counts += torch.stack([hits[:, 0].sum().double(), hits.any(dim=1).sum().double(), loss]).to(counts.dtype)
    top1, top5, loss = (world.sum(counts) / max(len(rows), 1)).tolist()
    return {"top1_error": 100 * (1 - top1), "top5_error": 100 * (1 - top5), "loss": loss}
