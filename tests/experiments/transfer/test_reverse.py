from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from zfnet.experiments.transfer import reverse
from zfnet.experiments.transfer.options import TransferOptions
from zfnet.networks.convnet import build

CONFIG = TransferOptions(softmax_layers=[1, 7], reverse=6, c_grid=[0.1, 1.0], batch=16)


@pytest.fixture
def networks(make_store, wrap):
    made = {}
    for seed, name in enumerate(("pretrained", "random")):
        module = build("zfnet", 4, 56, 0.05)
        module.initialize("he", seed)
        made[name] = wrap(module, make_store(3, 9, seed=1, size=64))
    return made


def test_every_network_is_scored_on_both_layers_with_both_classifiers(networks, make_store, tmp_path):
    train, test = make_store(3, 9, seed=1, size=64), make_store(3, 4, seed=2, size=64)
    numbers = json.loads(json.dumps(reverse.serve(CONFIG, networks, train, test, 3, tmp_path, seed=0)))
    assert (numbers["n_classes"], numbers["per_class"], numbers["n_test"]) == (3, 6, 9)
    assert numbers["chance"] == pytest.approx(1 / 3)
    for name in networks:
        assert list(numbers["networks"][name]) == ["softmax", "svm"]
        cell = numbers["networks"][name]["svm"]["1"]
        assert list(numbers["networks"][name]["svm"]) == ["1", "7"] and cell["value"] > 0.8  # colours tell the classes
        assert cell["low"] <= cell["value"] <= cell["high"]


def test_wrong_labels_are_not_learnt(networks, make_store, tmp_path):
    train, test = make_store(3, 9, seed=1, size=64), make_store(3, 4, seed=2, size=64)
    turned = replace(test, index=replace(test.index, labels=(test.index.labels + 1) % 3))
    numbers = reverse.serve(CONFIG, networks, train, turned, 3, tmp_path, seed=0)
    assert numbers["networks"]["pretrained"]["svm"]["1"]["value"] < 0.2


def test_the_draw_takes_no_more_than_the_smallest_class_has_and_only_classes_of_both_splits():
    train, test = np.repeat([0, 1, 2], [5, 9, 7]), np.repeat([0, 2], [4, 1])
    (trained, tested), size = reverse.draw(train, test, 6, 2, seed=0)
    assert size == 5 and [len(rows) for rows in trained] == [5, 5] and [len(rows) for rows in tested] == [2, 1]
    assert [set(train[rows]) for rows in trained] == [{0}, {2}] == [set(test[rows]) for rows in tested]


def test_many_classes_are_drawn_from_all_of_them_and_the_same_by_the_same_seed():
    labels = np.repeat(np.arange(300), 2)
    first, again, other = (reverse.draw(labels, labels, 1, 1, seed)[0][0] for seed in (0, 0, 1))
    assert len(first) == reverse.CLASSES and labels[np.concatenate(first)].max() > 200
    assert np.concatenate(first).tolist() == np.concatenate(again).tolist() != np.concatenate(other).tolist()
