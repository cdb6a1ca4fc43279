"""The errors and the loss of an evaluation, against logits of one image after another."""

import pytest
import torch
from torch.nn import functional as F

from zfnet.networks.convnet import build
from zfnet.training.distributed import World
from zfnet.training.evaluate import errors


def test_errors_and_loss_are_those_of_single_images(stores, wrap):
    images = stores[1]
    module = build("zfnet", 3, 32, 0.05)
    module.initialize("he", 3)
    network = wrap(module)
    losses, hits = [], 0
    for row, label in enumerate(images.index.labels.tolist()):
        with torch.inference_mode():
            logits = network.scores(network.center(images.frames([row])))
        losses.append(F.cross_entropy(logits, torch.tensor([label])).item())
        hits += int(logits.argmax() == label)
    measured = errors(network, images, World(0, 1, torch.device("cpu")))
    assert measured["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert measured["top1_error"] == pytest.approx(100 * (1 - hits / len(losses)))
    assert measured["top5_error"] == 0.0
