"""Whole networks trained on the transfer set: from scratch, or from a pre-trained network's hidden layers.

[ZF13] 5.2 resets all layers and trains them on the transfer set's images; fine-tuning starts from the pre-trained
hidden layers instead. Epochs and batch are [NS]; pixels become inputs as for the pre-trained network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zfnet.core.machine import pick_device
from zfnet.data.cache.images import Images
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Split, class_accuracies
from zfnet.networks.checkpoint import load_trained
from zfnet.networks.inputs import Inputs
from zfnet.networks.network import Network
from zfnet.networks.options import ModelOptions
from zfnet.networks.predict import predict
from zfnet.training.distributed import join_world
from zfnet.training.fit import Job, fit
from zfnet.training.options import CheckpointOptions, TrainOptions

SCRATCH, FINE_TUNED = "scratch", "fine-tuned"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained on the transfer set: its architecture, the training's settings, the device."""

    model: ModelOptions
    train: TrainOptions
    checkpoints: CheckpointOptions
    device: str
    crops: str = "ten"  # over which predictions are averaged

    @classmethod
    def of(
        cls,
        options: TransferOptions,
        model: ModelOptions,
        train: TrainOptions,
        checkpoints: CheckpointOptions,
        device: str,
    ) -> Recipe:
        """The pre-training's recipe with the epochs and the batch of the transfer set."""
        settings = replace(
            train, epochs=options.trained_epochs, batch=options.trained_batch, schedule="cosine", snapshots=[]
        )
        return cls(model, settings, checkpoints, device, options.crops)


def model_file(out: Path, kind: str, per_class: int, fold: int) -> Path:
    """Where the network of one split is written."""
    return out / kind / f"{per_class}_fold_{fold}" / "model.pt"


def trainer(
    recipe: Recipe, images: Images, inputs: Inputs, out: Path, start: Network | None = None
) -> Callable[[Split, int], list[float]]:
    """A function (split, seed) that trains a whole network and gives each class's accuracy on the split's test images.

    start: a trained network whose hidden layers are the initial weights; None: from scratch. Predictions are averaged
    over the same crops as frozen features (transfer.crops).
    """
    kind = SCRATCH if start is None else FINE_TUNED

    def accuracies(split: Split, seed: int) -> list[float]:
        file = model_file(out, kind, split.per_class, split.fold)
        settings = replace(recipe.train, seed=seed)
        job = Job(recipe.model, settings, recipe.checkpoints, str(file.parent), recipe.device)
        with join_world(recipe.device) as world:
            fit(job, world, images.take(split.train), images.take(split.test), inputs, start)
        network = load_trained(file, pick_device(recipe.device))
        batches = predict(network, images, split.test, recipe.crops)
        guesses = np.concatenate([probabilities.argmax(1).cpu().numpy() for _, probabilities in batches])
        labels = images.index.labels[split.test]
        return class_accuracies(guesses, labels, len(images.index.classes)).tolist()

    return accuracies
