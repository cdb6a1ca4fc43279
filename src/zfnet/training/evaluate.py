"""Classification error, with the centre crop or averaged over ten crops, exact over any number of processes.

Ten-crop: the class probabilities of the ten crops are averaged (Krizhevsky et al. 2012, to whom [ZF13] compares).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from zfnet.data.store import ImageStore
from zfnet.distributed import World
from zfnet.models.net import ConvNet
from zfnet.training.precision import autocast


def errors(
    model: ConvNet,
    images: ImageStore,
    world: World,
    crops: str = "center",
    precision: str = "fp32",
    rows: np.ndarray | None = None,
) -> dict[str, float]:
    """Top-1 and top-5 error in percent over `rows` (default: all); counts are summed over processes, nothing padded."""
    rows = np.arange(len(images)) if rows is None else rows
    counts = torch.zeros(2, dtype=torch.float64, device=world.device)
    for part, probabilities in predict(model, images, world.shard(rows), crops, precision):
        labels = torch.as_tensor(images.index.labels[part], device=probabilities.device)
        ranked = probabilities.topk(min(5, probabilities.shape[1]), dim=1).indices
        hits = ranked == labels[:, None]
        counts += torch.stack([hits[:, 0].sum(), hits.any(dim=1).sum()]).to(counts.dtype)
    right1, right5 = (world.sum(counts) / max(len(rows), 1)).tolist()
    return {"top1_error": 100 * (1 - right1), "top5_error": 100 * (1 - right5)}


@torch.inference_mode()
def predict(
    model: ConvNet, images: ImageStore, rows: np.ndarray, crops: str, precision: str = "fp32", batch: int = 256
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """(rows of a batch, class probabilities (b, classes) float64) over `rows`; the model is used in evaluation mode.

    crops="ten": averaged over the ten crops, in float64. batch: crops at once.
    """
    device = next(model.parameters()).device
    views = 10 if crops == "ten" else 1
    step = max(1, batch // views)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            inputs = images.ten_crops(part).flatten(0, 1) if views == 10 else images.center(part)
            with autocast(device, precision):
                logits = model(inputs.to(device).contiguous(memory_format=torch.channels_last))
            yield part, logits.double().softmax(1).unflatten(0, (len(part), views)).mean(1)
    finally:  # also where the caller has seen enough
        model.train(was_training)
