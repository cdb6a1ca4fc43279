"""A whole network trained on the small set is scored on the test images of its split, and on no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Split
from zfnet.experiments.transfer.whole_networks import Recipe, model_file, trainer
from zfnet.networks.checkpoint import load_trained
from zfnet.networks.inputs import Inputs
from zfnet.networks.options import ModelOptions
from zfnet.training.options import CheckpointOptions, TrainOptions


@pytest.fixture
def images(make_store):
    return make_store(3, 8, size=64)


@pytest.fixture
def split():
    rows = np.random.default_rng(0).permutation(24)
    return Split(0, 4, rows[:12], rows[12:])


def recipe(epochs):
    options = TransferOptions(trained_epochs=epochs, trained_batch=4)
    train = TrainOptions(lr=0.05, snapshots=[1])
    return Recipe.of(options, ModelOptions(width=0.1, init="he"), train, CheckpointOptions(), "cpu")


def inputs_of(images, divisor=60.0):
    return Inputs.of_mean_image(images.pixels.mean(0).astype(np.float32), divisor)


def test_a_network_trained_from_scratch_is_scored_on_the_test_images_of_its_split(images, split, tmp_path):
    accuracies = trainer(recipe(25), images, inputs_of(images), tmp_path)(split, 0)
    network = load_trained(model_file(tmp_path, "scratch", 4, 0))
    right: dict[int, list[bool]] = {k: [] for k in range(3)}
    with torch.inference_mode():
        for row in split.test:
            crops = network.inputs.ten_crops(images.frames([row]))[0]
            guess = network.module(crops).softmax(1).mean(0).argmax()
            right[int(images.index.labels[row])].append(int(guess) == images.index.labels[row])
    assert np.mean(accuracies) > 0.5  # a constant answer, 1 of 3, would tell nothing of the rows
    np.testing.assert_allclose(accuracies, [np.mean(right[k]) for k in range(3)])


def test_fine_tuning_starts_from_the_hidden_layers_and_inputs_of_the_other_network(images, split, tmp_path):
    """A step of size zero leaves the weights that it starts from."""
    inputs = inputs_of(images, divisor=31.0)
    trainer(recipe(1), images, inputs, tmp_path / "first")(split, 0)
    start = load_trained(model_file(tmp_path / "first", "scratch", 4, 0))
    still = recipe(1)
    still.train.lr = 1e-12
    trainer(still, images, inputs, tmp_path, start)(split, 5)
    tuned = load_trained(model_file(tmp_path, "fine-tuned", 4, 0))
    assert tuned.inputs.fingerprint() == inputs.fingerprint()
    for name, weights in start.module.state_dict().items():
        same = torch.allclose(weights, tuned.module.state_dict()[name], atol=1e-6)
        assert same == (not name.startswith("fc8.")) or not weights.any(), name
    assert not list((tmp_path / "fine-tuned").rglob("epoch_0000*"))
