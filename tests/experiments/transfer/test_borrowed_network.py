"""Stage transfer with a network that was trained elsewhere, and with one of ours."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torchvision import models

from zfnet.core.errors import UserError
from zfnet.data.cache.images import open_cache
from zfnet.data.options import DataOptions
from zfnet.experiments.context import Context
from zfnet.experiments.table import Config
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.stage import TRANSFER
from zfnet.experiments.voc.stage import VOC
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network
from zfnet.networks.options import ModelOptions, NetworkOptions
from zfnet.pipeline.options import PathsOptions

TITLE = "alexnet, random weights: a trial, its answers mean nothing"
ALEXNET = {5: "features.12", 6: "classifier.2", 7: "classifier.5"}


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
        source="caltech101", root=str(caltech), layers=[5, 7], softmax_layers=[5], per_class=[2], test_per_class=3,
        folds=2, few_shot=[1], c_grid=[1.0], batch=8, trained_epochs=1, trained_batch=6, reverse=2,
    )  # fmt: skip
    paths, data = PathsOptions(outputs=str(tmp_path)), DataOptions(size=64)
    return Config(stage="transfer", device="cpu", paths=paths, data=data, transfer=transfer)


def context_of(config, out, network, images=None):
    context = Context(config, "transfer", out, out / "no images", lambda stage: None)
    context.__dict__["network"] = network
    if images is not None:
        context.__dict__["images"] = images
    return context


def borrowed(name, layers):
    torch.manual_seed(0)
    module = models.get_model(name, weights=None, num_classes=5).eval()
    names = tuple(f"class {k}" for k in range(5))
    inputs = Inputs.of_colors(72, 64, IMAGENET_MEAN, IMAGENET_STD)
    return Network(module, inputs, Classes(names, names), layers, {}, TITLE, name)


def test_of_a_borrowed_network_the_frozen_features_alone_are_made(config, tmp_path):
    config = replace(config, network=NetworkOptions("alexnet", "random"))
    TRANSFER.check(context_of(config, tmp_path, None))
    outcome = TRANSFER.run(context_of(config, tmp_path, borrowed("alexnet", ALEXNET)))
    numbers = json.loads(json.dumps(outcome.numbers))
    assert numbers["network"] == TITLE and outcome.headline.endswith(TITLE)
    assert list(numbers["table4"]) == ["pretrained"] and list(numbers["few_shot"]) == ["1", "2"]
    assert list(numbers["table7"]["svm"]) == list(numbers["table7"]["softmax"]) == ["5", "7"]
    assert numbers["table7"]["svm"]["5"]["value"] > 0.6 and len(numbers["per_class"]) == 3 and numbers["depth"] == 7
    assert not {"reverse", "duplicates"} & set(numbers) and set(outcome.figures) == {"layers.svg", "few_shot.svg"}
    assert np.load(tmp_path / "features/classifier.5.npy").shape == (18, 4096)
    assert open_cache(tmp_path / "images").size == 72  # the network's frame, not the profile's
    assert TRANSFER.borrowed_needs == () and "network" in TRANSFER.reads


def test_layers_that_the_network_lacks_are_left_out(config, tmp_path):
    options = replace(config.transfer, layers=[7], softmax_layers=[7], per_class=[1], folds=1)
    config = replace(config, transfer=options, network=NetworkOptions("resnet18", "random"))
    network = borrowed("resnet18", {1: "maxpool", 5: "layer4", 6: "avgpool"})
    numbers = TRANSFER.run(context_of(config, tmp_path, network)).numbers
    assert numbers["table7"]["svm"] == {} and list(numbers["table7"]["softmax"]) == ["6"] and numbers["depth"] == 6


def test_of_a_network_of_ours_everything_is_made(config, make_store, wrap, tmp_path):
    train, val = make_store(3, 4, seed=1, size=64), make_store(3, 3, seed=2, size=64)
    module = build("zfnet", 3, 56, 0.05)
    module.initialize("he", 0)
    config = replace(config, model=ModelOptions(width=0.05, init="he"))
    outcome = TRANSFER.run(context_of(config, tmp_path, wrap(module, train), (train, val)))
    numbers = json.loads(json.dumps(outcome.numbers))
    assert list(numbers["table4"]) == ["pretrained", "scratch", "fine-tuned"] and "duplicates" in numbers
    assert (tmp_path / "scratch/2_fold_0/model.pt").is_file() and not (tmp_path / "scratch/2_fold_1").exists()
    assert list(numbers["reverse"]["networks"]) == ["pretrained", "random", "scratch"]
    assert numbers["reverse"]["n_classes"] == 3 and open_cache(tmp_path / "images").size == 64
    for name in ("untrained", "unreversed"):
        options = replace(config.transfer, **{"untrained": {"trained_epochs": 0}, "unreversed": {"reverse": 0}}[name])
        again = replace(config, transfer=options)
        less = TRANSFER.run(context_of(again, tmp_path / name, wrap(module, train), (train, val))).numbers
        assert ("reverse" in less) == (name == "untrained")
        assert (list(less["table4"]) == ["pretrained"]) == (name == "untrained")
        assert name == "unreversed" or list(less["reverse"]["networks"]) == ["pretrained", "random"]


def test_a_folder_that_is_not_there_is_known_before_anything_runs(config, tmp_path):
    config = replace(config, transfer=replace(config.transfer, root=str(tmp_path / "gone")))
    with pytest.raises(UserError, match=r"transfer\.root: no folder .*gone; see data/README"):
        TRANSFER.check(context_of(config, tmp_path, None))


def test_without_a_transfer_set_the_stage_is_skipped_without_a_network(config, tmp_path):
    config = replace(config, transfer=replace(config.transfer, source="none"))
    outcome = TRANSFER.run(Context(config, "transfer", tmp_path, tmp_path, lambda stage: None))
    assert outcome.numbers["skipped"] == "transfer.source is none"


@pytest.mark.parametrize("stage", [TRANSFER, VOC])
def test_a_network_without_hidden_layers_is_refused_before_it_runs(stage, config, tmp_path, monkeypatch):
    code = "from torch import nn\nlinear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))\n"
    (tmp_path / "only_linear.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    config.network = NetworkOptions("only_linear:linear", frame=8, crop=8)
    with pytest.raises(UserError, match=f"{stage.name}: needs layer 1, and only_linear:linear has no hidden layer"):
        stage.check(Context(config, stage.name, tmp_path, tmp_path, lambda name: None))
