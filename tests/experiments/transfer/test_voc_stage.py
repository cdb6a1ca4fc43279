"""Table 6: both classifiers, the official rule of the year, the server's files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from zfnet.core.errors import UserError
from zfnet.data.cache.images import open_cache
from zfnet.data.options import DataOptions, MenagerieOptions
from zfnet.experiments import sources
from zfnet.experiments.context import Context
from zfnet.experiments.table import Config
from zfnet.experiments.voc import compute as voc_stage
from zfnet.experiments.voc.options import VocOptions
from zfnet.experiments.voc.stage import VOC
from zfnet.linear.average_precision import average_precision, bootstrap_precisions
from zfnet.linear.solver import SOFTMAX, SVM
from zfnet.networks.convnet import build
from zfnet.networks.inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs
from zfnet.networks.network import Classes, Network
from zfnet.pipeline.options import PathsOptions

CONFIG = VocOptions(c_grid=[0.1, 1.0], batch=16)


@pytest.fixture
def network(make_store, wrap):
    module = build("zfnet", 4, 56, 0.05)
    module.initialize("he", 0)
    return wrap(module, make_store(3, 12, seed=1, size=64))


def context_of(config, out):
    return Context(config, "voc", out, out / "no images", lambda stage: None)


def several_labels(store, seed):
    """The store as a multi-label set: its own class, at times a second one, at times difficult."""
    rng = np.random.default_rng(seed)
    targets = np.eye(3, dtype=np.int8)[store.index.labels]
    targets[rng.random(targets.shape) < 0.1] = -1
    return replace(store, index=replace(store.index, targets=targets))


def test_table_6_has_both_classifiers_and_the_servers_files(network, make_store, tmp_path):
    train, test = (several_labels(make_store(3, 12, seed=seed, size=64), seed) for seed in (1, 2))
    outcome = voc_stage.run(CONFIG, network, train, test, tmp_path, seed=0, year=2012, split="val")
    numbers = json.loads(json.dumps(outcome.numbers))
    table = numbers["table6"]
    assert table["svm"]["mean"]["value"] > 0.6 and table["softmax"]["mean"]["value"] > 0.6
    assert list(table["svm"]["ap"]) == ["c0", "c1", "c2"] and numbers["rule"] == "all points"
    cell = table["softmax"]["ap"]["c1"]
    assert cell["low"] <= cell["value"] <= cell["high"]
    lines = (tmp_path / "softmax/results/VOC2012/Main/comp2_cls_val_c1.txt").read_text().splitlines()
    assert len(lines) == len(test) and lines[0].startswith("0 0.")
    assert all((tmp_path / name).is_file() for name in outcome.figures) and outcome.figures


@pytest.mark.parametrize("kind", ["svm", "softmax"])
@pytest.mark.parametrize("c", [1e-6, 1.0])
def test_the_written_files_give_the_stated_precision(network, make_store, tmp_path, kind, c):
    train, test = (several_labels(make_store(3, 12, seed=seed, size=64), seed) for seed in (1, 2))
    outcome = voc_stage.run(
        replace(CONFIG, c_grid=[c]), network, train, test, tmp_path, seed=0, year=2007, split="test"
    )
    assert outcome.numbers["rule"] == "eleven points"
    lines = (tmp_path / f"{kind}/results/VOC2007/Main/comp2_cls_test_c2.txt").read_text().splitlines()
    scores = np.array([float(line.split()[1]) for line in lines])
    by_hand = average_precision(scores, test.index.targets[:, 2], eleven_points=True)
    assert outcome.numbers["table6"][kind]["ap"]["c2"]["value"] == by_hand


def test_a_test_set_without_labels_gets_files_but_no_precision(network, make_store, tmp_path):
    train = several_labels(make_store(3, 12, seed=1, size=64), 1)
    test = make_store(3, 4, seed=2, size=64)
    outcome = voc_stage.run(CONFIG, network, train, test, tmp_path, seed=0, year=2012, split="test")
    assert "mean" not in outcome.numbers["table6"]["svm"] and "no labels" in outcome.headline
    assert len(list((tmp_path / "svm/results/VOC2012/Main").iterdir())) == 3 and not outcome.figures


def test_an_image_is_shared_by_its_classes_and_difficult_ones_are_passed_over():
    targets, like = np.array([[1, 1, 0], [-1, 0, 1], [-1, 0, 0]], dtype=np.int8), torch.zeros((), dtype=torch.float64)
    softmax, svm = (voc_stage.shared_targets(targets, loss, like) for loss in (SOFTMAX, SVM))
    assert softmax.tolist() == [[0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]]
    assert svm.tolist() == [[1, 1, -1], [0, -1, 1], [0, -1, -1]]


def test_bootstrapped_precisions_scatter_around_the_precision():
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 2)) < 0.3).astype(np.int8)
    scores = targets + rng.normal(0, 1, targets.shape)
    drawn = bootstrap_precisions(scores, targets, seed=0, n=100)
    for k in range(2):
        ap = average_precision(scores[:, k], targets[:, k])
        assert np.quantile(drawn[:, k], 0.025) < ap < np.quantile(drawn[:, k], 0.975)
    np.testing.assert_array_equal(drawn, bootstrap_precisions(scores, targets, seed=0, n=100))


def test_voc_that_is_not_there_is_a_stage_not_run(tmp_path):
    config = Config(paths=PathsOptions(data=str(tmp_path / "data")), voc=VocOptions(source="voc2012"))
    outcome = VOC.run(context_of(config, tmp_path / "out"))
    folder = tmp_path / "data" / "VOCdevkit" / "VOC2012"
    reason = f"{folder} does not exist; `zfnet data fetch voc2012 --to {config.paths.data}`"
    assert (outcome.headline, outcome.numbers["skipped"]) == (f"not run: {reason}", reason)


@pytest.fixture
def devkit(tmp_path):
    """Lists of VOC 2007 (train, val, trainval, test, all with labels) and of 2012 (test without)."""
    for year, labelled in ((2007, ("train", "val", "trainval", "test")), (2012, ("train", "val", "trainval"))):
        folder = tmp_path / "VOCdevkit" / f"VOC{year}"
        (folder / "ImageSets" / "Main").mkdir(parents=True)
        (folder / "JPEGImages").mkdir()
        for split in ("train", "val", "trainval", "test"):
            (folder / "JPEGImages" / f"{split}.jpg").write_bytes(b"")
            (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{split}\n")
            if split in labelled:
                (folder / "ImageSets" / "Main" / f"dog_{split}.txt").write_text(f"{split}  1\n")
    return Config(paths=PathsOptions(data=str(tmp_path)))


@pytest.mark.parametrize(
    ("source", "asked", "splits"),
    [
        ("voc2012", "auto", ("train", "val")),
        ("voc2012", "test", ("trainval", "test")),
        ("voc2007", "auto", ("trainval", "test")),
        ("voc2007", "val", ("train", "val")),
    ],
)
def test_what_is_trained_and_tested_on(devkit, source, asked, splits):
    train, test, name = sources.read_voc_source(replace(devkit, voc=VocOptions(source=source, test=asked)))
    assert (train.paths[0], test.paths[0]) == tuple(f"JPEGImages/{split}.jpg" for split in splits) and name == splits[1]
    assert (test.targets is None) == (asked == "test")


def test_a_root_of_ones_own_must_hold_the_year(devkit, tmp_path):
    config = replace(devkit, voc=VocOptions(source="voc2012", root=str(tmp_path / "VOCdevkit" / "VOC2007")))
    context = context_of(config, tmp_path)
    context.__dict__["network"] = None  # read after the images' folder has been looked at
    with pytest.raises(UserError, match=r"voc\.root: .* holds no VOC2012"):
        VOC.run(context)


def test_a_root_that_is_not_there_is_known_before_anything_runs(tmp_path):
    config = Config(voc=VocOptions(source="voc2012", root=str(tmp_path / "gone")))
    with pytest.raises(UserError, match=r"voc\.root: no folder .*gone; see data/README"):
        VOC.check(context_of(config, tmp_path))


def test_the_drawn_scenes_go_through_the_whole_stage_at_the_networks_own_frame(tmp_path):
    from torchvision.models import resnet18

    drawn = MenagerieOptions(train_per_class=1, val_per_class=1, caltech_per_class=2, voc_images=40)
    paths, data = PathsOptions(data=str(tmp_path / "data")), DataOptions(size=64, menagerie=drawn)
    context = context_of(Config(paths=paths, data=data, voc=CONFIG), tmp_path / "out")
    torch.manual_seed(0)
    inputs = Inputs.of_colors(48, 40, IMAGENET_MEAN, IMAGENET_STD)
    layers = {1: "maxpool", 4: "layer3", 5: "avgpool"}
    names = tuple(f"class {k}" for k in range(7))
    module = resnet18(num_classes=7).eval()
    context.__dict__["network"] = Network(module, inputs, Classes(names, names), layers, {}, "a borrowed one")
    outcome = VOC.run(context)
    assert outcome.numbers["n_train"] == outcome.numbers["n_test"] == 20 and outcome.numbers["n_classes"] == 20
    assert 0 < outcome.numbers["table6"]["softmax"]["mean"]["value"] <= 1 and outcome.numbers["depth"] == 5
    assert open_cache(tmp_path / "out/images/test").size == 48
    assert np.load(tmp_path / "out/features/train/avgpool.npy").shape == (20, 512)


def test_chance_is_the_share_of_images_that_show_the_class() -> None:
    targets = np.array([[1, 0, -1], [0, 0, -1], [1, -1, -1], [0, 1, -1]], np.int8)
    assert voc_stage.chance(targets) == pytest.approx(100 * (2 / 4 + 1 / 3 + 0) / 3)
