"""Accuracy by class and the confusion matrix, against counting one image after another."""

import numpy as np
import pytest
import torch

from zfnet.experiments.train.classes import by_class
from zfnet.networks.convnet import build


@pytest.fixture
def network(stores, wrap):
    module = build("zfnet", 3, 32, 0.05)
    module.initialize("he", 3)
    return wrap(module)


def test_every_image_is_counted_once_under_its_class_and_its_prediction(network, stores, monkeypatch):
    images = stores[0]
    numbers = by_class(network, images)
    counts = np.zeros((3, 3), dtype=int)
    for row, label in enumerate(images.index.labels):
        with torch.inference_mode():
            predicted = network.scores(network.center(images.frames([row]))).argmax(1).item()
        counts[label, predicted] += 1
    assert numbers["confusion"] == {"classes": list(images.index.names), "counts": counts.tolist()}
    wanted = {name: counts[k, k] / counts[k].sum() for k, name in enumerate(images.index.names)}
    assert numbers["per_class"] == wanted
    monkeypatch.setattr("zfnet.experiments.train.classes.MOST", 2)
    assert "confusion" not in by_class(network, images)
