"""Stage transfer with a network of torchvision: frozen features alone, nothing of ours, and said so."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.experiments import stages
from zfnet.experiments.table import Config
from zfnet.experiments.sources import forget_listings
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.pipeline.options import PathsOptions, WandbOptions
from zfnet.report.build import build
from zfnet.running import runner as pipeline
from zfnet.running.runner import STAGES, fingerprint, plan

TRIAL = "alexnet, random weights: a trial, its answers mean nothing"


@pytest.fixture(scope="module")
def caltech(tmp_path_factory):
    """Three classes of six photographs in Caltech-101's layout."""
    root, rng = tmp_path_factory.mktemp("caltech"), np.random.default_rng(0)
    for k, name in enumerate(("ant", "bee", "crab")):
        folder = root / "101_ObjectCategories" / name
        folder.mkdir(parents=True)
        for i in range(1, 7):
            image = np.clip(rng.normal(60 + 60 * k, 25, (60, 80, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"image_{i:04d}.jpg"), image)
    return root


@pytest.fixture
def config(caltech, tmp_path):
    transfer = TransferOptions(
        source="caltech101", root=str(caltech), network="alexnet", weights="random", layers=[5, 7], softmax_layers=[5],
        per_class=[2], test_per_class=3, folds=2, few_shot=[1], c_grid=[1.0], batch=8,
    )  # fmt: skip
    wandb = WandbOptions(mode="disabled")
    return Config(stage="transfer", paths=PathsOptions(outputs=str(tmp_path)), wandb=wandb, transfer=transfer)


def test_the_frozen_classifiers_are_made_without_any_stage_of_ours_and_marked_a_trial(config, tmp_path, capsys):
    (out,) = pipeline.run(config, "")
    assert [path.name for path in (tmp_path / "menagerie").glob("[!.]*")] == ["transfer"]
    result = json.loads((out / "result.json").read_text())
    numbers = result["numbers"]
    assert numbers["network"] == TRIAL and result["headline"].endswith(TRIAL)
    assert list(numbers["table4"]) == ["pretrained"] and list(numbers["few_shot"]) == ["1", "2"]
    assert list(numbers["table7"]["svm"]) == list(numbers["table7"]["softmax"]) == ["5", "7"]
    assert numbers["table7"]["svm"]["5"]["mean"] > 0.6 and len(numbers["per_class"]) == 3 and numbers["depth"] == 7
    assert not {"reverse", "duplicates"} & set(numbers) and set(result["figures"]) == {"layers.svg", "few_shot.svg"}
    features = np.load(out / "features-alexnet" / "network.classifier.5.npy")
    assert features.shape == (18, 4096) and np.load(out / "images-256" / "pixels.npy").shape == (18, 256, 256, 3)
    pipeline.run(config, "")
    assert "done before" in capsys.readouterr().out
    build(tmp_path / "menagerie", tmp_path / "report")
    assert (tmp_path / "report" / "zeiler-fergus.html").read_text().count(TRIAL) == 3


def test_layers_that_the_network_lacks_are_left_out(config, tmp_path):
    lacks = replace(config.transfer, network="resnet18", layers=[7], softmax_layers=[7], per_class=[1], folds=1)
    numbers = stages.transfer(replace(config, transfer=lacks), tmp_path).numbers
    assert numbers["table7"]["svm"] == {} and list(numbers["table7"]["softmax"]) == ["6"] and numbers["depth"] == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"weights": "gone.pth"}, "transfer.weights: gone.pth is not a file; give a state dict of alexnet"),
        ({"network": "trained"}, "transfer.weights: belongs to a network of torchvision.*transfer.network=vgg16"),
    ],
)
@pytest.mark.parametrize("stage", ["transfer", "report"])
def test_weights_that_cannot_be_meant_are_told_before_anything_runs(config, stage, change, told, tmp_path):
    with pytest.raises(UserError, match=told):
        pipeline.run(replace(config, stage=stage, transfer=replace(config.transfer, **change)), "")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_shape_are_told_before_an_image_is_read(config, tmp_path):
    torch.save({"fc.weight": torch.zeros(3, 4)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="transfer.weights: .*w.pth does not hold the weights of alexnet"):
        stages.transfer(
            replace(config, transfer=replace(config.transfer, weights=str(tmp_path / "w.pth"))), tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_what_the_numbers_depend_on_is_noticed(config, tmp_path):
    def now(transfer=config.transfer, **data):
        forget_listings()  # as a new run does
        return fingerprint(STAGES["transfer"], replace(config, transfer=transfer, data=replace(config.data, **data)))

    weights = replace(config.transfer, weights=str(tmp_path / "w.pth"))
    (tmp_path / "w.pth").write_bytes(b"one")
    before = now(weights)
    (tmp_path / "w.pth").write_bytes(b"two")
    assert now(weights) != before
    assert now(n_classes=7) == now() != now(cache="jpeg")  # no data set of ours, but its way of keeping images
    assert [stage.name for stage in plan(["transfer"], config)] == ["transfer"]
    own = replace(config, transfer=replace(config.transfer, network="trained", weights=""))
    assert [stage.name for stage in plan(["transfer"], own)] == ["data", "train", "transfer"]
