"""Images as batches of network inputs."""

from __future__ import annotations

import numpy as np
import torch

from zfnet.networks.convnet import build
from zfnet.networks.predict import center_batches


def test_batches_hold_every_row_in_order_and_the_last_the_rest(stores, wrap) -> None:
    images, network = stores[0], wrap(build("zfnet", 3, 32, 0.125))
    rows = np.random.default_rng(3).permutation(len(images))[:5]
    batches = list(center_batches(network, images, rows, 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat(batches), network.center(images.frames(rows)))
    assert not list(center_batches(network, images, rows[:0], 2, "nothing: batch"))
