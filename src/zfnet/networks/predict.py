"""Images as network inputs, batch by batch, and their class probabilities (center crop, or mean of ten crops)."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from zfnet.core.precision import autocast
from zfnet.core.progress import track
from zfnet.data.cache.images import Images
from zfnet.networks.network import Network


def center_batches(network: Network, images: Images, rows: np.ndarray, batch: int, what: str = "") -> Iterator[Tensor]:
    """Center crops of `rows`, in their order, as network inputs (b, 3, crop, crop) on the network's device.

    what: names the progress on stderr; empty: no progress.
    """
    starts = range(0, len(rows), batch)
    for start in track(starts, what) if what else starts:
        yield network.center(images.frames(rows[start : start + batch]))


@torch.inference_mode()
def predict(
    network: Network, images: Images, rows: np.ndarray, crops: str, precision: str = "fp32", batch: int = 256
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """(rows of a batch, class probabilities (b, classes) float64) over `rows`; the module is used in evaluation mode.

    crops="ten": averaged over the ten crops, in float64. batch: crops at once.
    """
    module, inputs = network.module, network.inputs
    views = 10 if crops == "ten" else 1
    step = max(1, batch // views)
    was_training = module.training
    module.eval()
    try:
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            frames = images.frames(part)
            x = inputs.ten_crops(frames).flatten(0, 1) if views == 10 else inputs.center(frames)
            with autocast(network.device, precision):
                logits = module(x.to(network.device).contiguous(memory_format=torch.channels_last))
            yield part, logits.double().softmax(1).unflatten(0, (len(part), views)).mean(1)
    finally:  # also where the caller stops early
        module.train(was_training)


def classes_or_guesses(network: Network, images: Images, rows: np.ndarray) -> np.ndarray:
    """The classes (n,) of `rows` as outputs of the network; its guesses, where it has the class of no image at all.

    Guesses are those of `network.chooser` where there is one.
    """
    network = network.chooser or network
    labels = network.classes.labels(images.index)
    if (labels >= 0).any():
        return labels[rows]
    parts = [probabilities.argmax(1).cpu().numpy() for _, probabilities in predict(network, images, rows, "center")]
    return np.concatenate([*parts, np.empty(0, np.int64)])


def correct_images(network: Network, images: Images, seed: int, n: int) -> Iterator[int]:
    """The first `n` rows, in an order drawn by seed, whose center crop is classified correctly.

    Images whose class the network does not have are not classified. Where it has the class of no image, as of
    photographs without labels, its guesses count as correct. Where there is one, `network.chooser` classifies.
    """
    network = network.chooser or network
    order = np.random.default_rng([seed, 7]).permutation(len(images))
    labels = network.classes.labels(images.index)
    if (labels < 0).all():
        yield from order[:n].tolist()
        return
    order = order[labels[order] >= 0]
    count = 0
    for rows, probabilities in predict(network, images, order, "center", batch=64):
        guesses = probabilities.argmax(1).cpu().numpy()
        for row in rows[guesses == labels[rows]]:
            if count == n:
                return
            count += 1
            yield int(row)
