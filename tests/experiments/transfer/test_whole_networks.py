"""A whole network trained on the small set is scored on the test images of its split, and on no other."""

from __future__ import annotations

import numpy as np
import torch

from zfnet.experiments.table import Config
from zfnet.experiments.transfer.protocol import Split
from zfnet.experiments.wiring import trainer
from zfnet.networks.checkpoint import load_model


def test_a_network_trained_from_scratch_is_scored_on_the_test_images_of_its_split(make_store, tmp_path):
    images, config = make_store(3, 8, size=64), Config(device="cpu")
    config.model.width, config.model.init, config.train.lr = 0.1, "he", 0.05
    config.transfer.trained_epochs, config.transfer.trained_batch = 25, 4
    rows = np.random.default_rng(0).permutation(24)
    split = Split(0, 4, rows[:12], rows[12:])
    found = trainer(config, images, tmp_path, None)(split, 0)
    model = load_model(tmp_path / "scratch" / "4_fold_0" / "model.pt", "cpu")
    right: dict[int, list[bool]] = {k: [] for k in range(3)}
    with torch.inference_mode():
        for row in split.test:
            guess = model(images.ten_crops([row])[0]).softmax(1).mean(0).argmax()
            right[int(images.index.labels[row])].append(int(guess) == images.index.labels[row])
    assert np.mean(found) > 0.5  # a constant answer, 1 of 3, would tell nothing of the rows
    np.testing.assert_allclose(found, [np.mean(right[k]) for k in range(3)])
