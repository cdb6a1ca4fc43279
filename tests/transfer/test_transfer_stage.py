from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from zfnet.config import TransferConfig
from zfnet.models.net import build
from zfnet.transfer import stage
from zfnet.transfer.experiment import choose_c, make_task
from zfnet.transfer.linear import SVM
from zfnet.transfer.protocol import Protocol, draw_split

CONFIG = TransferConfig(
    layers=[1, 7], softmax_layers=[1], per_class=[2, 6], folds=2, few_shot=[1, 50], c_grid=[0.1, 1.0], batch=16
)


@pytest.fixture
def model():
    model = build("zfnet", 4, 56, 0.05)
    model.initialise("he", 0)
    return model.eval()


@pytest.fixture
def images(make_store):
    return make_store(3, 9, size=64)


def test_the_tables_are_whole_plain_and_better_than_chance(model, images, tmp_path):
    outcome = stage.run(CONFIG, model, images, tmp_path, seed=0)
    numbers = json.loads(json.dumps(outcome.numbers))
    assert list(numbers["table7"]["svm"]) == ["1", "7"] and list(numbers["table7"]["softmax"]) == ["1", "7"]
    assert list(numbers["table4"]["pretrained"]) == ["2", "6"] and list(numbers["few_shot"]) == ["1", "2", "6"]
    cell = numbers["table7"]["svm"]["1"]
    assert len(cell["folds"]) == len(cell["c"]) == 2 and cell["mean"] > 0.9
    assert numbers["chance"] == pytest.approx(1 / 3)
    assert all((tmp_path / name).is_file() for name in outcome.figures) and (tmp_path / "splits.json").is_file()
    assert "at 6 images a class" in outcome.headline


def test_a_seed_repeats_every_number(model, images, tmp_path):
    first, again = (stage.run(CONFIG, model, images, tmp_path / name, seed=1) for name in "ab")
    assert first.numbers == again.numbers


def test_whole_networks_are_trained_on_the_same_splits(model, images, tmp_path):
    seen = []

    def train(split, seed):
        seen.append((split.per_class, split.fold, seed))
        assert not set(split.train) & set(split.test)
        return [1.0, 0.5, float("nan")]

    outcome = stage.run(CONFIG, model, images, tmp_path, seed=5, trained={"scratch": train})
    assert seen == [(2, 0, 5), (6, 0, 5)]
    assert outcome.numbers["table4"]["scratch"]["6"] == {"mean": 0.75, "std": 0.0, "folds": [0.75]}
    assert "scratch 75.0 %" in outcome.headline


def test_near_duplicates_are_listed_by_file(model, images, make_store, tmp_path):
    scenes = np.random.default_rng(3).integers(0, 256, (6, 4, 4, 3)).astype(np.uint8)
    others = replace(make_store(2, 3, size=64), pixels=scenes.repeat(16, axis=1).repeat(16, axis=2))
    pixels = np.array(images.pixels)
    pixels[4] = others.pixels[5]
    outcome = stage.run(CONFIG, model, replace(images, pixels=pixels), tmp_path, seed=0, duplicates_of=others)
    written = json.loads((tmp_path / "duplicates.json").read_text())
    assert written["leave_out"] == [str(others.index.paths[5])] and outcome.numbers["duplicates"]["pairs"] == 1
    assert (tmp_path / "duplicates.png").is_file()


def test_c_is_chosen_without_the_test_images(images):
    rng = np.random.default_rng(0)
    loud, telling = 10 * rng.normal(size=(27, 4)), 0.5 * np.eye(3)[images.index.labels]
    features = np.concatenate([loud, telling], axis=1).astype(np.float32)  # a small C hears the loud ones only
    split = draw_split(images.index, Protocol((6,), 3, 1, ""), 6, 0, seed=0)
    grid = [1e-3, 1.0, 1e4]
    chosen = choose_c(make_task(features, images.index, np.arange(27), "mean", grid, "cpu"), SVM, split)
    features[split.test] = np.nan
    blind = choose_c(make_task(features, images.index, np.arange(27), "mean", grid, "cpu"), SVM, split)
    assert chosen == blind == 1e4


def test_one_image_a_class_takes_the_middle_of_the_grid(images):
    split = draw_split(images.index, Protocol((1,), 3, 1, ""), 1, 0, seed=0)
    task = make_task(np.ones((27, 2), dtype=np.float32), images.index, np.arange(27), "mean", [9.0, 1.0, 3.0], "cpu")
    assert choose_c(task, SVM, split) == 3.0
