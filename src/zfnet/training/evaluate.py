"""Classification error of the center crop or of the mean over ten crops, exact for any number of processes.

Ten-crop: the class probabilities of the ten crops are averaged (Krizhevsky et al. 2012, to whom [ZF13] compares).
"""

import numpy as np
import torch

from zfnet.data.cache.images import Images
from zfnet.networks.network import Network
from zfnet.networks.predict import predict
from zfnet.training.distributed import World


def errors(
    network: Network,
    images: Images,
    world: World,
    crops: str = "center",
    precision: str = "fp32",
    rows: np.ndarray | None = None,
) -> dict[str, float]:
    """Top-1 and top-5 error in percent over `rows` (default: all); counts are summed over processes, nothing padded."""
    rows = np.arange(len(images)) if rows is None else rows
    all_labels = network.classes.labels(images.index)
    counts = torch.zeros(2, dtype=torch.float64, device=world.device)
    for part, probabilities in predict(network, images, world.shard(rows), crops, precision):
        labels = torch.as_tensor(all_labels[part], device=probabilities.device)
        ranked = probabilities.topk(min(5, probabilities.shape[1]), dim=1).indices
        hits = ranked == labels[:, None]
        counts += torch.stack([hits[:, 0].sum(), hits.any(dim=1).sum()]).to(counts.dtype)
    top1, top5 = (world.sum(counts) / max(len(rows), 1)).tolist()
    return {"top1_error": 100 * (1 - top1), "top5_error": 100 * (1 - top5)}
