from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.svm import LinearSVC

from zfnet.data.cache.images import build_cache
from zfnet.experiments.sources import read_transfer_source
from zfnet.experiments.table import Config
from zfnet.experiments.transfer import compute as stage
from zfnet.experiments.transfer.experiment import choose_c, make_task
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.experiments.transfer.protocol import Protocol, draw_split
from zfnet.linear.solver import SVM
from zfnet.networks.convnet import build

CONFIG = TransferOptions(
    layers=[1, 7], softmax_layers=[1], per_class=[2, 6], folds=2, few_shot=[1, 50], c_grid=[0.1, 1.0], batch=16
)


@pytest.fixture
def images(make_store):
    return make_store(3, 9, size=64)


@pytest.fixture
def network(images, wrap):
    module = build("zfnet", 4, 56, 0.05)
    module.initialize("he", 0)
    return wrap(module, images)


def test_the_tables_are_whole_plain_and_better_than_chance(network, images, tmp_path):
    outcome = stage.run(CONFIG, network, images, tmp_path, seed=0)
    numbers = json.loads(json.dumps(outcome.numbers))
    assert list(numbers["table7"]["svm"]) == ["1", "7"] and list(numbers["table7"]["softmax"]) == ["1", "7"]
    assert list(numbers["table4"]["pretrained"]) == ["2", "6"] and list(numbers["few_shot"]) == ["1", "2", "6"]
    cell = numbers["table7"]["svm"]["1"]
    assert len(cell["repeats"]) == len(cell["c"]) == 2 and cell["value"] > 0.9
    assert numbers["chance"] == pytest.approx(1 / 3)
    assert all((tmp_path / name).is_file() for name in outcome.figures) and (tmp_path / "splits.json").is_file()
    assert "at 6 images a class" in outcome.headline


def test_a_seed_repeats_every_number(network, images, tmp_path):
    first, again = (stage.run(CONFIG, network, images, tmp_path / name, seed=1) for name in "ab")
    assert first.numbers == again.numbers


def test_an_interrupted_stage_computes_only_what_it_lacks(network, images, tmp_path, monkeypatch):
    whole, asked = stage.run(CONFIG, network, images, tmp_path / "whole", seed=0), []
    score_folds = stage.score_folds

    def stop_at_the_third(task, classifier, splits):
        asked.append((classifier, splits[0].per_class))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return score_folds(task, classifier, splits)

    monkeypatch.setattr(stage, "score_folds", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        stage.run(CONFIG, network, images, tmp_path / "cut", seed=0)
    resumed = stage.run(CONFIG, network, images, tmp_path / "cut", seed=0)
    assert resumed.numbers == whole.numbers
    assert asked == [("svm", 6), ("softmax", 6), ("svm", 6), ("svm", 6), ("softmax", 1), ("softmax", 2), ("softmax", 6)]
    other = stage.run(replace(CONFIG, c_grid=[0.2]), network, images, tmp_path / "cut", seed=0)
    assert len(asked) == 13 and other.numbers["table7"]["svm"]["1"]["c"] == [0.2, 0.2]


def test_whole_networks_are_trained_on_the_same_splits(network, images, tmp_path):
    seen = []

    def train(split, seed):
        seen.append((split.per_class, split.fold, seed))
        assert not set(split.train) & set(split.test)
        return [1.0, 0.5, float("nan")]

    outcome = stage.run(CONFIG, network, images, tmp_path, seed=5, trained={"scratch": train})
    assert seen == [(2, 0, 5), (6, 0, 5)]
    assert outcome.numbers["table4"]["scratch"]["6"] == {"value": 0.75, "n": 1, "repeats": [0.75]}
    assert "scratch 75.0 %" in outcome.headline


def test_near_duplicates_are_listed_by_file(network, images, make_store, tmp_path):
    scenes = np.random.default_rng(3).integers(0, 256, (6, 4, 4, 3)).astype(np.uint8)
    others = replace(make_store(2, 3, size=64), pixels=scenes.repeat(16, axis=1).repeat(16, axis=2))
    pixels = np.array(images.pixels)
    pixels[4] = others.pixels[5]
    outcome = stage.run(CONFIG, network, replace(images, pixels=pixels), tmp_path, seed=0, duplicates_of=others)
    written = json.loads((tmp_path / "duplicates.json").read_text())
    assert written["leave_out"] == [str(others.index.paths[5])] and outcome.numbers["duplicates"]["pairs"] == 1
    assert (tmp_path / "duplicates.png").is_file()


def task_of(features, images, grid):
    config = TransferOptions(scaling="mean", c_grid=grid)
    return make_task(features, images.index.labels, 3, np.arange(27), config, "cpu")


def test_c_is_chosen_without_the_test_images(images):
    rng = np.random.default_rng(0)
    loud, telling = 10 * rng.normal(size=(27, 4)), 0.5 * np.eye(3)[images.index.labels]
    features = np.concatenate([loud, telling], axis=1).astype(np.float32)  # a small C hears the loud ones only
    split = draw_split(images.index, Protocol((6,), 3, 1, ""), 6, 0, seed=0)
    grid = [1e-3, 1.0, 1e4]
    chosen = choose_c(task_of(features, images, grid), SVM, split)
    features[split.test] = np.nan
    blind = choose_c(task_of(features, images, grid), SVM, split)
    assert chosen == blind == 1e4


def test_one_image_a_class_takes_the_middle_of_the_grid(images):
    split = draw_split(images.index, Protocol((1,), 3, 1, ""), 1, 0, seed=0)
    task = task_of(np.ones((27, 2), dtype=np.float32), images, [9.0, 1.0, 3.0])
    assert choose_c(task, SVM, split) == 3.0


def test_a_caltech_256_tree_with_its_strays_goes_through_the_stage(network, tmp_path):
    folder, rng = tmp_path / "256_ObjectCategories", np.random.default_rng(0)
    for k, name in enumerate(("056.dog", "198.spider", "251.airplanes-101", "257.clutter")):
        (folder / name).mkdir(parents=True)
        for i in range(1, 8):
            image = np.clip(rng.normal(60 + 50 * k, 20, (50, 70, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{name[:3]}_{i:04d}.jpg"), image)
    (folder / "198.spider" / "RENAME2").write_text("mv 198_0003.jpg 198_0004.jpg")
    (folder / "056.dog" / "greg" / "vision309").mkdir(parents=True)
    (folder / "056.dog" / "greg" / "056_0001.jpg").write_bytes(b"no image")
    config = Config(transfer=replace(CONFIG, source="caltech256", root=str(tmp_path), per_class=[2, 4], few_shot=[1]))
    images = build_cache(read_transfer_source(config), tmp_path / "images", 64)
    numbers = stage.run(config.transfer, network, images, tmp_path / "out", seed=0).numbers
    assert (numbers["n_images"], numbers["n_classes"]) == (21, 3)
    assert list(numbers["table4"]["pretrained"]) == ["2", "4"] and "Griffin" in numbers["protocol"]["source"]
    assert list(numbers["per_class"]) == ["dog", "spider", "airplanes"]


def test_the_splits_can_be_repeated_from_the_file_alone(network, images, tmp_path):
    numbers = stage.run(CONFIG, network, images, tmp_path, seed=0).numbers
    written = json.loads((tmp_path / "splits.json").read_text())
    assert written["images"] == [str(path) for path in images.index.paths]
    sizes = [(split["per_class"], split["fold"]) for split in written["splits"]]
    assert sorted(sizes) == [(m, fold) for m in (1, 2, 6) for fold in range(2)]
    labels = np.array(written["labels"])
    for split in written["splits"]:
        assert np.bincount(labels[split["train"]]).tolist() == [split["per_class"]] * 3
        assert not set(split["train"]) & set(split["test"])
    split = next(split for split in written["splits"] if (split["per_class"], split["fold"]) == (6, 1))
    features = np.load(tmp_path / "features" / "norm1.npy").astype(np.float64)
    x = features[split["train"]]
    scale = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())  # a stranger, with scikit-learn and the two files
    cell = numbers["table7"]["svm"]["1"]
    peer = LinearSVC(C=cell["c"][1], dual=False, tol=1e-8, max_iter=100_000)
    peer.fit((x - x.mean(0)) / scale, labels[split["train"]])
    right = peer.predict((features[split["test"]] - x.mean(0)) / scale) == labels[split["test"]]
    by_class = [right[labels[split["test"]] == k].mean() for k in range(3)]
    assert np.mean(by_class) == pytest.approx(cell["repeats"][1])
