"""Class probabilities of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from zfnet.core.precision import autocast
from zfnet.data.cache.images import ImageStore
from zfnet.networks.convnet import ConvNet


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
